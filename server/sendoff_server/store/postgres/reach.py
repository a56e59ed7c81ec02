"""Connections on loan, and what is done when the server behind them is not the one to talk to any more.

A server may go on holding connections that it never answers on, or stop taking writes because another one has taken its
place. Then none of the connections that are there is of use, and the next are made anew, which finds the right server
if the DSN names several. Whoever beats notices within seconds, so that callers need not wait for their own statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from sendoff_server.store.postgres.connection import Connection, Pool, connect_s

MUTE_S = 3.0
"""A server that leaves so small a thing as a beat unanswered for so long answers nothing."""
WAIT_S = 5.0
"""How long to wait for a connection that others use, beside the time that a new one takes."""


class Reach:
    """The connections of one replica, by pool."""

    def __init__(self, dsn: str, pools: Sequence[Pool], *, abandoned: Callable[[], None]) -> None:
        """`abandoned` is called when the connections are given up, for those that are none of these pools'."""
        self._pools = pools
        self._abandoned = abandoned
        self._wait_s = WAIT_S + connect_s(dsn)
        self._lent: set[Connection] = set()

    @asynccontextmanager
    async def lent(self, connections: Pool) -> AsyncIterator[Connection]:
        """A connection of that pool. Raises what the driver does, TimeoutError also where none becomes free."""
        async with connections.acquire(timeout=self._wait_s) as connection:
            self._lent.add(connection)
            try:
                yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                await self._replace()
                raise
            except TimeoutError:
                connection.terminate()  # to be used again it would have to answer first
                raise
            finally:
                self._lent.discard(connection)

    @asynccontextmanager
    async def noticing_silence(self) -> AsyncIterator[None]:
        """Around what a server that works answers at once: if it fails only after a while, all connections are given
        up, and whatever is under way on them fails now."""
        begun = asyncio.get_running_loop().time()
        try:
            yield
        except Exception:
            if asyncio.get_running_loop().time() - begun >= MUTE_S:
                for connection in list(self._lent):
                    connection.terminate()
                await self._replace()
            raise

    async def _replace(self) -> None:
        """Have every connection made anew, those that are lent once they come back."""
        for each in self._pools:
            await each.expire_connections()
        self._abandoned()
