"""Tells those who look for deliveries that there may be some.

A ring is a hint: whoever waits for one looks by himself from time to time as well.
"""

from __future__ import annotations

import asyncio


class Doorbell:
    """Heard by everyone who waits. Of one event loop."""

    def __init__(self, *also: Doorbell) -> None:
        """`also` ring with it."""
        self._also = also
        self._next: asyncio.Future[None] | None = None

    def ring(self) -> None:
        ring, self._next = self._next, None
        if ring is not None and not ring.done():
            ring.set_result(None)
        for other in self._also:
            other.ring()

    def next_ring(self) -> asyncio.Future[None]:
        """Done with the next ring; for `Clock.wait`, and to be cancelled by nobody, because all share it.

        Take it, look, and only then wait for it: so no ring is missed that comes while you look.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next
