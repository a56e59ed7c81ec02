"""Text of runs that are watched here and executed elsewhere.

Whoever executes such a run is asked for it: at once when somebody begins to watch, again when a piece is missing, and
every few seconds, so that it knows that we are still here and a replica that takes the run over hears of us.
"""

from __future__ import annotations

from collections.abc import Callable

from sendoff_server.clock import Clock
from sendoff_server.runs.hub import Hub, Topic
from sendoff_server.store.hints import Text, Watches

REPEAT_S = 3.0
ASK_AGAIN_S = 0.5
"""What was asked for anew may be under way that long."""


class RemoteText:
    """Which runs we have asked for, and what comes of it."""

    def __init__(self, hub: Hub, clock: Clock, ring: Callable[[], None]) -> None:
        """`ring`: called when there is something to ask."""
        self._hub = hub
        self._clock = clock
        self._ring = ring
        self._asked: dict[str, Topic] = {}
        self._asked_again: dict[str, float] = {}
        """When a piece was missing."""
        self._has_changed = False
        self._repeated_at = clock.monotonic()
        hub.on_watched = self._watched

    def due(self) -> Watches | None:
        """What is to be asked."""
        repeats = self.left_s() <= 0
        if not self._has_changed and not repeats:
            return None
        wanted = self._hub.wanting_text()
        watches = Watches(
            begin=[run_id for run_id, topic in wanted.items() if self._asked.get(run_id) is not topic],
            still=self._still(wanted) if repeats else {},
            over=[run_id for run_id in self._asked if run_id not in wanted],
        )
        self._asked, self._has_changed = wanted, False
        if repeats:
            self._repeated_at = self._clock.monotonic()
            self._asked_again.clear()
        return watches if watches.begin or watches.still or watches.over else None

    def left_s(self) -> float:
        """Until it is to be repeated."""
        return self._repeated_at + REPEAT_S - self._clock.monotonic()

    def heard(self, text: Text) -> None:
        """A piece came."""
        topic = self._asked.get(text.run_id)
        if topic is not None and topic.is_elsewhere and not topic.write_from_elsewhere(text.sequence, text.delta):
            self._ask_again(text.run_id)

    def begin_anew(self) -> None:
        """What was asked or sent last may not have come."""
        self._asked = {}
        self._watched()

    def _still(self, wanted: dict[str, Topic]) -> dict[str, int]:
        return {run_id: topic.text_length for run_id, topic in wanted.items() if self._asked.get(run_id) is topic}

    def _ask_again(self, run_id: str) -> None:
        now = self._clock.monotonic()
        if now >= self._asked_again.get(run_id, now - ASK_AGAIN_S) + ASK_AGAIN_S:
            self._asked_again[run_id] = now
            self._asked.pop(run_id, None)
            self._watched()

    def _watched(self) -> None:
        self._has_changed = True
        self._ring()
