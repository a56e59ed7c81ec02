"""Remembered history is what the store would give."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.context import history_memory as room
from sendoff_server.context.history_memory import HistoryMemory, Measured
from sendoff_server.store.items import Progress, Recorded
from sendoff_server.store.port import Store
from sendoff_server.store.questions import History


class HistoryStore:
    """The history of one lane."""

    def __init__(self, *, is_alone: bool = True) -> None:
        self.is_alone = is_alone
        self.reads = 0
        self.messages: list[v1.Message] = []

    async def history(self, lane: str, before_position: int, max_bytes: int) -> History:
        self.reads += 1
        found: list[v1.Message] = []
        newest: v1.Message | None = None
        for message in reversed([m for m in self.messages if m.position < before_position]):
            if newest is not None and message.position < newest.context_start:
                break
            max_bytes -= message.ByteSize()
            if max_bytes < 0:
                return History(found[::-1], False, newest)
            found.append(message)
            newest = newest or (message if message.HasField("context_start") else None)
        return History(found[::-1], True, newest)


def said(position: int, text: str = "x") -> v1.Message:
    return v1.Message(position=position, user_message=v1.UserMessage(content=v1.Content(text=text)))


def write(store: HistoryStore, conversations: HistoryMemory, *messages: v1.Message) -> None:
    store.messages += messages
    progress = Progress(lane="lane", run=v1.Run(), after_sequence=1, events=(), messages=messages)
    conversations.on_result(progress, Recorded(None))


TURN = st.tuples(st.text(max_size=30), st.booleans(), st.integers(5, 300), st.none() | st.integers(0, 5))


@given(st.lists(TURN, max_size=25))
async def test_memory_gives_what_the_store_would(turns: list[tuple[str, bool, int, int | None]]) -> None:
    """Turns write, some read with a budget, and some compact, keeping so many of the messages in front."""
    store = HistoryStore()
    conversations = HistoryMemory(cast(Store, store))
    for number, (text, read, budget, kept) in enumerate(turns):
        write(store, conversations, said(10 * number, text))
        if kept is not None:
            summary = said(10 * number + 3, "summary")
            summary.context_start = 10 * max(0, number - kept) + 1
            write(store, conversations, summary)
        write(store, conversations, said(10 * number + 5, text))
        if read:
            position = 10 * number + 9
            known = await conversations.before("lane", position, budget)
            assert replace(known, is_plain=False) == await store.history("lane", position, budget)


async def test_a_count_is_forgotten_with_what_it_counted() -> None:
    store = HistoryStore()
    conversations = HistoryMemory(cast(Store, store))
    count = Measured("model", 1, 5, 50)
    conversations.note("lane", count)
    assert conversations.measured("lane") is None, "nothing is known of the lane"
    write(store, conversations, said(1))
    await conversations.before("lane", 9, 1000)
    conversations.note("lane", count)
    write(store, conversations, said(10))
    assert conversations.measured("lane") == count
    summary = said(11)
    summary.context_start = 10
    write(store, conversations, summary)
    assert conversations.measured("lane") is None


async def test_history_is_read_once_and_then_remembered() -> None:
    store = HistoryStore()
    conversations = HistoryMemory(cast(Store, store))
    for number in range(5):
        assert len((await conversations.before("lane", 10 * number, 10_000)).messages) == number
        write(store, conversations, said(10 * number))
    assert store.reads == 1


async def test_where_others_write_too_every_run_reads() -> None:
    store = HistoryStore(is_alone=False)
    conversations = HistoryMemory(cast(Store, store))
    for _ in range(3):
        await conversations.before("lane", 1, 100)
    assert store.reads == 3


async def test_history_is_known_to_be_plain_while_no_entry_shows_a_picture() -> None:
    store = HistoryStore()
    conversations = HistoryMemory(cast(Store, store))
    part = v1.ContentPart(image=v1.Image(letta=v1.Image.Stored(file_id="file-1")))
    shows = v1.Message(position=2)
    shows.user_message.content.parts.parts.append(part)
    told = []
    for position, entry in enumerate((said(1), shows, said(3), said(4, "y" * 100)), start=1):
        write(store, conversations, entry)
        told.append((await conversations.before("lane", position + 1, 110)).is_plain)
    assert told == [True, False, False, True]  # the picture has made room for the last one


async def test_what_is_remembered_is_bounded() -> None:
    store = HistoryStore()
    conversations = HistoryMemory(cast(Store, store))
    store.messages = [said(1, "y" * 1000)]
    limit = room.MAX_BYTES // 1000
    for number in range(limit + 50):
        await conversations.before(f"lane-{number}", 5, 5_000)
    assert conversations._size <= room.MAX_BYTES
    assert len(conversations._remembered) <= limit


async def test_a_resumed_run_does_not_hide_its_own_input_from_the_next() -> None:
    store = HistoryStore()
    store.messages = [said(1, "earlier"), said(10, "input of the resumed run")]
    conversations = HistoryMemory(cast(Store, store))
    assert len((await conversations.before("lane", 10, 10_000, resumed=True)).messages) == 1
    write(store, conversations, said(15, "its answer"))
    assert len((await conversations.before("lane", 20, 10_000)).messages) == 3


async def test_the_history_of_a_deleted_agent_is_forgotten_in_all_its_lanes() -> None:
    store = HistoryStore()
    store.messages = [v1.Message(position=1, agent_id="agent-1")]
    conversations = HistoryMemory(cast(Store, store))
    for lane in ("agent-1", "conv-1"):
        await conversations.before(lane, 5, 100)
    store.messages = [v1.Message(position=1, agent_id="agent-2")]
    await conversations.before("agent-2", 5, 100)
    conversations.forget_agent("agent-1")
    assert list(conversations._remembered) == ["agent-2"]
    assert conversations._size == store.messages[0].ByteSize()
