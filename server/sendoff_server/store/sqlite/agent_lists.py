"""Lists of agents, by their entries."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.store.questions import AgentQuery, ListedAgent
from sendoff_server.store.sqlite import tags
from sendoff_server.store.sqlite.conditions import Condition, contains, follows, joined, one_of, tagged


def read_page(connection: sqlite3.Connection, query: AgentQuery) -> list[ListedAgent]:
    column = f"e.{query.order}_ns"
    order = "DESC" if query.newest_first else "ASC"
    behind = follows((column, "e.id"), query.after, newest_first=query.newest_first)
    conditions, values = joined([*_conditions(query.tenant, query.filter), *behind])
    statement = (
        f"SELECT a.body, e.last_run FROM agent_entry e CROSS JOIN agent a ON a.no = e.agent_no WHERE {conditions} "  # noqa: S608
        f"ORDER BY {column} {order}, e.id {order} LIMIT ?"
    )
    return [
        ListedAgent(v1.Agent.FromString(body), v1.LastRun.FromString(last_run) if last_run is not None else None)
        for body, last_run in connection.execute(statement, [*values, query.limit])
    ]


def count(connection: sqlite3.Connection, tenant: str, wanted: v1.AgentFilter) -> int:
    conditions, values = joined(_conditions(tenant, wanted))
    found: int = connection.execute(f"SELECT count(*) FROM agent_entry e WHERE {conditions}", values).fetchone()[0]  # noqa: S608
    return found


def _conditions(tenant: str, wanted: v1.AgentFilter) -> list[Condition]:
    narrow = _narrow(tenant, wanted)
    # The plus keeps SQLite from walking all agents of the tenant in order where something else finds few.
    asked: list[Condition] = [("+e.tenant = ?" if narrow else "e.tenant = ?", (tenant,)), *narrow]
    if wanted.name_search:
        asked.append(contains("e.name", wanted.name_search))
    if wanted.last_stop_reasons:
        asked.append(one_of("e.last_stop_reason", wanted.last_stop_reasons))
    return asked


def _narrow(tenant: str, wanted: v1.AgentFilter) -> list[Condition]:
    """Conditions that an index answers."""
    asked = list(tagged(tags.OF_AGENTS, "e.agent_no", tenant, wanted.tags, all_of_them=wanted.match_all_tags))
    if wanted.HasField("name"):
        of_name = "e.agent_no IN (SELECT agent_no FROM agent_entry WHERE tenant = ? AND name = ?)"
        asked.append((of_name, (tenant, wanted.name)))
    if wanted.agent_ids:
        ids, values = one_of("id", wanted.agent_ids)
        asked.append((f"e.agent_no IN (SELECT no FROM agent WHERE {ids})", values))  # noqa: S608
    return asked
