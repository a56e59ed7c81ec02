"""Pending actions: written in the writer thread inside a batch, read in a reader thread."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.batch.snapshot import LaneRow
from sendoff_server.store.questions import ActionQuery, ActionSet
from sendoff_server.store.sqlite.bodies import read_bodies
from sendoff_server.store.sqlite.queries import execute_rows, named


def write_actions(connection: sqlite3.Connection, lane: LaneRow) -> None:
    """Write a lane's newest actions, as they are now, over those that it had."""
    row = lane.actions
    if row is None:
        raise AssertionError("a lane whose actions changed has some")
    values = (lane.no, row.run.no, row.answered_by, row.continuations, row.settled)
    connection.execute(named("write_action_set"), values)
    connection.execute(named("clear_actions"), (lane.no,))
    actions = [
        (
            lane.no << 20 | place,
            lane.tenant,
            action.kind,
            nanoseconds(action.expire_time),
            row.settled,
            action.SerializeToString(),
        )
        for place, action in enumerate(row.actions)
    ]
    execute_rows(connection, "write_actions", actions)


def read(connection: sqlite3.Connection, tenant: str, lane: str) -> ActionSet | None:
    row = connection.execute(named("newest_actions"), (tenant, lane)).fetchone()
    if row is None:
        return None
    run_id, answered_by, settled, lane_no = row
    bodies = read_bodies(connection, "actions", (lane_no,), "action")
    return ActionSet(run_id, [v1.PendingAction.FromString(body) for body in bodies], answered_by, bool(settled))


def expired(connection: sqlite3.Connection, now_ns: int, limit: int) -> list[tuple[str, str, str]]:
    return connection.execute(named("expired_actions"), (now_ns, limit)).fetchall()


def read_page(connection: sqlite3.Connection, query: ActionQuery) -> list[tuple[v1.PendingAction, str]]:
    lanes, conditions, values = _conditions(query)
    source = (
        f"({lanes}) n CROSS JOIN lane l ON l.no = n.no CROSS JOIN action a" if lanes else "action a CROSS JOIN lane l"
    )
    # Only fixed texts go into the statement, values are bound.
    statement = (
        f"SELECT a.body, a.key FROM {source} WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY a.expire_ns, a.key LIMIT ?"
    )
    rows = connection.execute(statement, [*values, query.limit]).fetchall()
    return [(v1.PendingAction.FromString(body), str(key)) for body, key in rows]


def _conditions(query: ActionQuery) -> tuple[str, list[str], list[object]]:
    """The lanes that may have them, where few can; what must hold, to be joined by AND; the values of all question
    marks in order."""
    lanes: list[str] = []
    values: list[object] = []
    if query.lane is not None:
        lanes.append("SELECT no FROM lane WHERE id = ?")
        values.append(query.lane)
    if query.run_id is not None:
        lanes.append("SELECT lane_no AS no FROM run WHERE id = ?")
        values.append(query.run_id)
    if query.agent_id is not None:
        lanes.append("SELECT no FROM lane WHERE agent_no = (SELECT no FROM agent WHERE id = ?)")
        values.append(query.agent_id)
    # With few lanes the index by tenant and time is of no use, which the plus says.
    tenant = "+a.tenant = ? AND a.key >= l.no << 20 AND a.key < l.no + 1 << 20" if lanes else "a.tenant = ?"
    conditions = [tenant, "a.settled = 0", "l.no = a.key >> 20", "(l.open = 0 OR l.held)"]
    values.append(query.tenant)
    if query.run_id is not None:
        conditions.append("l.paused_by = ?")
        values.append(query.run_id)
    if query.kind is not None:
        conditions.append("a.kind = ?")
        values.append(query.kind)
    if query.after is not None:
        conditions.append("(a.expire_ns, a.key) > (?, CAST(? AS INTEGER))")
        values += query.after
    return " INTERSECT ".join(lanes), conditions, values
