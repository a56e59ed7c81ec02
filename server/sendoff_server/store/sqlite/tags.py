"""Tags of agents and of blocks: a row for each, beside the bodies that have them too."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from sendoff_server.store.questions import TagQuery
from sendoff_server.store.sqlite.queries import named

OF_AGENTS = "agent_tag"
OF_BLOCKS = "block_tag"


def write(connection: sqlite3.Connection, table: str, tenant: str, owner_no: int, tags: Iterable[str]) -> None:
    """These are its tags from now on. Inside a transaction."""
    delete(connection, table, owner_no)
    rows = [(tenant, tag, owner_no) for tag in set(tags)]
    connection.executemany(named("create_tag", table=table), rows)


def delete(connection: sqlite3.Connection, table: str, owner_no: int) -> None:
    connection.execute(named("delete_tags", table=table), (owner_no,))


def read_page(connection: sqlite3.Connection, query: TagQuery) -> list[str]:
    next_one, than = ("max", "<") if query.backwards else ("min", ">")
    first = "1" if query.after is None else f"tag {than} ?2"
    statement = named("list_tags", next=next_one, first=first, than=than)
    values = (query.tenant, query.after, query.search.casefold(), query.limit)
    return [tag for (tag,) in connection.execute(statement, values)]
