"""Replicas and the leases that they hold. Each function is one transaction; all times are the database's."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff_server.store.port import Fenced
from sendoff_server.store.postgres import pauses
from sendoff_server.store.postgres.connection import Connection, fenced
from sendoff_server.store.postgres.queries import named


async def register(connection: Connection, replica_id: str, slots: int | None) -> int:
    """Write this replica's row and return its number."""
    async with connection.transaction():
        await pauses.lock(connection)
        no: int = await connection.fetchval(named("register"), replica_id, slots)
        return no


async def beat(connection: Connection, replica_no: int, timeout_s: float) -> None:
    if await connection.fetchval(named("beat"), replica_no, timeout=timeout_s) is None:
        raise Fenced("this replica was declared dead")


async def reap(connection: Connection, replica_no: int, lease_s: float) -> int:
    async with fenced(connection, replica_no):
        rows = await connection.fetch(named("remove_silent_replicas"), replica_no, lease_s)
        await _free(connection, [no for (no,) in rows])
        return len(rows)


async def leave(connection: Connection, replica_no: int) -> None:
    """Give all leases back and take this replica's row away. Does no harm to one that was declared dead."""
    async with connection.transaction():
        await connection.execute(named("remove_replica"), replica_no)
        await _free(connection, [replica_no])


async def _free(connection: Connection, replica_nos: Sequence[int]) -> None:
    """Their rows are gone, so that none of them takes a further lane."""
    if replica_nos:
        await connection.execute(named("lock_lanes_of_replicas"), replica_nos)
        await connection.execute(named("free_lanes"), replica_nos)
        await connection.execute(named("free_deliveries"), replica_nos)
