"""Pauses of dispatch.

Every transaction that takes leases locks its replica's row first (FOR KEY SHARE), and is told by it whether pauses are
as it knows them. Who changes pauses locks the rows of all replicas, so that nobody takes a lease meanwhile, and writes
a new number into each. So what a transaction knows is so until its end, and where there are no pauses it costs nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sendoff import v1
from sendoff_server.store.batch.dispatch import NO_PAUSES, OF_NO_AGENT, OF_NO_SHARE, Pauses, Scope, pauses_of
from sendoff_server.store.items import Full
from sendoff_server.store.port import Fenced
from sendoff_server.store.postgres.connection import Connection, fenced, sought
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import DispatchScope

_LOCK = 0x70_61_75_73_65_73
"""Of all advisory locks of a database the one of changes of pauses, and of replicas that begin."""

_NOT_BARRED, _AT_CAP = "l.barred = 0", "l.barred = 2"


class KnownPauses:
    """Those that were read last."""

    def __init__(self) -> None:
        self._number = 0
        self._pauses = NO_PAUSES

    async def at(self, connection: Connection, number: int) -> Pauses:
        """All that there are, as of the number in the replica's row, which this transaction has locked."""
        if number == 0:
            return NO_PAUSES
        if number != self._number:
            rows = await connection.fetch(named("dispatch_pauses"))
            self._pauses = pauses_of((tenant, agent_no, share, lifted) for tenant, agent_no, share, lifted in rows)
            self._number = number
        return self._pauses


async def lock(connection: Connection) -> None:
    """Inside a transaction: nobody else changes pauses before the end of it."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


@asynccontextmanager
async def _changing(connection: Connection, replica_no: int) -> AsyncIterator[None]:
    """A transaction of a replica that is alive, beside which nobody takes a lease. Raises Fenced."""
    async with connection.transaction():
        await lock(connection)
        if replica_no not in [no for (no,) in await connection.fetch(named("lock_replicas"))]:
            raise Fenced("this replica was declared dead")
        yield
        await connection.execute(named("tell_of_pauses"))


async def _scope_of(connection: Connection, wanted: DispatchScope) -> Scope | None:
    """As rows have it; None if there is no such agent. It is not deleted meanwhile."""
    share = OF_NO_SHARE if wanted.share is None else wanted.share
    if wanted.agent_id is None:
        return Scope(wanted.tenant, OF_NO_AGENT, share)
    no = await connection.fetchval(named("agent_to_keep"), wanted.tenant, sought(wanted.agent_id))
    return None if no is None else Scope(wanted.tenant, no, share)


async def write(
    connection: Connection, replica_no: int, wanted: DispatchScope, pause: v1.DispatchPause, most: int
) -> tuple[v1.DispatchPause | Full, Scope] | None:
    """What counts from now on. None: there is no such agent."""
    async with _changing(connection, replica_no):
        scope = await _scope_of(connection, wanted)
        if scope is None:
            return None
        there = await connection.fetchval(named("dispatch_pause"), *scope)
        if there is not None:
            return v1.DispatchPause.FromString(there), scope
        if await connection.fetchval(named("count_dispatch_pauses"), wanted.tenant) >= most:
            return Full(), scope
        await connection.execute(named("write_dispatch_pause"), *scope, pause.SerializeToString())
        return pause, scope


async def bar(connection: Connection, replica_no: int, scope: Scope, most: int) -> bool:
    """Bar some of the lanes that wait and that a pause concerns; whether there may be more."""
    async with fenced(connection, replica_no):
        barred = [
            len(await connection.fetch(named("pause_lanes", waiting=waiting), *scope, most))
            for waiting in (_NOT_BARRED, _AT_CAP)
        ]
        return max(barred) == most


async def lift(connection: Connection, replica_no: int, wanted: DispatchScope) -> tuple[bool, Scope | None]:
    """Whether a pause counted until now, and of what."""
    async with _changing(connection, replica_no):
        scope = await _scope_of(connection, wanted)
        if scope is None:
            return False, None
        return await connection.fetchval(named("lift_dispatch_pause"), *scope) is not None, scope


async def free(connection: Connection, replica_no: int, scope: Scope, most: int) -> bool:
    """Free some of the lanes that a lifted pause has barred; whether there may be more."""
    async with fenced(connection, replica_no):
        return bool(await connection.fetchval(named("unpause_lanes", of_agent=_of_agent(scope)), *scope, most) == most)


def _of_agent(scope: Scope) -> str:
    """A condition that lets the index be walked in its order."""
    return "$2::bigint = 0" if scope.agent_no == OF_NO_AGENT else "l.agent_no = $2::bigint"


async def forget(connection: Connection, replica_no: int, scope: Scope) -> None:
    """A lifted pause that has left no lane barred."""
    async with _changing(connection, replica_no):
        await connection.execute(named("delete_lifted_pause"), *scope)


async def read_all(connection: Connection, tenant: str) -> list[v1.DispatchPause]:
    rows = await connection.fetch(named("list_dispatch_pauses"), tenant)
    return [v1.DispatchPause.FromString(body) for (body,) in rows]
