"""A page of messages has an end, whatever is looked for and however large it is, and holds whole messages."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from sendoff import v1
from sendoff_server import message_lists
from sendoff_server.message_lists import MessagePage, Wanted, read_page
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import MessageScope
from tests.unit.runs.listed import Lists

RUN = "run-b8a6d2f4-17c3-4e59-8f20-6a9d41c7e305"
USER, ASSISTANT = v1.MESSAGE_TYPE_USER_MESSAGE, v1.MESSAGE_TYPE_ASSISTANT_MESSAGE
REASONING, EVENT = v1.MESSAGE_TYPE_REASONING_MESSAGE, v1.MESSAGE_TYPE_EVENT_MESSAGE
SPOKEN = v1.RequestConfig(
    use_assistant_message=True, assistant_message_tool_name="say", assistant_message_tool_kwarg="it"
)


def _message(place: int, size: int = 1) -> v1.Message:
    """Every tenth is the user's."""
    content = v1.Content(text="x" * size)
    if place % 10 == 0:
        return v1.Message(id=f"m{place}", position=place, user_message=v1.UserMessage(content=content))
    return v1.Message(id=f"m{place}", position=place, assistant_message=v1.AssistantMessage(content=content))


def _store(count: int, size: int = 1) -> Lists:
    return Lists({RUN: [_message(place, size) for place in range(count)]})


def _wanted(*types: v1.MessageType.ValueType, **fields: Any) -> Wanted:
    given: dict[str, Any] = {"config": v1.RequestConfig(), "newest_first": False} | fields
    return Wanted(of=MessageScope(tenant=DEFAULT_TENANT, run_id=RUN), types=types, **given)


async def _all(store: Lists, wanted: Wanted, limit: int) -> list[list[int]]:
    """The positions page by page, as a caller that follows the tokens sees them."""
    pages: list[list[int]] = []
    after: int | None = None
    while True:
        page = await read_page(cast(Store, store), wanted, after, limit)
        pages.append([message.position for message in page.messages])
        if page.goes_on_after is None:
            return pages
        after = page.goes_on_after


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 7, 20, 100])
async def test_pages_hold_every_message_once_and_as_many_as_asked_for(limit: int, newest_first: bool) -> None:
    pages = await _all(_store(20), _wanted(newest_first=newest_first), limit)
    assert [position for page in pages for position in page] == sorted(range(20), reverse=newest_first)
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert pages[-1] or len(pages) == 1


@pytest.mark.parametrize("newest_first", [False, True])
async def test_entries_of_one_message_come_together_and_count_as_one(newest_first: bool) -> None:
    entries = [_message(place) for place in range(9)]
    for entry in entries:
        entry.id = f"m{entry.position // 3}"
    pages = await _all(Lists({RUN: entries}), _wanted(newest_first=newest_first), 2)
    assert [len(page) for page in pages] == [6, 3]
    assert [position for page in pages for position in page] == sorted(range(9), reverse=newest_first)


async def test_nothing_is_the_last_page() -> None:
    assert await read_page(cast(Store, _store(0)), _wanted(), None, 10) == MessagePage([], None)


@pytest.mark.parametrize(("newer", "older"), [(None, None), (3, None), (None, 15), (3, 15), (3, 4)])
@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_stay_between_the_places_that_are_asked_for(
    newer: int | None, older: int | None, newest_first: bool
) -> None:
    wanted = _wanted(newer_than=newer, older_than=older, newest_first=newest_first)
    pages = await _all(_store(20), wanted, 4)
    expected = range(0 if newer is None else newer + 1, 20 if older is None else older)
    assert [position for page in pages for position in page] == sorted(expected, reverse=newest_first)


async def test_messages_of_other_types_are_left_out_and_do_not_fill_the_page() -> None:
    assert await _all(_store(35), _wanted(USER), 3) == [[0, 10, 20], [30]]
    assert (await _all(_store(35), _wanted(ASSISTANT), 3))[0] == [1, 2, 3]


async def test_of_a_message_only_the_entries_of_the_types_are_told() -> None:
    thought = v1.Message(id="m1", position=1, reasoning_message=v1.ReasoningMessage(reasoning="hm"))
    said = v1.Message(id="m1", position=2, assistant_message=v1.AssistantMessage(content=v1.Content(text="yes")))
    store = Lists({RUN: [thought, said]})
    assert await _all(store, _wanted(ASSISTANT), 10) == [[2]]
    assert await _all(store, _wanted(ASSISTANT, REASONING), 10) == [[1, 2]]


async def test_what_becomes_nothing_that_is_asked_for_costs_a_bounded_number_of_messages_per_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_lists, "MOST_LOOKED_AT", 14)
    calls = [v1.ToolCall(tool_call_id="c", name="look", arguments="{}")]
    entries = [
        v1.Message(id=f"m{place}", position=place, tool_call_message=v1.ToolCallMessage(tool_calls=calls))
        for place in range(35)
    ]
    calls[0].name, calls[0].arguments = "say", json.dumps({"it": "here"})
    entries[30].tool_call_message.tool_calls[0].CopyFrom(calls[0])
    pages = await _all(Lists({RUN: entries}), _wanted(ASSISTANT, config=SPOKEN), 3)
    assert pages == [[], [30], []]


async def test_large_messages_end_a_page_and_what_is_held_in_memory() -> None:
    store = _store(20, size=1_000_000)
    page = await read_page(cast(Store, store), _wanted(), None, 100)
    assert [message.position for message in page.messages] == [0, 1, 2]
    assert store.reads == 1
    assert [position for page in await _all(store, _wanted(), 100) for position in page] == list(range(20))
