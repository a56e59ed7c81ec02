"""Hints between replicas, by NOTIFY, on a connection that does nothing else.

A transaction that notifies takes a lock of the whole server until its commit is on the disk. So hints are sent outside
of the transactions that write, many at once, and without waiting for the disk. What is for all goes to a channel of
all; text goes to the channel of the replica that it is for, so that the others are not sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import asyncpg

from sendoff_server.store.hints import Hint, LanesWait, Missed
from sendoff_server.store.port import OnHint, StoreFailed
from sendoff_server.store.postgres.connection import Connection, connect, failures
from sendoff_server.store.postgres.hint_payloads import read, written

CHANNEL = "sendoff_runs"
RECONNECT_S = 1.0
PAYLOADS_AT_ONCE = 64
PATIENCE_S = 5.0
"""A connection that does not answer within that time is given up, and is asked that often whether it does."""

_NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS hint (channel, payload)"
_SESSION = {"application_name": "sendoff hints", "synchronous_commit": "off"}


class Hints:
    """Sends those of one replica, and hears those of all others."""

    def __init__(self, dsn: str, replica_id: str) -> None:
        self._dsn = dsn
        self._replica_id = replica_id
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._sending = asyncio.Lock()

    async def tell(self, hints: Sequence[Hint]) -> None:
        payloads = list(written(self._replica_id, hints))
        for start in range(0, len(payloads), PAYLOADS_AT_ONCE):
            some = payloads[start : start + PAYLOADS_AT_ONCE]
            await self._execute(_NOTIFY, [to or CHANNEL for to, _ in some], [payload for _, payload in some])

    async def farewell(self, connection: Connection) -> None:
        """The last hint: this replica has given its lanes back. It hears none any more."""
        ((_, payload),) = written(self._replica_id, [LanesWait()])
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)

    def abandon_connection(self) -> None:
        """Hear on another one: the server behind this one may say nothing any more."""
        if self._connection is not None:
            self._connection.terminate()

    @asynccontextmanager
    async def running(self, on_hint: OnHint) -> AsyncIterator[None]:
        """Hear inside the block; it begins once hearing has begun, or failed for the first time."""
        tried = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear_forever(on_hint, tried), name="hear hints")
            await tried.wait()
            try:
                yield
            finally:
                hearing.cancel()

    async def _hear_forever(self, on_hint: OnHint, tried: asyncio.Event) -> None:
        while True:
            try:
                with suppress(StoreFailed), failures():
                    await self._hear(on_hint, tried)
            finally:
                tried.set()
            await asyncio.sleep(RECONNECT_S)

    async def _hear(self, on_hint: OnHint, tried: asyncio.Event) -> None:
        """Until the connection is lost."""
        lost = asyncio.Event()

        def told(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            sender, hints = read(str(payload))
            if sender != self._replica_id:
                for hint in hints:
                    on_hint(sender, hint)

        connection = await connect(self._dsn, server_settings=_SESSION)
        try:
            connection.add_termination_listener(lambda _: lost.set())
            for channel in (CHANNEL, self._replica_id):
                await connection.add_listener(channel, told)
            self._connection = connection
            on_hint(self._replica_id, Missed())
            tried.set()
            await self._until(lost)
        finally:
            self._connection = None
            connection.terminate()

    async def _until(self, lost: asyncio.Event) -> None:
        """A connection that nobody sends on is not known to be lost unless it is asked."""
        while not lost.is_set():
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await lost.wait()
            except TimeoutError:
                await self._execute("SELECT")

    async def _execute(self, statement: str, *values: object) -> None:
        """Raises StoreFailed, and gives the connection up then."""
        async with self._sending:
            connection = self._connection
            if connection is None:
                raise StoreFailed("there is no connection to send hints on")
            try:
                with failures():
                    await connection.execute(statement, *values, timeout=PATIENCE_S)
            except StoreFailed:
                connection.terminate()
                raise
