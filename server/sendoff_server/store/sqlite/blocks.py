"""Memory blocks. Functions that write are one transaction each, in the writer thread."""

from __future__ import annotations

import json
import sqlite3

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.questions import BlockChange, BlockQuery
from sendoff_server.store.sqlite import tags
from sendoff_server.store.sqlite.conditions import Condition, contains, follows, joined, tagged
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
        (no,) = connection.execute(named("create_block"), row).fetchone()
        tags.write(connection, tags.OF_BLOCKS, tenant, no, block.tags)
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
        tags.write(connection, tags.OF_BLOCKS, tenant, no, block.tags)
        return BlockChange.CHANGED


def read(connection: sqlite3.Connection, tenant: str, block_id: str) -> v1.Block | None:
    row = connection.execute(named("block"), (tenant, block_id)).fetchone()
    return None if row is None else v1.Block.FromString(row[0])


def read_page(connection: sqlite3.Connection, query: BlockQuery) -> list[v1.Block]:
    order = "DESC" if query.newest_first else "ASC"
    behind = follows(("b.create_time_ns", "b.id"), query.after, newest_first=query.newest_first)
    conditions, values = joined([*_conditions(query), *behind])
    statement = (
        f"SELECT b.body FROM block b WHERE {conditions} "  # noqa: S608
        f"ORDER BY b.create_time_ns {order}, b.id {order} LIMIT ?"
    )
    return [v1.Block.FromString(body) for (body,) in connection.execute(statement, [*values, query.limit])]


def _conditions(query: BlockQuery) -> list[Condition]:
    """What costs least to look at comes first."""
    asked: list[Condition] = [("b.tenant = ?", (query.tenant,))]
    if query.label is not None:
        asked.append(("b.label = ?", (query.label,)))
    asked += tagged(tags.OF_BLOCKS, "b.no", query.tenant, query.tags, all_of_them=query.match_all_tags)
    if query.label_search:
        asked.append(contains("b.label", query.label_search))
    if query.description_search:
        asked.append(contains("field('Block', b.body, 'description')", query.description_search))
    if query.value_search:
        asked.append(contains("field('Block', b.body, 'value')", query.value_search))
    return asked


def delete(connection: sqlite3.Connection, replica_no: int, tenant: str, block_id: str) -> bool:
    with transaction(connection):
        check_alive(connection, replica_no)
        found = connection.execute(named("delete_block"), (tenant, block_id)).fetchone()
        if found is not None:
            tags.delete(connection, tags.OF_BLOCKS, found[0])
        return found is not None
