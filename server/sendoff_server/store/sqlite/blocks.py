"""Memory blocks. Functions that write are one transaction each, in the writer thread."""

from __future__ import annotations

import json
import sqlite3

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.port import BlockChange, Key, Mismatched
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named

KNOWN_CHANGES = 64
"""Names that a block remembers."""


def create(
    connection: sqlite3.Connection, replica_no: int, tenant: str, block: v1.Block, key: Key | None, fingerprint: bytes
) -> v1.Block | Mismatched:
    with transaction(connection):
        check_alive(connection, replica_no)
        if key is not None:
            known = connection.execute(named("block_of_key"), (tenant, key.value, key.scope)).fetchone()
            if known is not None:
                block_id, stored_fingerprint, body = known
                return v1.Block.FromString(body) if stored_fingerprint == fingerprint else Mismatched(key, block_id)
        row = (
            block.id,
            tenant,
            block.label,
            nanoseconds(block.create_time),
            block.etag,
            key.scope if key else None,
            key.value if key else None,
            fingerprint,
            block.SerializeToString(),
        )
        connection.execute(named("create_block"), row)
    return block


def update(
    connection: sqlite3.Connection, replica_no: int, tenant: str, block: v1.Block, expected_etag: str, change: str
) -> BlockChange:
    with transaction(connection):
        check_alive(connection, replica_no)
        found = connection.execute(named("block_changes"), (tenant, block.id)).fetchone()
        if found is None:
            return BlockChange.MOVED_ON
        no, etag, text = found
        changes = json.loads(text)
        if change and change in changes:
            return BlockChange.KNOWN
        if etag != expected_etag:
            return BlockChange.MOVED_ON
        if change:
            changes = [*changes, change][-KNOWN_CHANGES:]
        row = (no, block.label, block.etag, json.dumps(changes), block.SerializeToString())
        connection.execute(named("update_block"), row)
        return BlockChange.CHANGED


def read(connection: sqlite3.Connection, tenant: str, block_id: str) -> v1.Block | None:
    row = connection.execute(named("block"), (tenant, block_id)).fetchone()
    return None if row is None else v1.Block.FromString(row[0])


def read_page(
    connection: sqlite3.Connection, tenant: str, label: str | None, after: tuple[int, str] | None, limit: int
) -> list[v1.Block]:
    values = (tenant, *(after or (None, None)), limit)
    if label is None:
        rows = connection.execute(named("list_blocks"), values).fetchall()
    else:
        rows = connection.execute(named("list_blocks_of_label"), (*values, label)).fetchall()
    return [v1.Block.FromString(body) for (body,) in rows]


def delete(connection: sqlite3.Connection, replica_no: int, tenant: str, block_id: str) -> bool:
    with transaction(connection):
        check_alive(connection, replica_no)
        return connection.execute(named("delete_block"), (tenant, block_id)).rowcount == 1
