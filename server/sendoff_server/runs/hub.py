"""What watchers of a run share: its newest state, the tail of its log, and the text being written.

A watcher pulls: it keeps only how far it has come, asks its run's `Topic` for what is new, and waits for the topic to
change. So a slow watcher costs nothing and text is joined by itself when pieces come faster than they are read. What
a topic no longer holds is read from the store.

A topic exists while its run is executed here or somebody watches it. Everything happens on the event loop, between
two awaits.

Where other processes write to the store, only of a run that is executed here a topic knows all. Of others watchers read
the store; that there is something new to read is told by the lookout (`lookout.py`), and no run that has ended is
remembered. Text of theirs comes in hints (`remote_text.py`), each piece with how far the log was when it was written:
it is shown to those alone who have seen the log up to there and no further, so that it is never of a message that they
do not know, or that is over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server.lifecycle import is_terminal

TAIL_EVENTS = 64
"""Events that a topic holds; older ones are read from the store."""
FINISHED_RUNS = 4_096
"""Ended runs that are remembered, those that ended here or were asked for."""
DELETED_OWNERS = 1_000

PartKey = tuple[str, int]
"""(message_id, part_index)."""
OnRun = Callable[[str], None]
"""Takes the id of a run."""


@dataclass(slots=True)
class Part:
    """One part of a message that is being written."""

    kind: str
    """The arm of `MessageDelta.delta`."""
    pieces: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    """Code points in front of each piece."""
    length: int = 0

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.offsets.append(self.length)
        self.length += len(text)


class Topic:
    """What watchers of one run share."""

    def __init__(self, run_id: str, *, shared: bool = False) -> None:
        """`shared`: other processes may execute the run."""
        self.run_id = run_id
        self._shared = shared
        self.run: v1.Run | None = None
        """As last recorded in this process; None if nothing was since the topic was opened."""
        self.tenant: str | None = None
        """Set while the run is executed here."""
        self.writing_to = 0
        """Where the log ends with what was last given to the store, which has it a moment before this topic does."""
        self.watchers = 0
        self.owners: tuple[str, ...] = ()
        """As `owners` tells them. Set while the run is watched."""
        self.deleted = False
        """The run is gone, by itself or with its owner."""
        self.seen_mark: str | None = None
        """Of the run, as the lookout saw it last."""
        self.parts: dict[PartKey, Part] = {}
        self.text_sequence = 0
        """Of text that is written elsewhere: the last event of the log when the newest of it was written."""
        self.text_watchers = 0
        """Those who want the text that is being written."""
        self.on_text: OnRun | None = None
        """Told when text is written here."""
        self.changes = 0
        """Grows when there may be something new in the log. Text alone does not count: else whoever watches a run that
        is executed elsewhere would ask the store at each piece."""
        self._tail: deque[v1.RunEvent] = deque(maxlen=TAIL_EVENTS)
        self._changed: asyncio.Future[None] | None = None

    def changed(self) -> asyncio.Future[None]:
        """Done at the next change. Take it before looking, so that no change between looking and waiting is missed."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    def wake(self) -> None:
        """Have those who watch look at the log, and at the text."""
        self.changes += 1
        self._rouse()

    def _rouse(self) -> None:
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process may write to the run."""
        return self._shared and self.tenant is None

    @property
    def is_newest(self) -> bool:
        """Whether nobody can have read more of the run in the store than `run` tells."""
        return self.run is not None and self.run.last_sequence >= self.writing_to

    @property
    def text_length(self) -> int:
        """Code points of what is being written."""
        return sum(part.length for part in self.parts.values())

    def take_up(self, tenant: str, run: v1.Run) -> None:
        """The run is executed here from now on."""
        if self._tail and self._tail[-1].sequence != run.last_sequence:
            self._tail.clear()  # another process has written meanwhile
        self.parts.clear()
        self.tenant = tenant
        self.writing_to = 0
        if self.run is None or self.run.last_sequence < run.last_sequence:
            self.run = run
            self.wake()  # what another process has written is not told by anything that happens here

    def tail(self, after_sequence: int) -> list[v1.RunEvent] | None:
        """The events after that sequence; None if the topic does not hold them all."""
        if self.is_elsewhere:
            return None
        if self.run is not None and self.run.last_sequence <= after_sequence:
            return []
        if not self._tail or self._tail[0].sequence > after_sequence + 1:
            return None
        return [event for event in self._tail if event.sequence > after_sequence]

    def recorded(self, run: v1.Run, events: Sequence[v1.RunEvent]) -> None:
        """These events are durable now, and this is the run."""
        self.run = run
        self._tail.extend(events)
        self._drop_told(events)
        self.wake()

    def read(self, events: Sequence[v1.RunEvent]) -> None:
        """Somebody has read these in the store, of a run that is executed elsewhere."""
        if self._drop_told(events):
            self.text_sequence = max(self.text_sequence, events[-1].sequence)  # what comes late is not shown any more

    def write(self, message_id: str, part_index: int, kind: str, text: str) -> None:
        """More text of a message that is being written."""
        part = self.parts.get((message_id, part_index))
        if part is None:
            part = self.parts[message_id, part_index] = Part(kind)
        part.add(text)
        self._rouse()
        if self.on_text is not None:
            self.on_text(self.run_id)

    def write_from_elsewhere(self, sequence: int, delta: v1.MessageDelta) -> bool:
        """A piece of a message that another process is writing, of when the log was so far. False if one in front of
        it is missing. One that came before, or is of a message that was over by then, changes nothing."""
        if sequence < self.text_sequence:
            return True
        if sequence > self.text_sequence:
            self.text_sequence = sequence
            self.parts = {key: part for key, part in self.parts.items() if key[0] == delta.message_id}
            self.changes += 1
        key = (delta.message_id, delta.part_index)
        held = self.parts[key].length if key in self.parts else 0
        kind = delta.WhichOneof("delta") or "text"
        if delta.offset <= held and (new := getattr(delta, kind)[held - delta.offset :]):
            self.write(*key, kind, new)
        return delta.offset <= held

    def _drop_told(self, events: Sequence[v1.RunEvent]) -> bool:
        """Whether one of them ends a message."""
        ended = {_ended_by(event) for event in events} - {""}
        if self.parts and ended:
            self.parts = {key: part for key, part in self.parts.items() if key[0] not in ended}
        return bool(ended)


def _ended_by(event: v1.RunEvent) -> str:
    """The message that is final or retracted with that event."""
    kind = event.WhichOneof("event")
    return event.message.id if kind == "message" else event.message_retracted.message_id


class Hub:
    """The topics of this process, and the runs that have lately ended here."""

    def __init__(self, *, shared: bool = False) -> None:
        """`shared`: other processes execute runs too."""
        self._shared = shared
        self._topics: dict[str, Topic] = {}
        self._finished: OrderedDict[str, tuple[str, v1.Run]] = OrderedDict()
        self._deleted: OrderedDict[str, None] = OrderedDict()
        """Agents, conversations and runs deleted lately, because a run may just be on its way from the store."""
        self.on_text: OnRun | None = None
        """Told when text of a run is written here."""
        self.on_forgotten: Callable[[str], None] | None = None
        """Told what was deleted here."""
        self.on_watched: Callable[[], None] | None = None
        """Told when `wanting_text` may have changed."""

    @contextmanager
    def watching(self, run_id: str, *, text: bool = False) -> Iterator[Topic]:
        """A run's topic, for as long as somebody looks at it. `text`: also at what is being written."""
        topic = self._open(run_id)
        topic.watchers += 1
        topic.text_watchers += text
        self._text_watched(topic)
        try:
            yield topic
        finally:
            self._text_watched(topic)
            topic.watchers -= 1
            topic.text_watchers -= text
            self._close_if_idle(topic)

    @contextmanager
    def executing(self, tenant: str, run: v1.Run) -> Iterator[Topic]:
        """A run's topic, while the run is executed here and nobody else changes it."""
        topic = self._open(run.id)
        topic.take_up(tenant, run)
        topic.on_text = self.on_text if self._shared else None
        self._text_watched(topic)
        try:
            yield topic
        finally:
            topic.tenant = topic.on_text = None
            topic.parts.clear()
            topic.text_sequence = topic.run.last_sequence if topic.run is not None else 0
            self._text_watched(topic)
            if topic.is_elsewhere:
                topic.wake()  # what comes next, if anything does, is for the store to tell
            self._close_if_idle(topic)

    def ended(self, tenant: str, run: v1.Run) -> None:
        """A run was ended from outside, while it was queued. It may have been claimed meanwhile, to be executed as it
        was before; nobody is to see that state any more."""
        self.remember(tenant, run)
        topic = self._topics.get(run.id)
        if topic is not None and (topic.run is None or topic.run.last_sequence < run.last_sequence):
            topic.run = run
            topic.wake()

    def changed(self, run: v1.Run, tenant: str | None = None) -> None:
        """A run that had stopped for actions is so from now on: they have answers, or are settled. The tenant is needed
        for one that is settled."""
        self._finished.pop(run.id, None)
        if tenant is not None:
            self.remember(tenant, run)
        topic = self._topics.get(run.id)
        if topic is not None:
            topic.run = run
            topic.wake()

    def recorded(self, run: v1.Run, events: Sequence[v1.RunEvent], continued: v1.Run | None = None) -> None:
        """Events that are durable now, with the run as it is after them, and the run whose actions it has settled."""
        topic = self._topics.get(run.id)
        if topic is None:
            return
        if continued is not None and topic.tenant is not None:
            self.changed(continued, topic.tenant)
        topic.recorded(run, events)
        if topic.tenant is not None and is_terminal(run):
            self.remember(topic.tenant, run)

    def known(self, tenant: str, run_id: str) -> v1.Run | None:
        """The newest state of a run that is executed here or has lately ended here; None while the store may have a
        newer one."""
        finished = self._finished.get(run_id)
        if finished is not None:
            return finished[1] if finished[0] == tenant else None
        topic = self._topics.get(run_id)
        return topic.run if topic is not None and topic.tenant == tenant and topic.is_newest else None

    def forget(self, owner_id: str) -> None:
        """That agent or conversation is deleted, and its runs with it; or that run is."""
        self._deleted[owner_id] = None
        if len(self._deleted) > DELETED_OWNERS:
            self._deleted.popitem(last=False)
        if self.on_forgotten is not None:
            self.on_forgotten(owner_id)
        for run_id in [run_id for run_id, (_, run) in self._finished.items() if owner_id in owners(run)]:
            del self._finished[run_id]
        for topic in self._topics.values():
            if owner_id in topic.owners:
                topic.deleted = True
            topic.wake()

    def elsewhere(self) -> dict[str, Topic]:
        """The topics of runs that are watched here and that another process may write to, by run."""
        return {topic.run_id: topic for topic in self._topics.values() if topic.is_elsewhere}

    def wanting_text(self) -> dict[str, Topic]:
        """Those of them of which somebody wants the text that is being written."""
        return {run_id: topic for run_id, topic in self.elsewhere().items() if topic.text_watchers}

    def executed(self, run_id: str) -> Topic | None:
        """The topic of a run that is executed here."""
        topic = self._topics.get(run_id)
        return topic if topic is not None and topic.tenant is not None else None

    def wake_all(self) -> None:
        """Have every watcher look around, because the server is stopping."""
        for topic in list(self._topics.values()):
            topic.wake()

    def remember(self, tenant: str, run: v1.Run) -> None:
        """Keep a run that has ended at hand, if nothing changes it any more, but that its owner may be deleted. What
        pending actions wait for is still to come, and a callback may be tried again at any time, here or elsewhere."""
        still_changes = self._shared or run.pending_actions or run.callback.HasField("url")
        if still_changes or any(owner_id in self._deleted for owner_id in owners(run)):
            return
        self._finished[run.id] = (tenant, run)
        if len(self._finished) > FINISHED_RUNS:
            self._finished.popitem(last=False)

    def _open(self, run_id: str) -> Topic:
        topic = self._topics.get(run_id)
        if topic is None:
            topic = self._topics[run_id] = Topic(run_id, shared=self._shared)
        return topic

    def _text_watched(self, topic: Topic) -> None:
        if self._shared and topic.text_watchers and self.on_watched is not None:
            self.on_watched()

    def _close_if_idle(self, topic: Topic) -> None:
        if topic.tenant is None and topic.watchers == 0:
            self._topics.pop(topic.run_id, None)


def owners(run: v1.Run) -> tuple[str, str, str]:
    """Whose deletion deletes the run: its agent's, its conversation's (empty for the default one), and its own."""
    return run.agent_id, run.conversation_id, run.id
