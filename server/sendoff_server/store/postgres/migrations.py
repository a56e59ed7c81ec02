"""Brings a database to this program's schema: numbered files, forward only, each in one transaction with its record.

Replicas that start together wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from sendoff_server.store.port import NewerSchema, OlderSchema
from sendoff_server.store.postgres.connection import Connection

_LOCK = 0x53_45_4E_44_4F_46_46
"""Of all advisory locks of a database the one of migrations."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str


def known() -> list[Migration]:
    """The migrations of this program, in order. Raises ValueError if they are not numbered 1, 2, 3."""
    found = [
        Migration(int(entry.name.partition("_")[0]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in (files(__name__.rpartition(".")[0]) / "migrations").iterdir()
        if entry.name.endswith(".sql")
    ]
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}: {[migration.name for migration in found]}")
    return found


async def migrate(connection: Connection) -> int:
    """Apply what is missing and return the schema's number. Raises NewerSchema.

    A database that needs nothing is only read, so that a replica can be one that may not create tables.
    """
    migrations = known()
    while (at := await _version(connection)) < len(migrations):
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            if await _version(connection) == at:
                await _apply(connection, migrations[at])
    _refuse_newer(at, len(migrations))
    return at


async def check(connection: Connection) -> int:
    """The schema's number, if it is this program's. Changes nothing. Raises OlderSchema and NewerSchema."""
    at, wanted = await _version(connection), len(known())
    if at < wanted:
        raise OlderSchema(f"the database has schema {at}, this program needs {wanted}; run `sendoff-server migrate`")
    _refuse_newer(at, wanted)
    return at


def _refuse_newer(at: int, wanted: int) -> None:
    if at > wanted:
        raise NewerSchema(
            f"the database has schema {at}, this program knows {wanted}; "
            "start the version that wrote it, or a newer one"
        )


async def _apply(connection: Connection, migration: Migration) -> None:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (number integer PRIMARY KEY, applied_at timestamptz NOT NULL)"
    )
    await connection.execute(migration.text)
    await connection.execute("INSERT INTO schema_version VALUES ($1, clock_timestamp())", migration.number)


async def _version(connection: Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return 0
    number: int = await connection.fetchval("SELECT coalesce(max(number), 0) FROM schema_version")
    return number
