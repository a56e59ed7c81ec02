"""Brings a database to this program's schema, each migration in one transaction with its record."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from sendoff import v1
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.message_types import message_type
from sendoff_server.store.port import OlderSchema
from sendoff_server.store.schema import Migration, Schema, read_migrations
from sendoff_server.store.sqlite.connection import transaction


def known() -> list[Migration]:
    """The migrations of this program, in order."""
    return read_migrations(__name__.rpartition(".")[0])


def migrate(connection: sqlite3.Connection, now_ns: int) -> int:
    """Apply what is missing and return the schema's number. Raises NewerSchema."""
    migrations = known()
    tell_of_bodies(connection)
    while True:
        with transaction(connection):
            schema = _schema(connection)
            if schema.number >= len(migrations):
                schema.admit(len(migrations))
                return schema.number
            migration = migrations[schema.number]
            for statement in statements(migration.text):
                connection.execute(statement)
            record = "INSERT INTO schema_version (number, applied_at_ns, oldest) VALUES (?, ?, ?)"
            connection.execute(record, (migration.number, now_ns, migration.oldest))


def check(connection: sqlite3.Connection) -> None:
    """Raises OlderSchema and NewerSchema unless this program can use the database. Changes nothing."""
    schema, wanted = _schema(connection), len(known())
    if schema.number < wanted:
        raise OlderSchema(
            f"the database has schema {schema.number}, this program needs {wanted}, and a server of an older version "
            "has it; stop that one, and start the new version"
        )
    schema.admit(wanted)


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


def _schema(connection: sqlite3.Connection) -> Schema:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version "
        "(number INTEGER PRIMARY KEY, applied_at_ns INTEGER NOT NULL, oldest INTEGER)"
    )
    if not connection.execute("SELECT 1 FROM pragma_table_info('schema_version') WHERE name = 'oldest'").fetchone():
        connection.execute("ALTER TABLE schema_version ADD COLUMN oldest INTEGER")
    asked = "SELECT coalesce(max(number), 0), coalesce(max(coalesce(oldest, number)), 0) FROM schema_version"
    return Schema(*connection.execute(asked).fetchone())


def statements(text: str) -> tuple[str, ...]:
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
