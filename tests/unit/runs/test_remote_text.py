"""Text between replicas: whatever becomes of the hints, nobody sees what was not written, and all comes in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.runs.audience import GONE_S, Audience
from sendoff_server.runs.following import Cursor, next_deltas, next_events
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.remote_text import ASK_AGAIN_S, REPEAT_S, RemoteText
from sendoff_server.store.hints import Hint, Text, Watches
from sendoff_server.store.port import Store
from sendoff_server.store.postgres.hint_payloads import read, written
from tests.fixtures.clock import ManualClock

RUN = "run-1"
HERE, THERE = "replica-here", "replica-there"


class Log:
    """The log of the run, as both replicas read it."""

    def __init__(self) -> None:
        self.events_: list[v1.RunEvent] = []
        self.reads = 0

    async def events(self, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        self.reads += 1
        return self.events_[after_sequence:][:limit]


class Writer:
    """The replica that executes the run."""

    def __init__(self, log: Log, clock: ManualClock) -> None:
        self.log = log
        self.hub = Hub(shared=True)
        self.audience = Audience(self.hub, clock, ring=lambda: None)
        self._execution = self.hub.executing("t", v1.Run(id=RUN))
        self.topic = self._execution.__enter__()
        self.message_id = ""
        self.record(v1.RunEvent(state_changed=v1.RunStateChanged()))
        self.begin()

    def begin(self) -> None:
        self.message_id = f"message-{len(self.log.events_)}"
        self.record(v1.RunEvent(step_started=v1.StepStarted(message_id=self.message_id)))

    def write(self, text: str, part: int = 0) -> None:
        self.topic.write(self.message_id, part, "text", text)

    def end(self) -> None:
        """The message is final, and the next one begins."""
        self.record(v1.RunEvent(message=v1.Message(id=self.message_id)))
        self.begin()

    def retract(self) -> None:
        self.record(v1.RunEvent(message_retracted=v1.MessageRetracted(message_id=self.message_id)))
        self.begin()

    def record(self, event: v1.RunEvent) -> None:
        event.sequence = len(self.log.events_) + 1
        self.log.events_.append(event)
        self.hub.recorded(v1.Run(id=RUN, last_sequence=event.sequence), [event])

    @property
    def text(self) -> dict[int, str]:
        return {key[1]: "".join(part.pieces) for key, part in self.topic.parts.items()}


class Watcher:
    """Somebody who watches the run on the other replica, and checks what he sees."""

    def __init__(self, log: Log, hub: Hub, writer: Writer, after: int = 0) -> None:
        self._log = log
        self._hub = hub
        self._writer = writer
        self._watching = hub.watching(RUN, text=True)
        self._topic = self._watching.__enter__()
        self._cursor = Cursor(after)
        self._begun: set[str] = set()
        self.screen: dict[tuple[str, int], str] = {}
        for event in log.events_[:after]:
            self._see(event)

    async def look(self) -> None:
        while events := await next_events(cast(Store, self._log), self._topic, self._cursor):
            for event in events:
                assert event.sequence == self._cursor.sequence + 1
                self._cursor.sequence = event.sequence
                self._see(event)
        for delta in next_deltas(self._topic, self._cursor):
            key = (delta.message_id, delta.part_index)
            assert delta.message_id in self._begun, "it is not under way for who has seen the log so far"
            assert delta.offset == (0 if delta.replaces else len(self.screen[key]))
            self.screen[key] = ("" if delta.replaces else self.screen[key]) + delta.text

    def _see(self, event: v1.RunEvent) -> None:
        self._begun |= {event.step_started.message_id} - {""}
        ended = {event.message.id, event.message_retracted.message_id}
        self._begun -= ended
        self.screen = {key: text for key, text in self.screen.items() if key[0] not in ended}

    @property
    def text(self) -> dict[int, str]:
        """Of the message that is being written."""
        return {part: text for (message_id, part), text in self.screen.items() if message_id == self._writer.message_id}

    def leave(self) -> None:
        self._watching.__exit__(None, None, None)


class World:
    """Two replicas, and what is under way between them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = Log()
        self.writer = Writer(self.log, self.clock)
        self.hub = Hub(shared=True)
        self.remote_text = RemoteText(self.hub, self.clock, ring=lambda: None)
        self.watchers = [self.watcher()]
        self.under_way: list[tuple[str, Hint]] = []
        """With to whom."""

    def watcher(self, after: int = 0) -> Watcher:
        return Watcher(self.log, self.hub, self.writer, after)

    def tell(self) -> None:
        """Both send what they have to tell."""
        watches = self.remote_text.due()
        self._send(HERE, THERE, [] if watches is None else [watches])
        self._send(THERE, HERE, list(self.writer.audience.due()))

    def _send(self, sender: str, to: str, hints: Sequence[Hint]) -> None:
        for _, payload in written(sender, hints):
            self.under_way += [(to, hint) for hint in read(payload)[1]]

    def arrive(self, index: int = 0) -> None:
        to, hint = self.under_way[index]
        if to == THERE:
            assert isinstance(hint, Watches)
            self.writer.audience.heard(HERE, hint)
        else:
            assert isinstance(hint, Text)
            self.remote_text.heard(hint)

    def deliver(self) -> None:
        """All that is under way, in order."""
        while self.under_way:
            self.arrive()
            self.under_way.pop(0)

    async def exchange(self) -> None:
        for _ in range(3):
            self.tell()
            self.deliver()
        for watcher in self.watchers:
            await watcher.look()


