"""Labels whose values are not ours to choose, and still few."""

from __future__ import annotations

OTHER = "other"


class Few:
    """Lets the first so many different values through, and calls all later ones `other`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= self._most:
            return OTHER
        self._seen.add(value)
        return value


class Named:
    """Lets those values through that an operator has named, and calls all others `other`."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def __call__(self, value: str) -> str:
        return value if value in self._names else OTHER
