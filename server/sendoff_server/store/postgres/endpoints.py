"""Registered receivers of callbacks, with the secrets that sign. Functions that write are one transaction each, but for
`disable`."""

from __future__ import annotations

import json

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.store.batch.outbox import bits_of
from sendoff_server.store.items import Full, Key, Mismatched
from sendoff_server.store.postgres.conditions import follows, joined
from sendoff_server.store.postgres.connection import Connection, fenced, sought, sought_bytes
from sendoff_server.store.postgres.keys import key_columns
from sendoff_server.store.postgres.queries import named, numbered
from sendoff_server.store.questions import Endpoint, Secret, receiver_of


async def create(
    connection: Connection,
    replica_no: int,
    tenant: str,
    endpoint: Endpoint,
    *,
    key: Key | None,
    fingerprint: bytes,
    most: int,
) -> Endpoint | Mismatched | Full:
    async with fenced(connection, replica_no):
        await connection.execute(named("lock_endpoints_of"), tenant)
        known = await _of_key(connection, tenant, key, fingerprint) if key is not None else None
        if known is not None:
            return known
        if await connection.fetchval(named("count_endpoints"), tenant) >= most:
            return Full()
        row = (endpoint.told.id, tenant, *_columns(endpoint), *key_columns(key), fingerprint)
        await connection.execute(named("create_endpoint"), *row)
    return endpoint


async def _of_key(connection: Connection, tenant: str, key: Key, fingerprint: bytes) -> Endpoint | Mismatched | None:
    known = await connection.fetchrow(named("endpoint_of_key"), tenant, sought_bytes(key.value), key.scope)
    if known is None:
        return None
    endpoint_id, stored_fingerprint, body, secrets = known
    return told(body, secrets) if stored_fingerprint == fingerprint else Mismatched(key, endpoint_id)


async def update(connection: Connection, replica_no: int, tenant: str, endpoint: Endpoint, expected_etag: str) -> bool:
    async with fenced(connection, replica_no):
        row = (endpoint.told.id, tenant, *_columns(endpoint), expected_etag)
        return await connection.fetchval(named("update_endpoint"), *row) is not None


async def disable(connection: Connection, no: int, url: str, reason: str, now_ns: int) -> None:
    """Inside a transaction. Changes nothing of one that is disabled, has another URL, or is gone."""
    body = await connection.fetchval(named("enabled_endpoint"), no, url.encode())
    if body is None:
        return
    changed = v1.CallbackEndpoint.FromString(body)
    changed.disabled, changed.disabled_reason, changed.etag = True, reason, ids.etag()
    changed.update_time.CopyFrom(timestamp(now_ns))
    await connection.execute(named("disable_endpoint"), no, changed.etag, changed.SerializeToString())


async def delete_some(connection: Connection, replica_no: int, tenant: str, endpoint_id: str, most: int) -> bool | None:
    """Delete so many of its deliveries, and it with the last of them. Whether it is gone; None: there is none."""
    async with fenced(connection, replica_no):
        no = await connection.fetchval(named("endpoint_to_delete"), tenant, endpoint_id)
        if no is None:
            return None
        if await connection.fetchval(named("delete_deliveries_of_endpoint"), no, most) == most:
            return False
        await connection.execute(named("delete_endpoint"), no)
        return True


async def read(connection: Connection, tenant: str, endpoint_id: str) -> Endpoint | None:
    row = await connection.fetchrow(named("endpoint"), tenant, endpoint_id)
    return None if row is None else told(*row)


async def read_page(
    connection: Connection, tenant: str, after: tuple[int, str] | None, limit: int
) -> list[v1.CallbackEndpoint]:
    """Newest first."""
    behind = follows(("create_time_ns", "id"), after, newest_first=True)
    conditions, values = joined([("tenant = ?", (tenant,)), *behind])
    statement = f"SELECT body FROM endpoint WHERE {conditions} ORDER BY create_time_ns DESC, id DESC LIMIT ?"  # noqa: S608
    rows = await connection.fetch(numbered(statement), *values, limit)
    return [v1.CallbackEndpoint.FromString(body) for (body,) in rows]


def told(body: bytes, secrets: str) -> Endpoint:
    """An endpoint as its columns have it."""
    return Endpoint(v1.CallbackEndpoint.FromString(body), [Secret(*secret) for secret in json.loads(secrets)])


def _columns(endpoint: Endpoint) -> tuple[object, ...]:
    of = endpoint.told
    return (
        sought(of.agent_id) if of.HasField("agent_id") else None,
        bits_of(of.event_types),
        of.disabled,
        of.url.encode() if of.HasField("url") else None,
        receiver_of(of.url).encode() if of.HasField("url") else None,
        nanoseconds(of.create_time),
        of.etag,
        of.SerializeToString(),
        json.dumps([(secret.text, secret.until_ns) for secret in endpoint.secrets]),
    )
