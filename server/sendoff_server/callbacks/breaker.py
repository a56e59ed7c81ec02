"""How many attempts each receiver may have under way: pure rules.

A receiver is a host and port. One that does well may have PER_RECEIVER. One whose last attempt failed has a single one,
until one succeeds. After PATIENCE failures in a row it has none for a pause, which doubles from 5 s to 5 min; then a
single one, and with its failure the next pause begins.

Those that fail share half of what the server may have under way. So there is room for the others, however many fail
and however long each lets the server wait.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

PER_RECEIVER = 4
PATIENCE = 5
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
JITTER = 0.2
MOST_FAILING = 10_000
"""So many are remembered; of more, those that failed longest ago are taken for well."""


@dataclass(slots=True)
class _Failing:
    failures: int = 0
    """In a row."""
    until_s: float = 0.0
    """Nothing is sent before."""


class Breaker:
    """Keeps count of the attempts of one process. Times are of one clock that never goes back."""

    def __init__(self, at_once: int, chance: Callable[[], float]) -> None:
        """`at_once`: attempts under way at all receivers. `chance` gives numbers from 0 to 1."""
        self._most_at_failing = max(1, at_once // 2)
        self._chance = chance
        self._under_way: Counter[str] = Counter()
        self._failing: OrderedDict[str, _Failing] = OrderedDict()
        """The next to be offered something first."""

    def begin(self, receiver: str) -> None:
        self._under_way[receiver] += 1

    def end(self, receiver: str) -> None:
        self._under_way[receiver] -= 1
        if not self._under_way[receiver]:
            del self._under_way[receiver]

    def succeeded(self, receiver: str) -> None:
        self._failing.pop(receiver, None)

    def failed(self, receiver: str, now_s: float) -> float | None:
        """For how long it is left alone, if that begins now."""
        failing = self._failing.setdefault(receiver, _Failing())
        if len(self._failing) > MOST_FAILING:
            self._failing.popitem(last=False)
        if now_s < failing.until_s:  # this one had begun before the pause; the next is for the probe to bring about
            return None
        failing.failures += 1
        if failing.failures < PATIENCE:
            return None
        pause_s = _pause_s(failing.failures, self._chance())
        failing.until_s = now_s + pause_s
        return pause_s

    def room(self, now_s: float) -> dict[str, int]:
        """How many more each of these may have; all others may have PER_RECEIVER.

        Those that fail take turns in what they share: whoever is offered something now is last the next time.
        """
        room = {each: max(0, PER_RECEIVER - count) for each, count in self._under_way.items()}
        room |= dict.fromkeys(self._failing, 0)
        taken = sum(count for each, count in self._under_way.items() if each in self._failing)
        for receiver in self._next(max(0, self._most_at_failing - taken), now_s):
            room[receiver] = 1
            self._failing.move_to_end(receiver)
        return room

    def _next(self, most: int, now_s: float) -> list[str]:
        found: list[str] = []
        for receiver, failing in self._failing.items():
            if len(found) >= most:
                break
            if failing.until_s <= now_s and receiver not in self._under_way:
                found.append(receiver)
        return found


def _pause_s(failures: int, chance: float) -> float:
    grown_s = min(FIRST_PAUSE_S * 2.0 ** min(failures - PATIENCE, 30), LONGEST_PAUSE_S)
    return grown_s * (1 - JITTER + 2 * JITTER * chance)
