"""Looks at a database on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator

import asyncpg

from sendoff_server.store.inspection import Fault, Inspection
from sendoff_server.store.port import NewerSchema, OlderSchema, StoreFailed
from sendoff_server.store.postgres.connection import Connection, connect, failures
from sendoff_server.store.postgres.migrations import check

_OLDEST = 14
_URL = "look at SENDOFF_DATABASE_URL, at the network in between and at PostgreSQL's pg_hba.conf"


async def inspect(url: str, told: str, connections: int) -> Inspection:
    """`told` is the URL as it may be printed; `connections` is how many all processes of this server together take."""
    try:
        with failures():
            connection = await connect(url)
            try:
                return await _inspect(connection, told, connections)
            finally:
                await connection.close()
    except StoreFailed as failed:
        return Inspection(told, [Fault(str(failed), _URL)])


async def _inspect(connection: Connection, told: str, connections: int) -> Inspection:
    rows = await connection.fetch("SELECT name, setting FROM pg_settings")
    settings: dict[str, str] = {row["name"]: row["setting"] for row in rows}
    faults = [
        *_of_durability(settings),
        *await _of_connections(connection, settings, connections),
        *await _of_schema(connection),
    ]
    if int(settings["server_version_num"]) < _OLDEST * 10_000:
        faults.append(Fault(f"PostgreSQL {settings['server_version']} is too old", f"use {_OLDEST} or newer"))
    what = f"PostgreSQL {settings['server_version']}, {told}"
    return Inspection(what, faults, await _has_keys(connection), await _clock_ahead_s(connection))


def _of_durability(settings: dict[str, str]) -> Iterator[Fault]:
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if settings[name] == "off":
            yield Fault(f"{name} is off, so what was accepted can be lost", f"ALTER SYSTEM SET {name} = on; and reload")


async def _of_connections(connection: Connection, settings: dict[str, str], wanted: int) -> list[Fault]:
    most = int(settings["max_connections"]) - int(settings["superuser_reserved_connections"])
    role = await connection.fetchval("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user")
    most = min(most, role) if role >= 0 else most
    taken: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    mend = "raise max_connections, or lower SENDOFF_DATABASE_CONNECTIONS or SENDOFF_PROCESSES"
    if wanted > most:
        return [Fault(f"this server alone takes {wanted} connections, and the database has {most}", mend)]
    if wanted > most - taken:
        told = f"this server takes up to {wanted} connections, and of the database's {most} others have {taken}"
        return [Fault(told, f"{mend}; nothing, if this server is among those others", is_fatal=False)]
    return []


async def _of_schema(connection: Connection) -> list[Fault]:
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return await _of_rights(connection)
    try:
        await check(connection)
    except NewerSchema as newer:
        return [Fault(str(newer), "start the version that wrote it, or a newer one")]
    except OlderSchema as older:
        rights = await _of_rights(connection)
        return rights or [Fault(str(older), "nothing: the server does it at its start", is_fatal=False)]
    return []


async def _has_keys(connection: Connection) -> bool:
    if await connection.fetchval("SELECT to_regclass('api_key')") is None:
        return False
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM api_key)"))


async def _of_rights(connection: Connection) -> list[Fault]:
    if await connection.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        return []
    return [
        Fault("tables are missing, and this role may not create them", "run `sendoff-server migrate` as their owner")
    ]


async def _clock_ahead_s(connection: asyncpg.Connection[asyncpg.Record] | Connection) -> float:
    """From the quickest of some answers; the half of its time that the answer took is what this may be wrong by."""
    best_took, best_ahead = float("inf"), 0.0
    for _ in range(5):
        asked = time.time()
        there: float = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        answered = time.time()
        if answered - asked < best_took:
            best_took, best_ahead = answered - asked, there - (asked + answered) / 2
    return best_ahead
