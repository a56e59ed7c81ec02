"""A token bucket: so many a second, and some more at once after a quiet while."""

from __future__ import annotations


class Bucket:
    """Fills with time; whoever takes one makes it emptier. Times are seconds of one stopwatch."""

    __slots__ = ("_at_s", "_burst", "_level", "_per_s")

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        """Full. `per_s` is above 0; `burst` of less than one is one."""
        self._per_s = per_s
        self._burst = self._level = max(1.0, burst)
        self._at_s = now_s

    def missing_s(self, now_s: float) -> float:
        """After how long there is one to take; 0: now."""
        self._fill(now_s)
        # A hair less than one is one: what flows in in pieces need not add up to it exactly.
        return 0.0 if self._level >= 1 - 1e-9 else (1 - self._level) / self._per_s

    def take(self) -> None:
        """For whom it is missing nothing."""
        self._level -= 1

    def is_of(self, per_s: float, burst: float) -> bool:
        return (self._per_s, self._burst) == (per_s, max(1.0, burst))

    def is_full(self, now_s: float) -> bool:
        """As it was when it was new, so that it can as well be forgotten."""
        self._fill(now_s)
        return self._level >= self._burst

    def _fill(self, now_s: float) -> None:
        self._level = min(self._burst, self._level + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
