"""Whom lanes share slots as, and in which order shares are served.

Claims go around the shares like the hand of a clock, from behind the last one that was served. At each visit a share
gets as many lanes as its weight says: one, unless it has a weight of its own. What a weight has behind the point is
saved for the next visit, so that a share of weight 0.5 is served at every second one. A share is a number of a tenant,
so that what callers call it is nobody's business here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TypeVar

Share = tuple[str, int]
"""A tenant, and what `fairness.share_of` makes of one of its keys. In this order the hand goes."""

BEFORE_ALL: Share = ("", -1)
"""In front of every share."""

WeightsOf = Callable[[str], Mapping[int, float]]
"""Of a tenant: weights above 0 by the number of the share; of all its others it is 1."""

_NO_WEIGHTS: Mapping[int, float] = {}

DUE_AT_ONCE = 1_000
"""So many lanes at most join those that wait with one claim, because their time has come."""

Lane = TypeVar("Lane")


class Wheel:
    """Where the hand stands. One for each replica."""

    def __init__(self, weights_of: WeightsOf | None = None) -> None:
        """`weights_of` is asked once for each tenant that is met."""
        self._weights_of = weights_of
        self._weights: dict[str, Mapping[int, float]] = {}
        self._light = 0
        """How many shares of the tenants that were met weigh less than 1."""
        self._saved: dict[Share, float] = {}
        """Of what a share may take at its next visit, that which is not its weight. None is written down: 0."""
        self.behind = BEFORE_ALL
        """The share that was visited last."""

    def enough(self, room: int) -> int:
        """How many shares to look at, so that the room is filled though some may be passed over."""
        return room + self._light if room else 0

    def depths(self, shares: Sequence[Share], room: int) -> list[int]:
        """How many lanes of each to look at, so that the room is filled if all have so many."""
        visits = self._visits_until_one(shares)
        while (missing := room - sum(self._served_by(share, visits) for share in shares)) > 0:
            visits += ceil(missing / sum(map(self._weight, shares)))
        return [min(room, self._served_by(share, visits)) for share in shares]

    def serve(
        self, shares: Sequence[Share], waiting: Sequence[Sequence[Lane]], room: int, may: Callable[[Lane], bool]
    ) -> list[Lane]:
        """Up to so many of the lanes that may be taken, in the order in which they are.

        `shares` are those behind the last one that was visited, in order; of each `waiting` has the first lanes. `may`
        is asked of each lane once, when its turn has come.
        """
        taken: list[Lane] = []
        left = [deque(lanes) for lanes in waiting]
        while len(taken) < room and any(left):
            for share, lanes in zip(shares, left, strict=True):
                if not self._visit(share, lanes, taken, room, may):
                    return taken
            self._pass_empty_rounds([share for share, lanes in zip(shares, left, strict=True) if lanes])
        return taken

    def _visit(
        self, share: Share, lanes: deque[Lane], taken: list[Lane], room: int, may: Callable[[Lane], bool]
    ) -> bool:
        """False once there is no room."""
        budget = self._saved.pop(share, 0.0) + self._weight(share)
        while budget >= 1 and lanes and len(taken) < room:
            if may(lane := lanes.popleft()):
                taken.append(lane)
                budget -= 1
        if budget >= 1 and len(taken) == room:
            self._save(share, budget - self._weight(share))
            self.behind = (share[0], share[1] - 1)
        else:
            self._save(share, budget if budget < 1 else 0.0)
            self.behind = share
        return len(taken) < room

    def _pass_empty_rounds(self, shares: Sequence[Share]) -> None:
        """Rounds in which each of these only saves."""
        rounds = self._visits_until_one(shares) - 1
        if rounds > 0:
            for share in shares:
                self._save(share, self._saved.get(share, 0.0) + rounds * self._weight(share))

    def _visits_until_one(self, shares: Sequence[Share]) -> int:
        """At which of the next visits the first lane of any of these is taken."""
        visits = (ceil((1 - self._saved.get(share, 0.0)) / self._weight(share)) for share in shares)
        return max(1, min(visits, default=1))

    def _save(self, share: Share, saved: float) -> None:
        if saved and share[1] in self._of_tenant(share[0]):
            self._saved[share] = saved
        else:
            self._saved.pop(share, None)

    def _served_by(self, share: Share, visits: int) -> int:
        return max(0, int(self._saved.get(share, 0.0) + visits * self._weight(share)))

    def _weight(self, share: Share) -> float:
        return self._of_tenant(share[0]).get(share[1], 1.0)

    def _of_tenant(self, tenant: str) -> Mapping[int, float]:
        if self._weights_of is None:
            return _NO_WEIGHTS
        known = self._weights.get(tenant)
        if known is None:
            known = self._weights[tenant] = self._weights_of(tenant)
            self._light += sum(weight < 1 for weight in known.values())
        return known
