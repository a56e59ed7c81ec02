"""Memory blocks. Functions that write are one transaction each."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.postgres import tags
from sendoff_server.store.postgres.conditions import Condition, contains, follows, joined, of_tenant, tagged
from sendoff_server.store.postgres.connection import Connection, fenced, folded, sought_bytes
from sendoff_server.store.postgres.keys import key_columns
from sendoff_server.store.postgres.queries import named, numbered
from sendoff_server.store.questions import BlockChange, BlockQuery

KNOWN_CHANGES = 64
"""Names that a block remembers."""


async def create(
    connection: Connection, replica_no: int, tenant: str, block: v1.Block, key: Key | None, fingerprint: bytes
) -> v1.Block | Mismatched:
    async with fenced(connection, replica_no):
        known = await _of_key(connection, tenant, key, fingerprint) if key is not None else None
        if known is not None:
            return known
        row = (
            block.id,
            tenant,
            block.label.encode(),
            nanoseconds(block.create_time),
            block.etag,
            *key_columns(key),
            fingerprint,
            block.SerializeToString(),
            *_folded(block),
        )
        no = await connection.fetchval(named("create_block"), *row)
        await tags.write(connection, tags.OF_BLOCKS, tenant, no, block.tags)
    return block


async def _of_key(connection: Connection, tenant: str, key: Key, fingerprint: bytes) -> v1.Block | Mismatched | None:
    known = await connection.fetchrow(named("block_of_key"), tenant, sought_bytes(key.value), key.scope)
    if known is None:
        return None
    block_id, stored_fingerprint, body = known
    return v1.Block.FromString(body) if stored_fingerprint == fingerprint else Mismatched(key, block_id)


def _folded(block: v1.Block) -> tuple[bytes, bytes, bytes]:
    return folded(block.label), folded(block.description), folded(block.value)


async def update(
    connection: Connection, replica_no: int, tenant: str, block: v1.Block, expected_etag: str, change: bytes
) -> BlockChange:
    async with fenced(connection, replica_no):
        found = await connection.fetchrow(named("block_changes"), tenant, block.id)
        if found is None:
            return BlockChange.MOVED_ON
        no, etag, changes = found
        if change and change in changes:
            return BlockChange.KNOWN
        if etag != expected_etag:
            return BlockChange.MOVED_ON
        if change:
            changes = [*changes, change][-KNOWN_CHANGES:]
        row = (no, block.label.encode(), block.etag, changes, block.SerializeToString(), *_folded(block))
        await connection.execute(named("update_block"), *row)
        await tags.write(connection, tags.OF_BLOCKS, tenant, no, block.tags)
        return BlockChange.CHANGED


async def read(connection: Connection, tenant: str, block_id: str) -> v1.Block | None:
    body = await connection.fetchval(named("block"), tenant, block_id)
    return None if body is None else v1.Block.FromString(body)


async def read_page(connection: Connection, query: BlockQuery) -> list[v1.Block]:
    order = "DESC" if query.newest_first else "ASC"
    behind = follows(("b.create_time_ns", "b.id"), query.after, newest_first=query.newest_first)
    conditions, values = joined([*_conditions(query), *behind])
    statement = (
        f"SELECT b.body FROM block b WHERE {conditions} "  # noqa: S608
        f"ORDER BY b.create_time_ns {order}, b.id {order} LIMIT ?"
    )
    rows = await connection.fetch(numbered(statement), *values, query.limit)
    return [v1.Block.FromString(body) for (body,) in rows]


def _conditions(query: BlockQuery) -> list[Condition]:
    """What costs least to look at comes first."""
    asked = [of_tenant("b.tenant", query.tenant, narrow=bool(query.tags))]
    if query.label is not None:
        asked.append(("b.label = ?", (sought_bytes(query.label),)))
    asked += tagged(tags.OF_BLOCKS, "b.no", query.tenant, query.tags, all_of_them=query.match_all_tags)
    for column, searched in (
        ("b.label_folded", query.label_search),
        ("b.description_folded", query.description_search),
        ("b.value_folded", query.value_search),
    ):
        if searched:
            asked.append(contains(column, searched))
    return asked


async def delete(connection: Connection, replica_no: int, tenant: str, block_id: str) -> bool:
    async with fenced(connection, replica_no):
        no = await connection.fetchval(named("delete_block"), tenant, block_id)
        if no is not None:
            await tags.delete(connection, tags.OF_BLOCKS, no)
        return no is not None
