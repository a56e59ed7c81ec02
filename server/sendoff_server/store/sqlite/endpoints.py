"""Registered receivers of callbacks, with the secrets that sign. Functions that write are one transaction each, but for
`disable`, in the writer thread."""

from __future__ import annotations

import json
import sqlite3

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.store.batch.outbox import bits_of
from sendoff_server.store.items import Full, Key, Mismatched
from sendoff_server.store.questions import Endpoint, Secret, receiver_of
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named


def create(
    connection: sqlite3.Connection,
    replica_no: int,
    tenant: str,
    endpoint: Endpoint,
    *,
    key: Key | None,
    fingerprint: bytes,
    most: int,
) -> Endpoint | Mismatched | Full:
    with transaction(connection):
        check_alive(connection, replica_no)
        if key is not None:
            known = connection.execute(named("endpoint_of_key"), (tenant, key.value, key.scope)).fetchone()
            if known is not None:
                endpoint_id, stored_fingerprint, *stored = known
                return told(*stored) if stored_fingerprint == fingerprint else Mismatched(key, endpoint_id)
        (count,) = connection.execute(named("count_endpoints"), (tenant,)).fetchone()
        if count >= most:
            return Full()
        of_key = (key.scope if key else None, key.value if key else None)
        row = (endpoint.told.id, tenant, *_columns(endpoint), *of_key, fingerprint)
        connection.execute(named("create_endpoint"), row)
    return endpoint


def update(
    connection: sqlite3.Connection, replica_no: int, tenant: str, endpoint: Endpoint, expected_etag: str
) -> bool:
    with transaction(connection):
        check_alive(connection, replica_no)
        row = (endpoint.told.id, tenant, *_columns(endpoint), expected_etag)
        return connection.execute(named("update_endpoint"), row).rowcount == 1


def disable(connection: sqlite3.Connection, no: int, url: str, reason: str, now_ns: int) -> None:
    """Inside a transaction. Changes nothing of one that is disabled, has another URL, or is gone."""
    row = connection.execute(named("enabled_endpoint"), (no, url)).fetchone()
    if row is None:
        return
    changed = v1.CallbackEndpoint.FromString(row[0])
    changed.disabled, changed.disabled_reason, changed.etag = True, reason, ids.etag()
    changed.update_time.CopyFrom(timestamp(now_ns))
    connection.execute(named("disable_endpoint"), (no, changed.etag, changed.SerializeToString()))


def delete_some(
    connection: sqlite3.Connection, replica_no: int, tenant: str, endpoint_id: str, most: int
) -> bool | None:
    """Delete so many of its deliveries, and it with the last of them. Whether it is gone; None: there is none."""
    with transaction(connection):
        check_alive(connection, replica_no)
        found = connection.execute(named("endpoint_number"), (tenant, endpoint_id)).fetchone()
        if found is None:
            return None
        if connection.execute(named("delete_deliveries_of_endpoint"), (*found, most)).rowcount == most:
            return False
        connection.execute(named("delete_endpoint"), found)
        return True


def read(connection: sqlite3.Connection, tenant: str, endpoint_id: str) -> Endpoint | None:
    row = connection.execute(named("endpoint"), (tenant, endpoint_id)).fetchone()
    return None if row is None else told(*row)


def read_page(
    connection: sqlite3.Connection, tenant: str, after: tuple[int, str] | None, limit: int
) -> list[v1.CallbackEndpoint]:
    rows = connection.execute(named("list_endpoints"), (tenant, *(after or (None, None)), limit)).fetchall()
    return [v1.CallbackEndpoint.FromString(body) for (body,) in rows]


def told(body: bytes, secrets: str) -> Endpoint:
    """An endpoint as its columns have it."""
    return Endpoint(v1.CallbackEndpoint.FromString(body), [Secret(*secret) for secret in json.loads(secrets)])


def _columns(endpoint: Endpoint) -> tuple[object, ...]:
    of = endpoint.told
    return (
        of.agent_id if of.HasField("agent_id") else None,
        bits_of(of.event_types),
        of.disabled,
        of.url if of.HasField("url") else None,
        receiver_of(of.url) if of.HasField("url") else None,
        nanoseconds(of.create_time),
        of.etag,
        of.SerializeToString(),
        json.dumps([(secret.text, secret.until_ns) for secret in endpoint.secrets]),
    )
