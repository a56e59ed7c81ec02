"""A page of messages has an end, whatever is looked for and however large it is."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server.agents import message_page
from sendoff_server.agents.message_page import MessagePage, read_page

USER, ASSISTANT = v1.MESSAGE_TYPE_USER_MESSAGE, v1.MESSAGE_TYPE_ASSISTANT_MESSAGE


def _message(position: int, size: int = 1) -> v1.Message:
    """Every tenth is the user's."""
    content = v1.Content(text="x" * size)
    if position % 10 == 0:
        return v1.Message(position=position, user_message=v1.UserMessage(content=content))
    return v1.Message(position=position, assistant_message=v1.AssistantMessage(content=content))


class Reading:
    """Messages to read, at most 7 at a time."""

    def __init__(self, count: int, size: int = 1) -> None:
        self.messages = [_message(position, size) for position in range(count)]
        self.reads = 0

    async def __call__(self, after_position: int | None, count: int) -> list[v1.Message]:
        self.reads += 1
        first = 0 if after_position is None else after_position + 1
        return self.messages[first : first + min(7, count)]

    async def all(self, limit: int, *types: v1.MessageType.ValueType) -> list[list[int]]:
        """The positions page by page, as a caller that follows the tokens sees them."""
        pages: list[list[int]] = []
        after: int | None = None
        while True:
            page = await read_page(self, after, limit, types)
            pages.append([message.position for message in page.messages])
            if page.goes_on_after is None:
                return pages
            after = page.goes_on_after


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 100])
async def test_pages_hold_every_message_once_and_as_many_as_asked_for(limit: int) -> None:
    pages = await Reading(20).all(limit)
    assert [position for page in pages for position in page] == list(range(20))
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert pages[-1] or len(pages) == 1


async def test_nothing_is_the_last_page() -> None:
    assert await read_page(Reading(0), None, 10, ()) == MessagePage([], None)


async def test_messages_of_other_types_are_left_out_and_do_not_fill_the_page() -> None:
    assert await Reading(35).all(3, USER) == [[0, 10, 20], [30]]
    assert (await Reading(35).all(3, ASSISTANT))[0] == [1, 2, 3]


async def test_what_is_rare_costs_a_bounded_number_of_messages_per_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_page, "MOST_LOOKED_AT", 14)
    reading = Reading(35)
    assert await reading.all(3, v1.MESSAGE_TYPE_EVENT_MESSAGE) == [[], [], []]
    assert await reading.all(3, USER) == [[0, 10], [20], [30]]


async def test_large_messages_end_a_page_and_what_is_held_in_memory() -> None:
    reading = Reading(20, size=1_000_000)
    page = await read_page(reading, None, 100, ())
    assert [message.position for message in page.messages] == [0, 1, 2]
    assert reading.reads == 1
    assert [position for page in await reading.all(100) for position in page] == list(range(20))
