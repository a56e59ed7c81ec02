"""Steps, of one run or of all, and what people think of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.questions import StepPlace, StepQuery
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import execute_rows, named
from sendoff_server.store.sqlite.snapshot import encode_list

Condition = tuple[str, Sequence[object]]
"""SQL over `step s`, and the values of its question marks."""


def write(connection: sqlite3.Connection, steps: Sequence[tuple[int, v1.Step]]) -> None:
    """Write steps by their keys, or write over them, once their runs are written."""
    rows = [
        (key, step.id, nanoseconds(step.start_time), step.model_handle, step.trace_id, step.SerializeToString())
        for key, step in steps
    ]
    execute_rows(connection, "write_steps", rows)


def read(connection: sqlite3.Connection, tenant: str, step_id: str) -> v1.Step | None:
    row = connection.execute(named("step_of_id"), (tenant, step_id)).fetchone()
    return None if row is None else _told(*row)


def of_run(connection: sqlite3.Connection, run_id: str) -> list[v1.Step]:
    return [_told(*row) for row in connection.execute(named("steps"), (run_id,)).fetchall()]


def place(connection: sqlite3.Connection, tenant: str, step_id: str) -> StepPlace | None:
    row = connection.execute(named("step_place"), (tenant, step_id)).fetchone()
    return None if row is None else (row[0], row[1])


def set_feedback(
    connection: sqlite3.Connection,
    replica_no: int,
    tenant: str,
    step_id: str,
    feedback: v1.StepFeedback.ValueType,
    tags: Sequence[str] | None,
) -> v1.Step | None:
    with transaction(connection):
        check_alive(connection, replica_no)
        kept = None if tags is None else json.dumps(list(tags))
        connection.execute(named("set_feedback"), (tenant, step_id, int(feedback), kept))
        return read(connection, tenant, step_id)


def read_page(connection: sqlite3.Connection, query: StepQuery) -> list[tuple[v1.Step, StepPlace]]:
    conditions, values = _conditions(query)
    order = "DESC" if query.newest_first else "ASC"
    by = f"s.key {order}" if query.run_id is not None else f"s.start_ns {order}, s.key {order}"
    # Only fixed texts go into the statement, values are bound.
    statement = (
        "SELECT s.start_ns, s.key, s.body, s.feedback, s.tags FROM step s "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY {by} LIMIT ?"
    )
    rows = connection.execute(statement, [*values, query.limit]).fetchall()
    return [(_told(*told), (start_ns, key)) for start_ns, key, *told in rows]


def _told(body: bytes, feedback: int, tags: str | None) -> v1.Step:
    """The body may have what was thought of the step when its run read it."""
    step = v1.Step.FromString(body)
    step.feedback = v1.StepFeedback.ValueType(feedback)
    del step.tags[:]
    step.tags.extend(json.loads(tags) if tags else ())
    return step


def _conditions(query: StepQuery) -> tuple[list[str], list[object]]:
    """What must hold, to be joined by AND, and the values of all question marks in order."""
    narrow = _narrow(query)
    # The plus keeps SQLite from walking all steps of the tenant by time where something else finds few.
    tenant = "+s.tenant = ?" if narrow else "s.tenant = ?"
    asked = [(tenant, (query.tenant,)), *narrow, *_of_time(query), *_wide(query)]
    return [condition for condition, _ in asked], [value for _, values in asked for value in values]


def _narrow(query: StepQuery) -> list[Condition]:
    """Conditions that an index answers; of run and agent the run has fewer steps."""
    agent = "{}s.agent_no = (SELECT no FROM agent WHERE tenant = ? AND id = ?)"
    of_agent = (query.tenant, query.agent_id)
    if query.run_id is not None:
        number = "(SELECT no FROM run WHERE id = ?)"
        of_run = (f"s.key >= {number} << 20 AND s.key < {number} + 1 << 20", (query.run_id, query.run_id))
        return [of_run, *([(agent.format("+"), of_agent)] if query.agent_id is not None else ())]
    return [(agent.format(""), of_agent)] if query.agent_id is not None else []


def _of_time(query: StepQuery) -> list[Condition]:
    asked: list[Condition] = []
    if query.started_from_ns is not None:
        asked.append(("s.start_ns >= ?", (query.started_from_ns,)))
    if query.started_until_ns is not None:
        asked.append(("s.start_ns <= ?", (query.started_until_ns,)))
    for bound, comes_later in ((query.after, not query.newest_first), (query.before, query.newest_first)):
        if bound is None:
            continue
        than = ">" if comes_later else "<"
        if query.run_id is not None:
            asked.append((f"s.key {than} ?", (bound[1],)))
        else:
            start_ns, key = bound
            follows = f"s.start_ns {than}= ? AND (s.start_ns {than} ? OR s.key {than} ?)"
            asked.append((follows, (start_ns, start_ns, key)))
    return asked


def _wide(query: StepQuery) -> list[Condition]:
    """Conditions that are looked at step by step."""
    asked: list[Condition] = []
    if query.model is not None:
        asked.append(("(s.model = ? OR substr(s.model, instr(s.model, '/') + 1) = ?)", (query.model, query.model)))
    if query.trace_ids:
        asked.append(("s.trace_id IN (SELECT value FROM json_each(?))", (encode_list(query.trace_ids),)))
    if query.tags:
        one_of = "EXISTS (SELECT 1 FROM json_each(s.tags) own JOIN json_each(?) wanted ON own.value = wanted.value)"
        asked.append((one_of, (encode_list(query.tags),)))
    if query.feedback is not None:
        asked.append(("s.feedback = ?", (int(query.feedback),)))
    if query.has_feedback is not None:
        asked.append(("(s.feedback > 0) = ?", (query.has_feedback,)))
    return asked
