"""The hub and the cursors over it: nothing is missed, nothing comes twice, late comers get the text so far."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.runs import hub as hub_module
from sendoff_server.runs.following import Cursor, next_deltas, next_events
from sendoff_server.runs.hub import Hub, Topic
from sendoff_server.store.port import Store

RUN = "run-1"


def event(sequence: int) -> v1.RunEvent:
    return v1.RunEvent(run_id=RUN, sequence=sequence, state_changed=v1.RunStateChanged())


class LogStore:
    """The log of one run, as a store reads it."""

    def __init__(self) -> None:
        self.log: list[v1.RunEvent] = []
        self.reads = 0

    async def events(self, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        self.reads += 1
        return [e for e in self.log if e.sequence > after_sequence][:limit]


async def read_all(store: LogStore, topic: Topic, cursor: Cursor) -> list[int]:
    seen: list[int] = []
    while events := await next_events(cast(Store, store), topic, cursor):
        seen += [e.sequence for e in events]
        cursor.sequence = seen[-1]
    return seen


async def test_a_watcher_reads_what_the_topic_no_longer_holds_from_the_store() -> None:
    store, hub = LogStore(), Hub()
    with hub.watching(RUN) as topic:
        for sequence in range(1, 3 * hub_module.TAIL_EVENTS):
            store.log.append(event(sequence))
            hub.recorded(v1.Run(id=RUN, last_sequence=sequence), [event(sequence)])
        assert await read_all(store, topic, Cursor(0)) == list(range(1, 3 * hub_module.TAIL_EVENTS))
        assert store.reads > 0
        reads = store.reads
        assert await read_all(store, topic, Cursor(3 * hub_module.TAIL_EVENTS - 5)) == [
            3 * hub_module.TAIL_EVENTS - n for n in (4, 3, 2, 1)
        ]
        assert store.reads == reads


async def test_of_a_run_to_which_nothing_happens_the_store_is_asked_once() -> None:
    store, hub, cursor = LogStore(), Hub(), Cursor(0)
    store.log.append(event(1))
    with hub.watching(RUN) as topic:
        assert await read_all(store, topic, cursor) == [1]
        reads = store.reads
        assert await read_all(store, topic, cursor) == []
        assert store.reads == reads
        store.log.append(event(2))
        hub.recorded(v1.Run(id=RUN, last_sequence=2), [event(2)])
        assert await read_all(store, topic, cursor) == [2]


async def test_whoever_takes_a_run_up_shows_its_watchers_what_another_process_wrote_of_it() -> None:
    store, hub, cursor = LogStore(), Hub(shared=True), Cursor(0)
    store.log.append(event(1))
    with hub.watching(RUN) as topic:
        assert await read_all(store, topic, cursor) == [1]
        store.log += [event(2), event(3)]
        changed = topic.changed()
        with hub.executing("default", v1.Run(id=RUN, last_sequence=3)):
            assert changed.done()
            assert await read_all(store, topic, cursor) == [2, 3]


def add(topic: Topic, text: str, part: int = 0) -> None:
    topic.write("message-1", part, "text", text)


def test_whoever_comes_late_gets_the_text_so_far_as_one_delta_that_replaces() -> None:
    topic = Topic(RUN)
    for piece in ("Hel", "lo, ", "wörld"):
        add(topic, piece)
    (delta,) = next_deltas(topic, Cursor(0))
    assert (delta.text, delta.replaces, delta.offset) == ("Hello, wörld", True, 0)


def test_offsets_count_code_points() -> None:
    topic, cursor = Topic(RUN), Cursor(0)
    add(topic, "é𝄞")
    next_deltas(topic, cursor)
    add(topic, "x")
    (delta,) = next_deltas(topic, cursor)
    assert (delta.offset, delta.replaces, delta.text) == (2, False, "x")


@given(st.lists(st.tuples(st.integers(0, 2), st.text(min_size=1, max_size=4), st.booleans()), max_size=40))
def test_deltas_add_up_to_the_text_whenever_they_are_read(writes: list[tuple[int, str, bool]]) -> None:
    topic, cursor = Topic(RUN), Cursor(0)
    written: dict[int, str] = {}
    folded: dict[int, str] = {}
    for part, text, read_now in [*writes, (0, "end", True)]:
        add(topic, text, part)
        written[part] = written.get(part, "") + text
        for delta in next_deltas(topic, cursor) if read_now else ():
            before = "" if delta.replaces else folded[delta.part_index]
            assert delta.offset == len(before)
            folded[delta.part_index] = before + delta.text
    assert folded == written


@pytest.mark.parametrize(
    "last",
    [
        v1.RunEvent(sequence=2, message=v1.Message(id="message-1")),
        v1.RunEvent(sequence=2, message_retracted=v1.MessageRetracted(message_id="message-1")),
    ],
    ids=["final", "retracted"],
)
def test_text_is_dropped_once_its_message_is_final_or_retracted(last: v1.RunEvent) -> None:
    topic = Topic(RUN)
    add(topic, "half")
    topic.recorded(v1.Run(id=RUN, last_sequence=2), [last])
    assert next_deltas(topic, Cursor(2)) == []


async def test_a_change_between_looking_and_waiting_is_not_missed() -> None:
    topic = Topic(RUN)
    changed = topic.changed()
    add(topic, "x")
    assert changed.done()
    assert not topic.changed().done()


def test_topics_and_finished_runs_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "FINISHED_RUNS", 3)
    hub = Hub()
    for number in range(10):
        run = v1.Run(id=f"run-{number}", agent_id="agent-1", status=v1.RUN_STATUS_COMPLETED)
        with hub.executing("t", run):
            hub.recorded(run, [])
    assert hub._topics == {}
    assert [hub.known("t", f"run-{n}") is not None for n in range(10)] == [False] * 7 + [True] * 3
    hub.forget("agent-1")
    assert hub.known("t", "run-9") is None


async def test_runs_of_a_deleted_conversation_are_forgotten_and_those_who_look_at_them_woken() -> None:
    hub = Hub()
    for conversation_id in ("conv-1", "conv-2", "conv-3"):
        run = v1.Run(id=f"run-{conversation_id}", conversation_id=conversation_id, status=v1.RUN_STATUS_COMPLETED)
        with hub.executing("t", run):
            hub.recorded(run, [])
    with hub.watching("run-conv-1") as topic:
        topic.owners = ("agent-1", "conv-1")
        changed = topic.changed()
        hub.forget("conv-2")
        assert not topic.deleted
        hub.forget("conv-1")
        assert topic.deleted
        assert changed.done()
    assert hub.known("t", "run-conv-1") is None
    assert hub.known("t", "run-conv-3") is not None
    late = v1.Run(id="run-late", conversation_id="conv-1", status=v1.RUN_STATUS_COMPLETED)
    hub.remember("t", late)
    assert hub.known("t", late.id) is None, "it was on its way from the store"


def test_a_run_is_known_to_its_tenant_only() -> None:
    hub = Hub()
    run = v1.Run(id=RUN, status=v1.RUN_STATUS_COMPLETED)
    with hub.executing("t", run):
        assert hub.known("t", RUN) is run
        assert hub.known("other", RUN) is None
        hub.recorded(run, [])
    assert hub.known("t", RUN) is run
    assert hub.known("other", RUN) is None


def test_where_others_execute_runs_too_a_topic_tells_only_of_what_is_executed_here() -> None:
    hub = Hub(shared=True)
    with hub.watching(RUN) as topic:
        with hub.executing("t", v1.Run(id=RUN, last_sequence=1)):
            hub.recorded(v1.Run(id=RUN, last_sequence=2), [event(2)])
            assert topic.tail(1) == [event(2)]
            assert hub.elsewhere() == {}
        assert hub.elsewhere() == {RUN: topic}
        assert topic.tail(2) is None, "somebody else may have gone on"
        with hub.executing("t", v1.Run(id=RUN, last_sequence=5)):
            hub.recorded(v1.Run(id=RUN, last_sequence=6), [event(6)])
            assert topic.tail(1) is None, "what was written elsewhere is not here"
            assert topic.tail(5) == [event(6)]


def test_where_others_write_too_no_run_that_has_ended_is_remembered() -> None:
    hub = Hub(shared=True)
    with hub.executing("t", v1.Run(id=RUN, last_sequence=1)):
        hub.recorded(v1.Run(id=RUN, last_sequence=2, status=v1.RUN_STATUS_COMPLETED), [event(2)])
    assert hub.known("t", RUN) is None