ACTIONS = st.sampled_from(
    [
        "write",
        "write",
        "write 2",
        "end",
        "retract",
        "tell",
        "tell",
        "come",
        "come",
        "lose",
        "double",
        "late",
        "look",
        "watcher",
        "latest",
        "leave",
        "later",
    ]
)


async def act(world: World, action: str, text: str, index: int) -> None:
    writer, under_way = world.writer, world.under_way
    match action:
        case "write":
            writer.write(text)
        case "write 2":
            writer.write(text, part=1)
        case "end":
            writer.end()
        case "retract":
            writer.retract()
        case "tell":
            world.tell()
        case "come" if under_way:
            world.arrive()
            under_way.pop(0)
        case "lose" if under_way:
            under_way.pop(index % len(under_way))
        case "double" if under_way:
            world.arrive(index % len(under_way))
        case "late" if under_way:
            under_way.append(under_way.pop(0))
        case "look" if world.watchers:
            await world.watchers[index % len(world.watchers)].look()
        case "watcher":
            world.watchers.append(world.watcher())
        case "latest":
            world.watchers.append(world.watcher(after=len(world.log.events_)))
        case "leave" if world.watchers:
            world.watchers.pop(index % len(world.watchers)).leave()
        case "later":
            await world.clock.advance(REPEAT_S / 2)


@given(st.lists(st.tuples(ACTIONS, st.text(min_size=1, max_size=3), st.integers(0, 9)), max_size=60))
async def test_whatever_becomes_of_hints_only_what_is_being_written_is_seen_and_all_of_it_in_the_end(
    actions: list[tuple[str, str, int]],
) -> None:
    world = World()
    await world.exchange()
    for action, text, index in actions:
        await act(world, action, text, index)
        for watcher in world.watchers:
            for part, seen in watcher.text.items():
                assert world.writer.text[part].startswith(seen)
    world.under_way.clear()
    for _ in range(3):
        await world.clock.advance(REPEAT_S)
        for topic in world.hub.elsewhere().values():
            topic.wake()  # the lookout does, because the log has grown
        await world.exchange()
    assert [watcher.text for watcher in world.watchers] == [world.writer.text] * len(world.watchers)


async def test_whoever_comes_late_is_sent_the_text_so_far_and_then_what_is_new() -> None:
    world = World()
    world.writer.write("so far, ")
    await world.exchange()
    world.writer.write("and on")
    world.tell()
    (piece,) = (hint for _, hint in world.under_way if isinstance(hint, Text))
    assert (piece.delta.offset, piece.delta.text) == (8, "and on")
    world.deliver()
    await world.watchers[0].look()
    assert world.watchers[0].text == {0: "so far, and on"}


