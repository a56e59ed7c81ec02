"""Numbers for new runs, which no other replica gets."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from sendoff_server.store.postgres.connection import Connection
from sendoff_server.store.postgres.queries import named

_BLOCK = 64
"""INCREMENT BY of the sequence run_no."""


class RunNumbers(Iterator[int]):
    """Takes a block of them at a time. Those of a batch that fails are lost, which does no harm."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()

    async def provide(self, connection: Connection, count: int) -> None:
        """From now on there are that many."""
        missing = count - len(self._numbers)
        if missing > 0:
            for (first,) in await connection.fetch(named("take_run_numbers"), -(-missing // _BLOCK)):
                self._numbers.extend(range(first, first + _BLOCK))

    def __next__(self) -> int:
        return self._numbers.popleft()
