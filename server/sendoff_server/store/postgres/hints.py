"""Hints between replicas: which runs one has just written, so that the others need not wait until they ask again.

A hint may be late, or lost, or of something that is known; nothing depends on it. Those of a moment go into one
NOTIFY, outside of the transactions that write: a transaction that notifies takes a lock of the whole server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import asyncpg

from sendoff_server.store.items import Item, MarkCancel, Noted, Placed, Progress, Recorded, Result
from sendoff_server.store.port import OnHint, Poisoned, StoreFailed
from sendoff_server.store.postgres.connection import Pool, connect, failures

CHANNEL = "sendoff_runs"
GATHER_S = 0.05
RECONNECT_S = 1.0
IDS_PER_NOTIFY = 150
"""A payload has less than 8,000 bytes."""


class Hints:
    """Sends those of one replica, and hears those of all others on a connection of its own."""

    def __init__(self, dsn: str, sending: Pool, replica_id: str) -> None:
        self._dsn = dsn
        self._sending = sending
        self._replica_id = replica_id
        self._is_running = False
        self._hearing: asyncpg.Connection[asyncpg.Record] | None = None
        self._written: dict[str, None] = {}
        self._some = asyncio.Event()
        self._heard_first = asyncio.Event()

    def wrote(self, batch: Sequence[Item], results: Sequence[Result | Poisoned]) -> None:
        """This is durable now."""
        if not self._is_running:
            return
        for item, result in zip(batch, results, strict=True):
            self._written.update(dict.fromkeys(_runs_of(item, result)))
        if self._written:
            self._some.set()

    def abandon_connection(self) -> None:
        """Hear on another one: the server behind this one may say nothing any more."""
        if self._hearing is not None:
            self._hearing.terminate()

    @asynccontextmanager
    async def running(self, on_hint: OnHint) -> AsyncIterator[None]:
        """Send and hear inside the block; it begins once hearing has begun, or failed for the first time."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._hear_forever(on_hint), name="hear hints"),
                group.create_task(self._send_forever(), name="send hints"),
            ]
            await self._heard_first.wait()
            self._is_running = True
            try:
                yield
            finally:
                self._is_running = False
                for task in tasks:
                    task.cancel()

    async def _send_forever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_S)
            self._some.clear()
            run_ids, self._written = list(self._written), {}
            with suppress(StoreFailed), failures():
                await self._send(run_ids)

    async def _send(self, run_ids: Sequence[str]) -> None:
        async with self._sending.acquire() as connection:
            for start in range(0, len(run_ids), IDS_PER_NOTIFY):
                payload = " ".join([self._replica_id, *run_ids[start : start + IDS_PER_NOTIFY]])
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)

    async def _hear_forever(self, on_hint: OnHint) -> None:
        while True:
            try:
                with suppress(StoreFailed), failures():
                    await self._hear(on_hint)
            finally:
                self._heard_first.set()
            await asyncio.sleep(RECONNECT_S)

    async def _hear(self, on_hint: OnHint) -> None:
        """Until the connection is lost."""
        lost = asyncio.Event()

        def told(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            sender, *run_ids = str(payload).split(" ")
            if sender != self._replica_id:
                on_hint(run_ids)

        connection = self._hearing = await connect(self._dsn)
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, told)
            self._heard_first.set()
            await lost.wait()
        finally:
            connection.terminate()


def _runs_of(item: Item, result: Result | Poisoned) -> Iterator[str]:
    """Runs that are not as they were. A new one is not among them: nobody elsewhere can know it yet."""
    match item:
        case Progress():
            yield item.run.id
        case MarkCancel():
            yield item.run_id
    match result:
        case Recorded(_, continued) if continued is not None:
            yield continued.id
        case Placed():
            yield from result.superseded
            if result.continued is not None:
                yield result.continued.id
        case Noted(run):
            yield run.id
