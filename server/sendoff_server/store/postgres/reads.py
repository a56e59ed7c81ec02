"""What is asked of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sendoff import v1
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.batch.snapshot import read_cancel
from sendoff_server.store.batch.told_waits import at_cap, told_pause
from sendoff_server.store.items import Cancel
from sendoff_server.store.postgres.conditions import Condition, follows, joined, of_tenant, one_of
from sendoff_server.store.postgres.connection import Connection, sought, sought_bytes
from sendoff_server.store.postgres.queries import named, numbered
from sendoff_server.store.questions import Queued, RunQuery

_EVENTS_BYTES = 4 * 1024 * 1024


async def runs(connection: Connection, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], v1.Run]:
    """By (tenant, id). What is stored under another tenant is not there."""
    asked = set(wanted)
    rows = await connection.fetch(named("runs"), [sought(run_id) for run_id in {run_id for _, run_id in asked}])
    return {(tenant, run_id): v1.Run.FromString(body) for tenant, run_id, body in rows if (tenant, run_id) in asked}


async def marks(connection: Connection, run_ids: Sequence[str]) -> Mapping[str, str]:
    """The number of the transaction that wrote the row last."""
    rows = await connection.fetch(named("run_marks"), [sought(run_id) for run_id in run_ids])
    return {run_id: mark for run_id, mark in rows}  # noqa: C416 -- not `dict`: a record is no pair to the type checker


async def wanted_cancels(connection: Connection, replica_no: int) -> list[tuple[str, Cancel]]:
    rows = await connection.fetch(named("wanted_cancels"), replica_no)
    found = [(run_id, read_cancel(reason.decode(), kind)) for run_id, reason, kind in rows]
    return [(run_id, cancel) for run_id, cancel in found if cancel is not None]


async def queued(connection: Connection, run_id: str, caps: Caps) -> Queued | None:
    row = await connection.fetchrow(named("queued"), run_id, caps.any)
    if row is None:
        return None
    position, blocking, paused_by, start_ns, pause, running, tenant = row
    return Queued(position, blocking, paused_by, start_ns, told_pause(pause), at_cap(caps, tenant, running))


async def events(connection: Connection, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
    rows = await connection.fetch(named("events"), run_id, after_sequence, limit, _EVENTS_BYTES)
    return [v1.RunEvent.FromString(body) for (body,) in rows]


async def run_messages(connection: Connection, run_id: str, after_position: int, limit: int) -> list[v1.Message]:
    rows = await connection.fetch(named("run_messages"), run_id, after_position, limit)
    return [v1.Message.FromString(body) for (body,) in rows]


async def overdue(connection: Connection, now_ns: int, limit: int) -> list[tuple[str, str]]:
    return [(tenant, run_id) for tenant, run_id in await connection.fetch(named("overdue_runs"), now_ns, limit)]


async def run_request(connection: Connection, tenant: str, run_id: str) -> bytes | None:
    request: bytes | None = await connection.fetchval(named("run_request"), tenant, run_id)
    return request


async def list_runs(connection: Connection, query: RunQuery) -> list[v1.Run]:
    narrow = _narrow(query)
    asked = [of_tenant("r.tenant", query.tenant, narrow=bool(narrow)), *narrow, *_wide(query)]
    conditions, values = joined(
        [*asked, *follows(("r.create_time_ns", "r.id"), query.after, newest_first=query.newest_first)]
    )
    order = "DESC" if query.newest_first else "ASC"
    statement = (
        f"SELECT r.body FROM run r WHERE {conditions} "  # noqa: S608
        f"ORDER BY r.create_time_ns {order}, r.id {order} LIMIT ?"
    )
    return [v1.Run.FromString(body) for (body,) in await connection.fetch(numbered(statement), *values, query.limit)]


def _narrow(query: RunQuery) -> list[Condition]:
    """Conditions that an index answers."""
    asked: list[Condition] = []
    if query.agent_id is not None:
        asked.append(_of_agents(query.tenant, [query.agent_id]))
    if query.agent_ids:
        asked.append(_of_agents(query.tenant, query.agent_ids))
    if query.lane is not None:
        of_lane = "r.lane_no = (SELECT no FROM lane WHERE tenant = ? AND id = ?)"
        asked.append((of_lane, (query.tenant, query.lane)))
    keys = "r.no IN (SELECT run_no FROM run_key WHERE tenant = ? AND value = ? AND {})"
    if query.key is not None:
        key = (query.tenant, sought_bytes(query.key.value), query.key.scope)
        asked.append((keys.format("scope = ?"), key))
    if query.otid is not None:
        asked.append((keys.format("scope LIKE 'otid:%'"), (query.tenant, sought_bytes(query.otid))))
    if query.active:
        # Lanes with open runs are in an index of their own, which is short; so is the way from their heads on.
        open_runs = "SELECT o.no FROM lane l JOIN run o ON o.lane_no = l.no AND o.seq >= l.head_seq WHERE l.open > 0"
        asked.append((f"r.status <= 2 AND r.no IN ({open_runs})", ()))
    return asked


def _of_agents(tenant: str, agent_ids: Iterable[str]) -> Condition:
    agents, values = one_of("a.id", "text", list(agent_ids))
    lanes = f"SELECT l.no FROM agent a JOIN lane l ON l.agent_no = a.no WHERE a.tenant = ? AND {agents}"  # noqa: S608
    return f"r.lane_no IN ({lanes})", (tenant, *values)


def _wide(query: RunQuery) -> list[Condition]:
    """Conditions that are looked at run by run."""
    asked: list[Condition] = [("r.status <> 9", ())]  # deleted
    if query.active is False:
        asked.append(("r.status > 2", ()))
    if query.statuses:
        asked.append(one_of("r.status", "smallint", query.statuses))
    if query.stop_reasons:
        asked.append(one_of("r.stop_reason", "integer", query.stop_reasons))
    if query.background is not None:
        asked.append(("coalesce(r.background, false) = ?", (query.background,)))
    return asked
