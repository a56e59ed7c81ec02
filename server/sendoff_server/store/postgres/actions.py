"""What is asked of pending actions."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store.postgres.conditions import Condition, joined, of_tenant
from sendoff_server.store.postgres.connection import Connection
from sendoff_server.store.postgres.queries import named, numbered
from sendoff_server.store.questions import ActionQuery, ActionSet


async def read(connection: Connection, tenant: str, lane: str) -> ActionSet | None:
    row = await connection.fetchrow(named("newest_actions"), tenant, lane)
    if row is None:
        return None
    run_id, answered_by, settled, bodies = row
    return ActionSet(run_id, [v1.PendingAction.FromString(body) for body in bodies], answered_by, settled)


async def expired(connection: Connection, now_ns: int, limit: int) -> list[tuple[str, str, str]]:
    rows = await connection.fetch(named("expired_actions"), now_ns, limit)
    return [(tenant, lane, run_id) for tenant, lane, run_id in rows]


async def read_page(connection: Connection, query: ActionQuery) -> list[tuple[v1.PendingAction, str]]:
    conditions, values = joined(_conditions(query))
    statement = (
        "SELECT a.body, a.key FROM action a JOIN lane l ON l.no = a.key >> 20 "  # noqa: S608
        f"WHERE {conditions} ORDER BY a.expire_ns, a.key LIMIT ?"
    )
    rows = await connection.fetch(numbered(statement), *values, query.limit)
    return [(v1.PendingAction.FromString(body), str(key)) for body, key in rows]


def _conditions(query: ActionQuery) -> list[Condition]:
    narrow = [each for each in (query.lane, query.run_id, query.agent_id) if each is not None]
    asked: list[Condition] = [
        of_tenant("a.tenant", query.tenant, narrow=bool(narrow)),
        ("NOT a.settled AND (l.open = 0 OR l.held)", ()),
    ]
    if narrow:  # from lanes to their actions, and not the other way
        asked.append(("a.key >= l.no << 20 AND a.key < l.no + 1 << 20", ()))
    if query.lane is not None:
        asked.append(("l.id = ?", (query.lane,)))
    if query.run_id is not None:
        asked.append(("l.no = (SELECT lane_no FROM run WHERE id = ?)", (query.run_id,)))
        asked.append(("l.paused_by = ?", (query.run_id,)))
    if query.agent_id is not None:
        asked.append(("l.agent_no = (SELECT no FROM agent WHERE id = ?)", (query.agent_id,)))
    if query.kind is not None:
        asked.append(("a.kind = ?", (query.kind,)))
    if query.after is not None:
        expire_ns, cursor = query.after
        asked.append(("(a.expire_ns, a.key) > (?::bigint, ?::bigint)", (expire_ns, int(cursor))))
    return asked
