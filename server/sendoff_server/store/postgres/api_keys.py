"""Keys that let callers in. Functions that write are one transaction each."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from sendoff import v1
from sendoff_server.store.api_keys import MAX_API_KEYS, ApiKey, ApiKeyChanges, ApiKeyTaken, audited
from sendoff_server.store.postgres.connection import Connection, snapshot
from sendoff_server.store.postgres.queries import named

KEYS_SCHEMA = 6
"""Programs that know no later migration than the one before let everybody in."""
_LOCK = 0x6B_65_79_73
"""Of all advisory locks of a database the one of changes of keys."""
_COLUMNS = (
    *("id", "tenant", "role", "name", "secret_hash", "certificate"),
    *("created_ns", "expires_ns", "revoked_ns", "used_ns"),
)


async def changes(connection: Connection, after: int) -> ApiKeyChanges:
    async with snapshot(connection):
        last: int = await connection.fetchval(named("last_api_key_change"))
        rows = await connection.fetch(named("api_key_changes"), after) if last != after else []
    return ApiKeyChanges(last, [_of_row(row) for row in rows])


async def note_used(connection: Connection, used: Mapping[str, int]) -> None:
    await connection.execute(named("note_api_keys_used"), list(used), list(used.values()))


async def add(connection: Connection, key: ApiKey) -> None:
    """Raises ApiKeyTaken."""
    async with connection.transaction():
        await _alone(connection)
        count: int = await connection.fetchval(named("count_api_keys"))
        if count >= MAX_API_KEYS:
            raise ApiKeyTaken(f"there are {count} keys that are not revoked, as many as may be; revoke some")
        beside = await connection.fetchval(named("api_key_of_certificate"), key.certificate)
        if beside is not None:
            raise ApiKeyTaken(f"{beside} stands for the certificate {key.certificate!r} already; revoke it first")
        await connection.execute(named("add_api_key"), *(getattr(key, name) for name in _COLUMNS))
        await _note(connection, key.tenant, audited("create", key.id))
        await connection.execute(named("keep_out_programs_without_keys"), KEYS_SCHEMA)


async def read_all(connection: Connection, tenant: str | None) -> list[ApiKey]:
    return [_of_row(row) for row in await connection.fetch(named("list_api_keys"), tenant)]


async def revoke(connection: Connection, key_id: str, now_ns: int) -> ApiKey | None:
    async with connection.transaction():
        await _alone(connection)
        was_revoked = await connection.fetchval(named("revoke_api_key"), key_id, now_ns)
        row = await connection.fetchrow(named("api_key"), key_id)
        key = None if row is None else _of_row(row)
        if key is not None and was_revoked:
            await _note(connection, key.tenant, audited("revoke", key.id))
    return key


async def _note(connection: Connection, tenant: str, entry: v1.AuditEntry) -> None:
    await connection.execute(named("note_act_at_desk"), tenant, entry.id, entry.SerializeToString())


async def _alone(connection: Connection) -> None:
    """Until the end of the transaction nobody else draws a change's number, so that they are seen in their order."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


def _of_row(row: asyncpg.Record) -> ApiKey:
    return ApiKey(**row)
