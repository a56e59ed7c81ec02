"""Which runs can be purged, by what an engine has found of them."""

from __future__ import annotations

from dataclasses import dataclass

from sendoff import v1
from sendoff_server.clock import SECOND_NS

PUT_OFF_NS = 600 * SECOND_NS
"""How long a run that cannot go yet is left alone."""


@dataclass(frozen=True, slots=True)
class DuePurge:
    """A run whose time is over."""

    run_no: int
    run_id: str
    lane_no: int
    is_deleted: bool
    """Only its log is still there."""
    must_stay: bool
    """It waits for answers, or one of its deliveries is not done."""
    body: bytes | None
    """Of the run. None: its lane has nothing that is not over."""
    head: bytes | None
    """Body of the lane's head."""
    awaited: bytes | None
    """Body of the run for whose answers the lane waits."""

    @property
    def can_go(self) -> bool:
        """What is not over of a lane's turns is its head's and that of the run that waits."""
        if self.is_deleted or self.must_stay or self.body is None:
            return not self.must_stay
        return _turn(self.body) not in {_turn(other) for other in (self.head, self.awaited) if other is not None}


def _turn(body: bytes) -> str:
    run = v1.Run.FromString(body)
    return run.turn_id or run.id
