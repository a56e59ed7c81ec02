"""Keys that let callers in. Functions that write are one transaction each."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from sendoff import v1
from sendoff_server.store.api_keys import MAX_API_KEYS, ApiKey, ApiKeyChanges, ApiKeyTaken, audited
from sendoff_server.store.sqlite.connection import snapshot, transaction
from sendoff_server.store.sqlite.queries import named

KEYS_SCHEMA = 14
"""Programs that know no later migration than the one before let everybody in."""
_COLUMNS = (
    *("id", "tenant", "role", "name", "secret_hash", "certificate"),
    *("created_ns", "expires_ns", "revoked_ns", "used_ns"),
)


def changes(connection: sqlite3.Connection, after: int) -> ApiKeyChanges:
    with snapshot(connection):
        (last,) = connection.execute(named("last_api_key_change")).fetchone()
        rows = connection.execute(named("api_key_changes"), (after,)).fetchall() if last != after else []
    return ApiKeyChanges(last, [_of_row(row) for row in rows])


def note_used(connection: sqlite3.Connection, used: Mapping[str, int]) -> None:
    with transaction(connection):
        connection.executemany(named("note_api_key_used"), list(used.items()))


def add(connection: sqlite3.Connection, key: ApiKey) -> None:
    """Raises ApiKeyTaken."""
    with transaction(connection):
        (count,) = connection.execute(named("count_api_keys")).fetchone()
        if count >= MAX_API_KEYS:
            raise ApiKeyTaken(f"there are {count} keys that are not revoked, as many as may be; revoke some")
        beside = connection.execute(named("api_key_of_certificate"), (key.certificate,)).fetchone()
        if beside is not None:
            raise ApiKeyTaken(f"{beside[0]} stands for the certificate {key.certificate!r} already; revoke it first")
        connection.execute(named("add_api_key"), [getattr(key, name) for name in _COLUMNS])
        _note(connection, key.tenant, audited("create", key.id), key.created_ns)
        connection.execute(named("keep_out_programs_without_keys"), (KEYS_SCHEMA,))


def read_all(connection: sqlite3.Connection, tenant: str | None) -> list[ApiKey]:
    return [_of_row(row) for row in connection.execute(named("list_api_keys"), (tenant,)).fetchall()]


def revoke(connection: sqlite3.Connection, key_id: str, now_ns: int) -> ApiKey | None:
    with transaction(connection):
        was_revoked = connection.execute(named("revoke_api_key"), (key_id, now_ns)).rowcount
        row = connection.execute(named("api_key"), (key_id,)).fetchone()
        key = None if row is None else _of_row(row)
        if key is not None and was_revoked:
            _note(connection, key.tenant, audited("revoke", key.id), now_ns)
    return key


def _note(connection: sqlite3.Connection, tenant: str, entry: v1.AuditEntry, now_ns: int) -> None:
    connection.execute(named("note_act_at_desk"), (tenant, entry.id, now_ns, entry.SerializeToString()))


def _of_row(row: tuple[object, ...]) -> ApiKey:
    return ApiKey(**dict(zip(_COLUMNS, row, strict=True)))  # type: ignore[arg-type]  # columns have the fields' types
