"""What is asked of runs, in a reader thread."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from sendoff import v1
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.batch.snapshot import read_cancel
from sendoff_server.store.batch.told_waits import at_cap, told_pause
from sendoff_server.store.items import Cancel
from sendoff_server.store.questions import Queued, RunQuery
from sendoff_server.store.sqlite.bodies import read_bodies
from sendoff_server.store.sqlite.queries import named
from sendoff_server.store.sqlite.snapshot import encode_list

_EVENTS_BYTES = 4 * 1024 * 1024


def runs(connection: sqlite3.Connection, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], v1.Run]:
    """By (tenant, id). What is stored under another tenant is not there."""
    asked = set(wanted)
    (found,) = connection.execute(named("runs"), (encode_list({run_id for _, run_id in asked}),)).fetchone()
    return {
        (tenant, run_id): v1.Run.FromString(bytes.fromhex(body))
        for tenant, run_id, body in json.loads(found)
        if (tenant, run_id) in asked
    }


def marks(connection: sqlite3.Connection, run_ids: Sequence[str]) -> Mapping[str, str]:
    """A digest of the body: a row tells by itself not when it was written."""
    rows = connection.execute(named("run_marks"), (encode_list(run_ids),))
    return {run_id: hashlib.blake2b(body, digest_size=16).hexdigest() for run_id, body in rows}


def wanted_cancels(connection: sqlite3.Connection, replica_no: int) -> list[tuple[str, Cancel]]:
    rows = connection.execute(named("wanted_cancels"), (replica_no,))
    found = [(run_id, read_cancel(reason, kind)) for run_id, reason, kind in rows]
    return [(run_id, cancel) for run_id, cancel in found if cancel is not None]


def queued(connection: sqlite3.Connection, run_id: str, caps: Caps) -> Queued | None:
    row = connection.execute(named("queued"), (run_id, caps.any)).fetchone()
    if row is None:
        return None
    position, blocking, paused_by, start_ns, pause, running, tenant = row
    counts = json.loads(running) if running is not None else None
    return Queued(position, blocking, paused_by, start_ns, told_pause(pause), at_cap(caps, tenant, counts))


def events(connection: sqlite3.Connection, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
    values = (run_id, after_sequence, limit, _EVENTS_BYTES)
    return [v1.RunEvent.FromString(body) for body in read_bodies(connection, "events", values, "log_entry")]


def run_messages(connection: sqlite3.Connection, run_id: str, after_position: int, limit: int) -> list[v1.Message]:
    values = (run_id, after_position, limit)
    return [v1.Message.FromString(body) for body in read_bodies(connection, "run_messages", values, "message")]


def overdue(connection: sqlite3.Connection, now_ns: int, limit: int) -> list[tuple[str, str]]:
    return connection.execute(named("overdue_runs"), (now_ns, limit)).fetchall()


def run_request(connection: sqlite3.Connection, tenant: str, run_id: str) -> bytes | None:
    row = connection.execute(named("run_request"), (tenant, run_id)).fetchone()
    return None if row is None else bytes(row[0])


def list_runs(connection: sqlite3.Connection, query: RunQuery) -> list[v1.Run]:
    conditions, values = _conditions(query)
    order = "DESC" if query.newest_first else "ASC"
    # Only fixed texts go into the statement, values are bound.
    statement = (
        f"SELECT r.body FROM run r WHERE {' AND '.join(conditions)} "  # noqa: S608
        f"ORDER BY r.create_time_ns {order}, r.id {order} LIMIT ?"
    )
    rows = connection.execute(statement, [*values, query.limit]).fetchall()
    return [v1.Run.FromString(body) for (body,) in rows]


Condition = tuple[str, Sequence[object]]
"""SQL over `run r`, and the values of its question marks."""


def _conditions(query: RunQuery) -> tuple[list[str], list[object]]:
    """What must hold, to be joined by AND, and the values of all question marks in order."""
    narrow = _narrow(query)
    # The plus keeps SQLite from walking all runs of the tenant by time where something else finds few.
    tenant = "+r.tenant = ?" if narrow else "r.tenant = ?"
    asked = [(tenant, (query.tenant,)), *narrow, *_wide(query)]
    return [condition for condition, _ in asked], [value for _, values in asked for value in values]


def _narrow(query: RunQuery) -> list[Condition]:
    """Conditions that an index answers."""
    lanes = "r.lane_no IN (SELECT l.no FROM {} WHERE l.tenant = ? AND {})"
    keys = "r.no IN (SELECT run_no FROM run_key WHERE tenant = ? AND value = ? AND {})"
    asked: list[Condition] = []
    if query.agent_id is not None:
        of_agent = lanes.format("agent a CROSS JOIN lane l ON l.agent_no = a.no", "a.id = ?")
        asked.append((of_agent, (query.tenant, query.agent_id)))
    if query.agent_ids:
        of_agents = lanes.format("agent a CROSS JOIN lane l ON l.agent_no = a.no", _one_of("a.id", query.agent_ids))
        asked.append((of_agents, (query.tenant, *query.agent_ids)))
    if query.lane is not None:
        asked.append((lanes.format("lane l", "l.id = ?"), (query.tenant, query.lane)))
    if query.key is not None:
        asked.append((keys.format("scope = ?"), (query.tenant, query.key.value, query.key.scope)))
    if query.otid is not None:
        asked.append((keys.format("scope GLOB 'otid:*'"), (query.tenant, query.otid)))
    if query.active:
        # Lanes with open runs are in an index of their own, which is short; so is the way from their heads on.
        open_runs = (
            "SELECT o.no FROM lane l CROSS JOIN run o ON o.lane_no = l.no AND o.seq >= l.head_seq WHERE l.open > 0"
        )
        asked.append((f"r.status <= 2 AND r.no IN ({open_runs})", ()))
    return asked


def _wide(query: RunQuery) -> list[Condition]:
    """Conditions that are looked at run by run."""
    asked: list[Condition] = [("r.status <> 9", ())]  # deleted
    if query.active is False:
        asked.append(("r.status > 2", ()))
    if query.statuses:
        asked.append((_one_of("r.status", query.statuses), query.statuses))
    if query.stop_reasons:
        asked.append((_one_of("r.stop_reason", query.stop_reasons), query.stop_reasons))
    if query.background is not None:
        asked.append(("coalesce(r.background, 0) = ?", (query.background,)))
    if query.after is not None:
        than = "<" if query.newest_first else ">"
        time_ns, run_id = query.after
        follows = f"r.create_time_ns {than}= ? AND (r.create_time_ns {than} ? OR r.id {than} ?)"
        asked.append((follows, (time_ns, time_ns, run_id)))
    return asked


def _one_of(column: str, values: Sequence[object]) -> str:
    return f"{column} IN ({', '.join('?' * len(values))})"
