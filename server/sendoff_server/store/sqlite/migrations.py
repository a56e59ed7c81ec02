"""Brings a database to this program's schema: numbered files, forward only, each in one transaction with its record."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files

from sendoff import v1
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.message_types import message_type
from sendoff_server.store.port import NewerSchema
from sendoff_server.store.sqlite.connection import transaction


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    statements: tuple[str, ...]


def known() -> list[Migration]:
    """The migrations of this program, in order. Raises ValueError if they are not numbered 1, 2, 3."""
    found = []
    for entry in (files(__package__) / "migrations").iterdir():
        if entry.name.endswith(".sql"):
            statements = _statements(entry.read_text(encoding="utf-8"))
            found.append(Migration(int(entry.name.partition("_")[0]), entry.name, statements))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}: {[migration.name for migration in found]}")
    return found


def migrate(connection: sqlite3.Connection, now_ns: int) -> int:
    """Apply what is missing and return the schema's number. Raises NewerSchema."""
    migrations = known()
    tell_of_bodies(connection)
    while True:
        with transaction(connection):
            at = _version(connection)
            if at > len(migrations):
                raise NewerSchema(
                    f"the database has schema {at}, this program knows {len(migrations)}; "
                    "start the version that wrote it, or a newer one"
                )
            if at == len(migrations):
                return at
            for statement in migrations[at].statements:
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version (number, applied_at_ns) VALUES (?, ?)", (at + 1, now_ns))


_BODIES: Mapping[str, Callable[[bytes], int | str]] = {
    "message_id": lambda body: v1.Message.FromString(body).id,
    "message_type": lambda body: message_type(v1.Message.FromString(body)),
    "message_time_ns": lambda body: nanoseconds(v1.Message.FromString(body).create_time),
    "step_start_ns": lambda body: nanoseconds(v1.Step.FromString(body).start_time),
    "step_model": lambda body: v1.Step.FromString(body).model_handle,
    "step_trace_id": lambda body: v1.Step.FromString(body).trace_id,
}
"""Functions of SQL that tell what is in a body, for migrations that give it a column of its own."""


def tell_of_bodies(connection: sqlite3.Connection) -> None:
    for name, told in _BODIES.items():
        connection.create_function(name, 1, told, deterministic=True)
    connection.create_function("delivery_attempt_of", 3, _delivery_attempt_of, deterministic=True)


def _delivery_attempt_of(start_ns: int, status_code: int | None, error: str) -> bytes:
    """A v1.DeliveryAttempt of which no more than this is known."""
    attempt = v1.DeliveryAttempt(start_time=timestamp(start_ns), status_code=status_code, error=error)
    return attempt.SerializeToString()


def _version(connection: sqlite3.Connection) -> int:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY, applied_at_ns INTEGER NOT NULL)"
    )
    number: int = connection.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchone()[0]
    return number


def _statements(text: str) -> tuple[str, ...]:
    """The statements of a file. `executescript` would commit before each of them."""
    found, gathered = [], ""
    for line in text.splitlines(keepends=True):
        gathered += line
        if sqlite3.complete_statement(gathered):
            found.append(gathered)
            gathered = ""
    if gathered.strip():
        raise ValueError(f"a migration ends inside a statement: {gathered.strip()!r}")
    return tuple(found)
