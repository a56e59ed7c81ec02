"""Lists of agents, by their entries."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store.postgres import tags
from sendoff_server.store.postgres.conditions import Condition, contains, follows, joined, of_tenant, one_of, tagged
from sendoff_server.store.postgres.connection import Connection, sought_bytes
from sendoff_server.store.postgres.queries import numbered
from sendoff_server.store.questions import AgentQuery, ListedAgent


async def read_page(connection: Connection, query: AgentQuery) -> list[ListedAgent]:
    column = f"e.{query.order}_ns"
    order = "DESC" if query.newest_first else "ASC"
    behind = follows((column, "e.id"), query.after, newest_first=query.newest_first)
    conditions, values = joined([*_conditions(query.tenant, query.filter), *behind])
    statement = (
        f"SELECT a.body, e.last_run FROM agent_entry e JOIN agent a ON a.no = e.agent_no WHERE {conditions} "  # noqa: S608
        f"ORDER BY {column} {order}, e.id {order} LIMIT ?"
    )
    return [
        ListedAgent(v1.Agent.FromString(body), v1.LastRun.FromString(last_run) if last_run is not None else None)
        for body, last_run in await connection.fetch(numbered(statement), *values, query.limit)
    ]


async def count(connection: Connection, tenant: str, wanted: v1.AgentFilter) -> int:
    conditions, values = joined(_conditions(tenant, wanted))
    statement = f"SELECT count(*) FROM agent_entry e WHERE {conditions}"  # noqa: S608
    found: int = await connection.fetchval(numbered(statement), *values)
    return found


def _conditions(tenant: str, wanted: v1.AgentFilter) -> list[Condition]:
    narrow = _narrow(tenant, wanted)
    asked = [of_tenant("e.tenant", tenant, narrow=bool(narrow)), *narrow]
    if wanted.name_search:
        asked.append(contains("e.name_folded", wanted.name_search))
    if wanted.last_stop_reasons:
        asked.append(one_of("e.last_stop_reason", "integer", list(wanted.last_stop_reasons)))
    return asked


def _narrow(tenant: str, wanted: v1.AgentFilter) -> list[Condition]:
    """Conditions that an index answers."""
    asked = list(tagged(tags.OF_AGENTS, "e.agent_no", tenant, wanted.tags, all_of_them=wanted.match_all_tags))
    if wanted.HasField("name"):
        asked.append(("e.name = ?", (sought_bytes(wanted.name),)))
    if wanted.agent_ids:
        ids, values = one_of("id", "text", list(wanted.agent_ids))
        asked.append((f"e.agent_no = ANY (ARRAY(SELECT no FROM agent WHERE {ids}))", values))  # noqa: S608
    return asked
