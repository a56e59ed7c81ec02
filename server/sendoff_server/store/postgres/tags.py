"""Tags of agents and of blocks: a row for each, beside the bodies that have them too."""

from __future__ import annotations

from collections.abc import Iterable

from sendoff_server.store.postgres.connection import Connection, folded, sought_bytes
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import TagQuery

OF_AGENTS = "agent_tag"
OF_BLOCKS = "block_tag"


async def write(connection: Connection, table: str, tenant: str, owner_no: int, tags: Iterable[str]) -> None:
    """These are its tags from now on. Inside a transaction."""
    await delete(connection, table, owner_no)
    distinct = sorted(set(tags))
    if distinct:
        columns = [tag.encode() for tag in distinct], [folded(tag) for tag in distinct]
        await connection.execute(named("write_tags", table=table), tenant, owner_no, *columns)


async def delete(connection: Connection, table: str, owner_no: int) -> None:
    await connection.execute(named("delete_tags", table=table), owner_no)


async def read_page(connection: Connection, query: TagQuery) -> list[str]:
    order, behind = ("DESC", "<") if query.backwards else ("ASC", ">")
    first = "$2::bytea IS NULL" if query.after is None else f"tag {behind} $2::bytea"
    statement = named("list_tags", first=first, order=order, behind=behind)
    after = None if query.after is None else sought_bytes(query.after)
    rows = await connection.fetch(statement, query.tenant, after, folded(query.search), query.limit)
    return [tag.decode() for (tag,) in rows]
