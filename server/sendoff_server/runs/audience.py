"""Watchers on other replicas of the text that is being written here.

A replica that has such watchers says so, and says so again every few seconds, with how much of the text it has; if it
stops, it is gone. Each has a cursor over the text of a run, as a watcher here has, and is sent what is behind it. Whom
something was lost for begins anew; what it has already it passes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sendoff_server.clock import Clock
from sendoff_server.runs.following import Cursor, next_deltas
from sendoff_server.runs.hub import Hub
from sendoff_server.store.hints import Text, Watches

GONE_S = 10.0
"""A replica that has not repeated that it has watchers for so long has none."""
SWEEP_S = 2.0
MAX_RUNS = 20_000
"""With watchers elsewhere, whoever executes them. Watchers of more get whole messages."""


@dataclass(slots=True)
class Listener:
    """A replica that has watchers of a run."""

    heard_at: float
    cursor: Cursor = field(default_factory=lambda: Cursor(0))
    sent: int = 0
    """Code points of what is being written."""
    sent_before: int = 0
    """The same when it last said what it has: by now it must have come."""

    def begin_anew(self) -> None:
        self.cursor, self.sent, self.sent_before = Cursor(0), 0, 0


class Audience:
    """Who listens, and what it is to be sent next."""

    def __init__(self, hub: Hub, clock: Clock, ring: Callable[[], None]) -> None:
        """`ring`: called when there is something to send."""
        self._hub = hub
        self._clock = clock
        self._ring = ring
        self._listeners: dict[str, dict[str, Listener]] = {}
        """By run and replica."""
        self._behind: dict[str, None] = {}
        """Runs of which a listener may not have all."""
        self._swept_at = clock.monotonic()
        hub.on_text = self._written

    def heard(self, replica_id: str, watches: Watches) -> None:
        """A replica tells of which runs it has watchers."""
        for run_id in watches.over:
            self._forget(run_id, replica_id)
        for run_id in watches.begin:
            self._listen(run_id, replica_id, None)
        for run_id, held in watches.still.items():
            self._listen(run_id, replica_id, held)

    def due(self) -> Iterator[Text]:
        """What is to be sent."""
        self._sweep()
        behind, self._behind = self._behind, {}
        for run_id in behind:
            topic = self._hub.executed(run_id)
            if topic is None or topic.run is None:
                continue
            for replica_id, listener in self._listeners.get(run_id, {}).items():
                for delta in next_deltas(topic, listener.cursor):
                    yield Text(replica_id, run_id, topic.run.last_sequence, delta)
                listener.sent = topic.text_length

    def begin_anew(self) -> None:
        """What was sent last may not have come."""
        for run_id, listeners in self._listeners.items():
            for listener in listeners.values():
                listener.begin_anew()
            self._behind[run_id] = None

    def _written(self, run_id: str) -> None:
        if run_id in self._listeners:
            self._behind[run_id] = None
            self._ring()

    def _listen(self, run_id: str, replica_id: str, held: int | None) -> None:
        """`held`: how many code points it says it has; None: it is to be sent all."""
        if run_id not in self._listeners and len(self._listeners) >= MAX_RUNS:
            return
        listeners = self._listeners.setdefault(run_id, {})
        listener = listeners.setdefault(replica_id, Listener(self._clock.monotonic()))
        listener.heard_at = self._clock.monotonic()
        if held is None or held < min(listener.sent_before, self._written_of(run_id)):
            listener.begin_anew()
        else:
            listener.sent_before = listener.sent
        self._written(run_id)

    def _written_of(self, run_id: str) -> int:
        topic = self._hub.executed(run_id)
        return 0 if topic is None else topic.text_length

    def _forget(self, run_id: str, replica_id: str) -> None:
        listeners = self._listeners.get(run_id, {})
        listeners.pop(replica_id, None)
        if not listeners:
            self._listeners.pop(run_id, None)

    def _sweep(self) -> None:
        """Forget those that are gone, now and then."""
        now = self._clock.monotonic()
        if now < self._swept_at + SWEEP_S:
            return
        self._swept_at = now
        gone = [
            (run_id, replica_id)
            for run_id, listeners in self._listeners.items()
            for replica_id, listener in listeners.items()
            if now > listener.heard_at + GONE_S
        ]
        for run_id, replica_id in gone:
            self._forget(run_id, replica_id)
