"""Pages of a run's messages, translated, then filtered, then counted: nothing is lost or shown twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from sendoff import v1
from sendoff_server.runs.message_list import MessageList
from sendoff_server.store.port import DEFAULT_TENANT, POSITION_SHIFT, Store
from tests.unit.runs.listed import Lists

RUN, BEFORE = "run-b8a6d2f4-17c3-4e59-8f20-6a9d41c7e305", "run-00000000-17c3-4e59-8f20-6a9d41c7e305"
SEQ = 3 << 10
STEP = 1 << 10


def entry(place: int, step_id: str = "", **kind: Any) -> v1.Message:
    made = v1.Message(id=f"message-{place:08x}-c0a8-4f36-a1d4-8be370f2c94e", position=_position(place), **kind)
    if step_id or place >= STEP:
        made.step_id = step_id or f"step-{place // STEP}"
    return made


def written(run: Sequence[v1.Message] = (), before: Sequence[v1.Message] = ()) -> Lists:
    return Lists({RUN: run, BEFORE: before})


def _position(place: int) -> int:
    return (SEQ << POSITION_SHIFT) + place


def speaking(place: int, *calls: tuple[str, str]) -> v1.Message:
    """Calls by name and id."""
    made = [
        v1.ToolCall(tool_call_id=call_id, name=name, arguments=json.dumps({"message": call_id, "thinking": "hm"}))
        for name, call_id in calls
    ]
    return entry(place, tool_call_message=v1.ToolCallMessage(tool_calls=made))


def returned(place: int, *call_ids: str, step_id: str = "") -> v1.Message:
    returns = [v1.ToolReturn(tool_call_id=call_id, status=v1.TOOL_RETURN_STATUS_SUCCESS) for call_id in call_ids]
    return entry(place, step_id, tool_return_message=v1.ToolReturnMessage(tool_returns=returns))


def user(place: int, text: str = "hi") -> v1.Message:
    return entry(place, user_message=v1.UserMessage(content=v1.Content(text=text)))


def run(**fields: Any) -> v1.Run:
    config = v1.RequestConfig(
        use_assistant_message=True, assistant_message_tool_name="send_message", assistant_message_tool_kwarg="message"
    )
    return v1.Run(id=RUN, attempt=1, request_config=config, **fields)


async def pages(store: Lists, run: v1.Run, page_size: int, order_by: str = "") -> list[list[v1.Message]]:
    found, token = [], ""
    while True:
        request = v1.ListRunMessagesRequest(run_id=run.id, page_size=page_size, page_token=token, order_by=order_by)
        page = await MessageList(cast(Store, store)).page(DEFAULT_TENANT, run, request)
        found.append(list(page.messages))
        token = page.next_page_token
        if not token:
            return found


def kinds(messages: list[v1.Message]) -> list[str]:
    return [str(message.WhichOneof("kind")).removesuffix("_message") for message in messages]


ENTRIES = [
    user(8),
    speaking(STEP, ("look", "c1"), ("send_message", "c2")),
    returned(STEP + 1_000, "c1", "c2"),
    speaking(2 * STEP, ("send_message", "c3"), ("send_message", "c4")),
    returned(2 * STEP + 1_000, "c3", "c4"),
    speaking(3 * STEP, ("send_message", "c5")),
    returned(3 * STEP + 1_000, "c5"),
]
MESSAGES = 5
"""So many of them are told, and the last three have two entries."""
SHOWN = ["user", "tool_call", "reasoning", "assistant", "tool_return", *["reasoning", "assistant"] * 3]


@pytest.mark.parametrize("page_size", range(1, MESSAGES + 2))
async def test_pages_of_any_size_show_the_same(page_size: int) -> None:
    found = await pages(written(run=ENTRIES), run(), page_size)
    whole = [message for page in found for message in page]
    assert kinds(whole) == SHOWN
    assert [[each.tool_call_id for each in message.tool_return_message.tool_returns] for message in whole][4] == ["c1"]
    assert [len({message.id for message in page}) for page in found[:-1]] == [page_size] * (len(found) - 1)
    assert found[-1]


@pytest.mark.parametrize("page_size", range(1, MESSAGES + 2))
async def test_newest_first_is_the_same_backwards(page_size: int) -> None:
    forwards = await pages(written(run=ENTRIES), run(), 100)
    backwards = await pages(written(run=ENTRIES), run(), page_size, "position desc")
    assert [message for page in backwards for message in page] == forwards[0][::-1]


async def test_types_are_chosen_after_the_translation() -> None:
    wanted = run()
    wanted.request_config.include_return_message_types.values.append(v1.MESSAGE_TYPE_ASSISTANT_MESSAGE)
    for page_size in (1, 2, 3, 100):
        found = await pages(written(run=ENTRIES), wanted, page_size)
        texts = [message.assistant_message.content.text for page in found for message in page]
        assert texts == ["c2", "c3", "c4", "c5"]


async def test_what_the_calls_of_the_run_before_return_is_left_out_of_the_run_that_continues_it() -> None:
    before = [
        user(8),
        speaking(STEP, ("send_message", "c0")),
        speaking(2 * STEP, ("send_message", "c1"), ("pay", "c2")),
    ]
    store = written(before=before, run=[returned(1, "c1", "c2", step_id="step-2"), user(8)])
    (page,) = await pages(store, run(continues_run_id=BEFORE), 10)
    assert kinds(page) == ["tool_return", "user"]
    assert [each.tool_call_id for each in page[0].tool_return_message.tool_returns] == ["c2"]


async def test_a_run_that_wrote_nothing_has_one_empty_page() -> None:
    assert await pages(written(), run(), 10) == [[]]


async def test_a_page_ends_before_it_is_too_large_and_the_next_goes_on() -> None:
    large = [user(8 + index, "x" * 2_000_000) for index in range(3)]
    assert [len(page) for page in await pages(written(run=large), run(), 10)] == [1, 1, 1]
