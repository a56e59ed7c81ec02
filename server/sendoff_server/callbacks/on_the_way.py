"""What one stream has handed out and nobody has acknowledged: what becomes of each, as notes for the store.

The notes are of attempts like those of a delivery that is sent: an acknowledgement is a success, all else a failure.
One that the receiver gave back, or kept for too long, comes again after the pause of the schedule. What is on the way
when the stream ends says nothing about the receiver: it is due again at once, and never given up for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sendoff import v1
from sendoff_server.callbacks import schedule
from sendoff_server.clock import SECOND_NS, Clock, timestamp
from sendoff_server.store.items import NoteAttempt
from sendoff_server.store.questions import Delivery

STREAM_ENDED = "the stream ended before it was acknowledged"
GIVEN_BACK = "the receiver gave it back"


@dataclass(frozen=True, slots=True)
class _HandedOut:
    """A delivery without its run, which may be large."""

    id: str
    attempts: int
    """This one not counted."""
    create_ns: int
    begun_ns: int
    begun_s: float
    """By the stopwatch."""


class OnTheWay:
    """The deliveries of one stream, the one that was handed out first in front. So it is overdue first, too."""

    def __init__(self, clock: Clock, *, ack_timeout_s: float, give_up_s: float, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._clock = clock
        self._ack_timeout_s = ack_timeout_s
        self._give_up_s = give_up_s
        self._chance = chance
        self._handed_out: dict[str, _HandedOut] = {}

    def __len__(self) -> int:
        return len(self._handed_out)

    def __contains__(self, delivery_id: str) -> bool:
        return delivery_id in self._handed_out

    def begin(self, delivery: Delivery) -> None:
        self._handed_out[delivery.id] = _HandedOut(
            id=delivery.id,
            attempts=delivery.attempts,
            create_ns=delivery.create_ns,
            begun_ns=self._clock.now_ns(),
            begun_s=self._clock.monotonic(),
        )

    def forget(self, delivery_id: str) -> None:
        """It was deleted."""
        self._handed_out.pop(delivery_id, None)

    def acknowledged(self, delivery_id: str) -> NoteAttempt | None:
        """None for one that is not on the way."""
        held = self._handed_out.pop(delivery_id, None)
        return held and NoteAttempt(delivery_id=held.id, attempt=self._attempt(held, ""))

    def given_back(self, delivery_id: str, error: str) -> NoteAttempt | None:
        """None for one that is not on the way."""
        held = self._handed_out.pop(delivery_id, None)
        return held and self._failed(held, error or GIVEN_BACK)

    def overdue_in_s(self) -> float:
        """When the next one is overdue that is on the way, or may be from now on."""
        first = next(iter(self._handed_out.values()), None)
        return self._ack_timeout_s if first is None else self._left_s(first)

    def take_overdue(self) -> list[NoteAttempt]:
        """Those that were not acknowledged in time. They are not on the way any more."""
        overdue: list[_HandedOut] = []
        for held in self._handed_out.values():
            if self._left_s(held) > 0:
                break
            overdue.append(held)
        for held in overdue:
            del self._handed_out[held.id]
        return [self._failed(held, f"it was not acknowledged within {self._ack_timeout_s:g} s") for held in overdue]

    def take_all(self) -> list[NoteAttempt]:
        """The stream ends: nothing is on the way any more."""
        held, self._handed_out = self._handed_out, {}
        return [self._put_back(each) for each in held.values()]

    def _left_s(self, held: _HandedOut) -> float:
        return held.begun_s + self._ack_timeout_s - self._clock.monotonic()

    def _attempt(self, held: _HandedOut, error: str) -> v1.DeliveryAttempt:
        took_ns = round((self._clock.monotonic() - held.begun_s) * SECOND_NS)
        return v1.DeliveryAttempt(start_time=timestamp(held.begun_ns), duration_ns=took_ns, error=error)

    def _put_back(self, held: _HandedOut) -> NoteAttempt:
        attempt = self._attempt(held, STREAM_ENDED)
        return NoteAttempt(delivery_id=held.id, attempt=attempt, next_attempt_ns=self._clock.now_ns())

    def _failed(self, held: _HandedOut, error: str) -> NoteAttempt:
        attempts, now_ns = held.attempts + 1, self._clock.now_ns()
        # A delivery may have waited for days for somebody to pull it, who is then to have his attempts all the same.
        waited_since_ns = max(held.create_ns, now_ns - int(schedule.span_s(attempts) * SECOND_NS))
        return NoteAttempt(
            delivery_id=held.id,
            attempt=self._attempt(held, error),
            next_attempt_ns=schedule.next_attempt_ns(
                now_ns,
                schedule.pause_s(attempts, self._chance()),
                waited_since_ns + int(self._give_up_s * SECOND_NS),
            ),
        )
