"""Room for what is worked on at once, shared by tenants so that none can fill it.

A tenant gets a place only while it has fewer than are free. So one that takes all it can has half of the room, two
have a third each, and there is always room for one more who comes with little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sendoff_server.errors import Overloaded


class Room:
    """`places` at once."""

    def __init__(self, places: int, what: str) -> None:
        """`what` is told to whom is sent away."""
        self._free = places
        self._what = what
        self._held: Counter[str] = Counter()

    @property
    def free(self) -> int:
        return self._free

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """A place inside the block. Raises Overloaded."""
        if self._held[tenant] >= self._free:
            if not self._held[tenant]:
                del self._held[tenant]
            raise Overloaded(self._what)
        self._held[tenant] += 1
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]
