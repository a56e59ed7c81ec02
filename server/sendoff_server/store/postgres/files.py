"""Files with their bytes. Functions that write are one transaction each."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.postgres.conditions import follows, joined
from sendoff_server.store.postgres.connection import Connection, fenced, sought_bytes
from sendoff_server.store.postgres.keys import key_columns
from sendoff_server.store.postgres.queries import named, numbered


async def create(
    connection: Connection,
    replica_no: int,
    tenant: str,
    file: v1.File,
    data: bytes,
    key: Key | None,
    fingerprint: bytes,
) -> v1.File | Mismatched:
    async with fenced(connection, replica_no):
        known = await _of_key(connection, tenant, key, fingerprint) if key is not None else None
        if known is not None:
            return known
        created_ns = nanoseconds(file.create_time)
        row = (file.id, tenant, created_ns, *key_columns(key), fingerprint, file.SerializeToString(), data)
        await connection.execute(named("create_file"), *row)
    return file


async def _of_key(connection: Connection, tenant: str, key: Key, fingerprint: bytes) -> v1.File | Mismatched | None:
    known = await connection.fetchrow(named("file_of_key"), tenant, sought_bytes(key.value), key.scope)
    if known is None:
        return None
    file_id, stored_fingerprint, body = known
    return v1.File.FromString(body) if stored_fingerprint == fingerprint else Mismatched(key, file_id)


async def read(connection: Connection, tenant: str, file_id: str) -> v1.File | None:
    body = await connection.fetchval(named("file"), tenant, file_id)
    return None if body is None else v1.File.FromString(body)


async def read_data(connection: Connection, tenant: str, file_id: str) -> bytes | None:
    data: bytes | None = await connection.fetchval(named("file_data"), tenant, file_id)
    return data


async def read_page(connection: Connection, tenant: str, after: tuple[int, str] | None, limit: int) -> list[v1.File]:
    """Newest first."""
    conditions, values = joined(
        [("tenant = ?", (tenant,)), *follows(("create_time_ns", "id"), after, newest_first=True)]
    )
    statement = f"SELECT body FROM file WHERE {conditions} ORDER BY create_time_ns DESC, id DESC LIMIT ?"  # noqa: S608
    return [v1.File.FromString(body) for (body,) in await connection.fetch(numbered(statement), *values, limit)]


async def delete(connection: Connection, replica_no: int, tenant: str, file_id: str) -> bool:
    async with fenced(connection, replica_no):
        return await connection.fetchval(named("delete_file"), tenant, file_id) is not None