async def test_a_piece_that_is_missing_is_asked_for_anew_and_not_at_every_further_piece() -> None:
    world = World()
    await world.exchange()
    world.writer.write("lost ")
    world.tell()
    world.under_way.clear()
    asked = 0
    for word in ("a ", "b ", "c "):
        world.writer.write(word)
        world.tell()
        texts, world.under_way = world.under_way, []
        for _, hint in texts:
            assert isinstance(hint, Text)
            world.remote_text.heard(hint)
        watches = world.remote_text.due()
        asked += watches is not None and list(watches.begin) == [RUN]
    assert asked == 1
    await world.clock.advance(ASK_AGAIN_S)
    world.writer.write("d")
    await world.exchange()
    assert world.watchers[0].text == {0: "lost a b c d"}


async def test_the_last_piece_before_a_pause_comes_though_it_was_lost() -> None:
    world = World()
    await world.exchange()
    world.writer.write("lost")
    world.tell()
    world.under_way.clear()
    for _ in range(2):
        await world.clock.advance(REPEAT_S)
        await world.exchange()
    assert world.watchers[0].text == {0: "lost"}


async def test_text_that_goes_on_is_sent_once() -> None:
    world = World()
    sent = ""
    for number in range(20):
        world.writer.write(f"{number} ")
        await world.clock.advance(REPEAT_S / 5)
        world.tell()
        sent += "".join(hint.delta.text for _, hint in world.under_way if isinstance(hint, Text))
        world.deliver()
    assert sent == world.writer.text[0][: len(sent)]
    assert len(world.writer.text[0]) - len(sent) <= len("19 ")


async def test_nothing_is_sent_of_runs_that_nobody_watches_elsewhere() -> None:
    world = World()
    await world.exchange()
    world.watchers.pop().leave()
    world.tell()
    world.deliver()
    world.writer.write("nobody reads it")
    world.tell()
    assert world.under_way == []


async def test_nothing_is_sent_any_more_to_a_replica_that_is_gone() -> None:
    world = World()
    await world.exchange()
    await world.clock.advance(GONE_S + 0.1)
    world.writer.write("it is gone")
    assert list(world.writer.audience.due()) == []


async def test_a_replica_that_takes_a_run_over_has_heard_of_its_watchers() -> None:
    world = World()
    hub = Hub(shared=True)
    audience = Audience(hub, world.clock, ring=lambda: None)
    audience.heard(HERE, Watches(begin=[RUN]))
    with hub.executing("t", v1.Run(id=RUN, last_sequence=4)) as topic:
        topic.write("message-1", 0, "text", "at once")
        assert [(text.to, text.sequence, text.delta.text) for text in audience.due()] == [(HERE, 4, "at once")]


async def test_text_has_nobody_ask_the_store() -> None:
    world = World()
    await world.exchange()
    reads = world.log.reads
    for _ in range(10):
        world.writer.write("x")
        await world.exchange()
    assert world.watchers[0].text == {0: "x" * 10}
    assert world.log.reads <= reads + 1, "the first piece may tell of events that it has not seen"


async def test_late_text_of_a_message_that_is_over_is_not_kept() -> None:
    world = World()
    await world.exchange()
    world.writer.write("late")
    world.tell()
    world.writer.end()
    for topic in world.hub.elsewhere().values():
        topic.wake()
        await world.watchers[0].look()
        world.deliver()
        assert topic.parts == {}


async def test_who_has_seen_the_end_of_a_message_is_shown_no_text_of_it() -> None:
    world = World()
    await world.exchange()
    world.writer.write("over")
    world.tell()
    world.deliver()
    world.writer.end()
    late = world.watcher(after=len(world.log.events_))
    await late.look()
    assert late.screen == {}


async def test_text_that_comes_before_its_event_was_read_is_shown_behind_it() -> None:
    world = World()
    await world.exchange()
    (watcher,) = world.watchers
    world.writer.end()
    world.writer.write("early")
    world.tell()
    read = world.log.events

    async def overtaken(run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        """Reads, and what it has read is old by the time it comes."""
        world.deliver()
        return [] if after_sequence == 2 else await read(run_id, after_sequence, limit)

    world.log.events = overtaken  # type: ignore[method-assign]  # once
    for topic in world.hub.elsewhere().values():
        topic.wake()
    await watcher.look()
    assert watcher.screen == {}
    world.log.events = read  # type: ignore[method-assign]
    await watcher.look()
    assert watcher.text == {0: "early"}
