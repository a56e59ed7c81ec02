"""Whether this replica may go on with what it has begun.

A replica that was silent for longer than its lease is declared dead, and others go on with its runs. Whatever it writes
then is refused, but to call a model or a tool it need not write. So a while before its lease can be over it begins no
such calls any more, until it was heard of again, or knows that it is dead.
"""

from __future__ import annotations

import asyncio

from sendoff_server.clock import Clock


class Presence:
    """When this replica was last heard of, by its own stopwatch."""

    def __init__(self, clock: Clock, patience_s: float) -> None:
        """`patience_s`: less than a lease by what there may be between a look and the call that follows."""
        self._clock = clock
        self._patience_s = patience_s
        self._heard_at = clock.monotonic()
        self._heard = asyncio.Event()

    def heard(self, begun_at: float) -> None:
        """A beat that was begun then, by the clock's stopwatch, has come through."""
        self._heard_at = begun_at
        self._heard.set()
        self._heard.clear()

    @property
    def is_sure(self) -> bool:
        return self._clock.monotonic() - self._heard_at < self._patience_s

    async def sure(self) -> None:
        """Return at once while this replica surely holds its leases, else as soon as it was heard of again."""
        while not self.is_sure:
            await self._heard.wait()
