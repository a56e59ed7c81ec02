"""What one stream has taken and nobody has acknowledged: what becomes of each, as notes for the store.

The notes are of attempts like those of a delivery that is sent: an acknowledgement is a success, all else a failure.
One that the receiver gave back, or kept for too long, comes again after the pause of the schedule. What is on the way
when the stream ends says nothing about the receiver: it is due again at once, and never given up for it. And what
was taken, but not handed out before it was overdue or the stream ended, had no attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sendoff import v1
from sendoff_server.callbacks import schedule
from sendoff_server.clock import SECOND_NS, Clock, timestamp
from sendoff_server.store.items import NoteAttempt
from sendoff_server.store.questions import Delivery

STREAM_ENDED = "the stream ended before it was acknowledged"
GIVEN_BACK = "the receiver gave it back"


@dataclass(frozen=True, slots=True)
class _Taken:
    """A delivery without its run, which may be large."""

    id: str
    attempts: int
    """This one not counted."""
    create_ns: int
    begun_ns: int
    begun_s: float
    """By the stopwatch."""
    is_out: bool = False
    """It was handed out."""


class OnTheWay:
    """The deliveries of one stream, the one that is overdue first in front."""

    def __init__(self, clock: Clock, *, ack_timeout_s: float, give_up_s: float, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._clock = clock
        self._ack_timeout_s = ack_timeout_s
        self._give_up_s = give_up_s
        self._chance = chance
        self._taken: dict[str, _Taken] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, delivery: Delivery) -> None:
        """It is this stream's from now on."""
        self._taken[delivery.id] = _Taken(
            id=delivery.id,
            attempts=delivery.attempts,
            create_ns=delivery.create_ns,
            begun_ns=self._clock.now_ns(),
            begun_s=self._clock.monotonic(),
        )

    def hand_out(self, delivery_id: str) -> bool:
        """It is its turn: the time to acknowledge it begins. False: it is not this stream's any more."""
        taken = self._taken.pop(delivery_id, None)
        if taken is None:
            return False
        now_ns, now_s = self._clock.now_ns(), self._clock.monotonic()
        self._taken[delivery_id] = replace(taken, begun_ns=now_ns, begun_s=now_s, is_out=True)
        return True

    def forget(self, delivery_id: str) -> None:
        """It was deleted."""
        self._taken.pop(delivery_id, None)

    def acknowledged(self, delivery_id: str) -> NoteAttempt | None:
        """None for one that is not on the way."""
        held = self._received(delivery_id)
        if held is None:
            return None
        return NoteAttempt(delivery_id=held.id, attempt=self._attempt(held, ""), since_ns=held.create_ns)

    def given_back(self, delivery_id: str, error: str) -> NoteAttempt | None:
        """None for one that is not on the way."""
        held = self._received(delivery_id)
        return None if held is None else self._failed(held, error or GIVEN_BACK)

    def overdue_in_s(self) -> float:
        """When the next one is overdue, be it one that is taken only from now on."""
        first = next(iter(self._taken.values()), None)
        return self._ack_timeout_s if first is None else self._left_s(first)

    def give_up_overdue(self) -> list[NoteAttempt]:
        """Those that were not acknowledged in time are not this stream's any more."""
        overdue: list[_Taken] = []
        for held in self._taken.values():
            if self._left_s(held) > 0:
                break
            overdue.append(held)
        for held in overdue:
            del self._taken[held.id]
        told = f"it was not acknowledged within {self._ack_timeout_s:g} s"
        return [self._failed(held, told) if held.is_out else self._put_back(held) for held in overdue]

    def give_up_all(self) -> list[NoteAttempt]:
        """The stream ends: nothing is its own any more."""
        taken, self._taken = self._taken, {}
        return [self._put_back(held) for held in taken.values()]

    def _received(self, delivery_id: str) -> _Taken | None:
        """What the receiver speaks of, which ends with that."""
        held = self._taken.get(delivery_id)
        return self._taken.pop(delivery_id) if held is not None and held.is_out else None

    def _left_s(self, held: _Taken) -> float:
        return held.begun_s + self._ack_timeout_s - self._clock.monotonic()

    def _attempt(self, held: _Taken, error: str) -> v1.DeliveryAttempt:
        took_ns = round((self._clock.monotonic() - held.begun_s) * SECOND_NS)
        return v1.DeliveryAttempt(start_time=timestamp(held.begun_ns), duration_ns=took_ns, error=error)

    def _put_back(self, held: _Taken) -> NoteAttempt:
        attempt = self._attempt(held, STREAM_ENDED) if held.is_out else None
        return NoteAttempt(delivery_id=held.id, attempt=attempt, next_attempt_ns=self._clock.now_ns())

    def _failed(self, held: _Taken, error: str) -> NoteAttempt:
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
