"""Brings a database to this program's schema, while older programs write to it.

Each migration is one transaction with its record, but for those that cannot be in one. One server migrates at a time;
others that start wait for it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from sendoff_server.store.port import OlderSchema, StoreFailed
from sendoff_server.store.postgres.connection import Connection
from sendoff_server.store.schema import Migration, Schema, read_migrations

_LOCK = 0x53_45_4E_44_4F_46_46
"""Of all advisory locks of a database the one of migrations."""
_PROGRAMS = 0x53_45_4E_44
"""Of all advisory locks of two numbers those that show which programs are at work: shared, the other number is that of
their last migration."""
_LOOK_AGAIN_S = 0.2

_LOCK_WAITS_MS = (100, 200, 400, 800, *[1_500] * 20)
"""How long each attempt may wait for a table. All who want to use the table wait behind it. The longer ones let
autovacuum notice that it is in the way, which it does after a second."""
_PAUSE_PER_WAIT = 2
"""So much longer others have the table in between."""
_LONGEST_S = 24 * 3_600.0
"""For a statement that keeps nobody from anything."""

log = structlog.get_logger(__name__)


def known() -> list[Migration]:
    """The migrations of this program, in order."""
    return read_migrations(__name__.rpartition(".")[0])


async def migrate(connection: Connection) -> int:
    """Apply what is missing and return the schema's number. Raises NewerSchema, and StoreFailed where others keep a
    table for minutes.

    A database that needs nothing is only read, so that a replica can be one that may not create tables.
    """
    migrations = known()
    schema = await _schema(connection)
    if schema.number < len(migrations):
        async with _alone(connection):
            while (schema := await _schema(connection)).number < len(migrations):
                await _apply(connection, migrations[schema.number])
    schema.admit(len(migrations))
    return schema.number


async def check(connection: Connection) -> int:
    """The schema's number, if this program can use it. Changes nothing. Raises OlderSchema and NewerSchema."""
    schema, wanted = await _schema(connection), len(known())
    if schema.number < wanted:
        told = f"the database has schema {schema.number}, this program needs {wanted}; run `sendoff-server migrate`"
        raise OlderSchema(told)
    schema.admit(wanted)
    return schema.number


async def show_program(connection: Connection) -> None:
    """As long as the connection lasts, migrations see that this program is at work."""
    await connection.execute("SELECT pg_advisory_lock_shared($1, $2)", _PROGRAMS, len(known()))


async def refuse_newer(connection: Connection, last: int) -> None:
    """Raises NewerSchema if the schema is one by now that a program with that last migration may not work on."""
    (await _schema(connection)).refuse(last)


@asynccontextmanager
async def _alone(connection: Connection) -> AsyncIterator[None]:
    """Whoever waits has no transaction meanwhile: an index that is made concurrently would wait for its end."""
    has_told = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if not has_told:
            log.info("waiting for another server that migrates the database")
        has_told = True
        await asyncio.sleep(_LOOK_AGAIN_S)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _apply(connection: Connection, migration: Migration) -> None:
    await _refuse_beside_older(connection, migration)
    log.info("migrating", migration=migration.name)
    if not migration.in_transaction:
        await _apply_outside(connection, migration)
        return
    for wait_ms in _LOCK_WAITS_MS:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {wait_ms}")
                await connection.execute(migration.text)
                await _record(connection, migration)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(_PAUSE_PER_WAIT * wait_ms / 1_000)
        else:
            return
    raise StoreFailed(
        f"{migration.name} finds a table in use whenever it tries; look in pg_stat_activity for transactions that "
        "are old, and start again"
    )


async def _refuse_beside_older(connection: Connection, migration: Migration) -> None:
    at_work = await connection.fetchval(
        "SELECT min(objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = $1 AND objsubid = 2 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        _PROGRAMS,
    )
    if at_work is not None and at_work < migration.oldest:
        raise StoreFailed(
            f"{migration.name} is for programs that know schema {migration.oldest} or more, and one is at work that "
            f"knows {at_work}; stop it, or first put a version in its place that is between the two"
        )


async def _apply_outside(connection: Connection, migration: Migration) -> None:
    """For as long as it takes. If it is broken off it is repeated as a whole."""
    await connection.execute("SET statement_timeout = 0")
    try:
        for statement in _statements(migration.text):
            await connection.execute(statement, timeout=_LONGEST_S)
        async with connection.transaction():
            await _record(connection, migration)
    finally:
        if not connection.is_closed():
            await connection.execute("RESET statement_timeout")


def _statements(text: str) -> list[str]:
    """Each ends with its line. Several that are sent together would be one transaction."""
    parts = re.split(r";[ \t]*(?:--.*)?$", text, flags=re.MULTILINE)
    return [part for part in parts if re.sub(r"--.*", "", part).strip()]


async def _record(connection: Connection, migration: Migration) -> None:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version "
        "(number integer PRIMARY KEY, applied_at timestamptz NOT NULL, oldest integer)"
    )
    await connection.execute("ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS oldest integer")
    statement = "INSERT INTO schema_version (number, applied_at, oldest) VALUES ($1, clock_timestamp(), $2)"
    await connection.execute(statement, migration.number, migration.oldest)


async def _schema(connection: Connection) -> Schema:
    """In a database that no program has migrated that knew of it, the column `oldest` is missing."""
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return Schema(0, 0)
    (row,) = await connection.fetch(
        "SELECT coalesce(max(number), 0), coalesce(max(coalesce((to_jsonb(v) ->> 'oldest')::integer, number)), 0) "
        "FROM schema_version v"
    )
    return Schema(*row)
