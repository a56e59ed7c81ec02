"""Steps, of one run or of all, and what people think of them."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.store.postgres.conditions import Condition, joined, of_tenant, one_of
from sendoff_server.store.postgres.connection import Connection, fenced, sought_bytes
from sendoff_server.store.postgres.queries import named, numbered
from sendoff_server.store.questions import StepPlace, StepQuery


async def read(connection: Connection, tenant: str, step_id: str) -> v1.Step | None:
    row = await connection.fetchrow(named("step_of_id"), tenant, step_id)
    return None if row is None else _told(*row)


async def of_run(connection: Connection, run_id: str) -> list[v1.Step]:
    return [_told(*row) for row in await connection.fetch(named("steps"), run_id)]


async def place(connection: Connection, tenant: str, step_id: str) -> StepPlace | None:
    row = await connection.fetchrow(named("step_place"), tenant, step_id)
    return None if row is None else (row[0], row[1])


async def set_feedback(
    connection: Connection,
    replica_no: int,
    tenant: str,
    step_id: str,
    feedback: v1.StepFeedback.ValueType,
    tags: Sequence[str] | None,
) -> v1.Step | None:
    kept = None if tags is None else [tag.encode() for tag in tags]
    async with fenced(connection, replica_no):
        row = await connection.fetchrow(named("set_feedback"), tenant, step_id, int(feedback), kept)
        return None if row is None else _told(*row)


async def read_page(connection: Connection, query: StepQuery) -> list[tuple[v1.Step, StepPlace]]:
    narrow = _narrow(query)
    tenant = of_tenant("s.tenant", query.tenant, narrow=bool(narrow))
    asked = [tenant, *narrow, *_of_time(query), *_wide(query)]
    conditions, values = joined(asked)
    order = "DESC" if query.newest_first else "ASC"
    by = f"s.key {order}" if query.run_id is not None else f"s.start_ns {order}, s.key {order}"
    statement = (
        "SELECT s.start_ns, s.key, s.body, s.feedback, s.tags FROM step s "  # noqa: S608
        f"WHERE {conditions} ORDER BY {by} LIMIT ?"
    )
    rows = await connection.fetch(numbered(statement), *values, query.limit)
    return [(_told(*told), (start_ns, key)) for start_ns, key, *told in rows]


def _told(body: bytes, feedback: int, tags: Sequence[bytes] | None) -> v1.Step:
    """The body may have what was thought of the step when its run read it."""
    step = v1.Step.FromString(body)
    step.feedback = v1.StepFeedback.ValueType(feedback)
    del step.tags[:]
    step.tags.extend(tag.decode() for tag in tags or ())
    return step


def _narrow(query: StepQuery) -> list[Condition]:
    """Conditions that an index answers; of run and agent the run has fewer steps."""
    asked: list[Condition] = []
    if query.run_id is not None:
        number = "(SELECT no FROM run WHERE id = ?)"
        asked.append((f"s.key >= {number} << 20 AND s.key < {number} + 1 << 20", (query.run_id, query.run_id)))
    if query.agent_id is not None:
        column = "s.agent_no" if query.run_id is None else "s.agent_no + 0"
        of_agent = f"{column} = (SELECT no FROM agent WHERE tenant = ? AND id = ?)"  # noqa: S608
        asked.append((of_agent, (query.tenant, query.agent_id)))
    return asked


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
            asked.append((f"(s.start_ns, s.key) {than} (?::bigint, ?::bigint)", bound))
    return asked


def _wide(query: StepQuery) -> list[Condition]:
    """Conditions that are looked at step by step."""
    asked: list[Condition] = []
    if query.model is not None:
        model = sought_bytes(query.model)
        behind_provider = "substring(s.model FROM position('/'::bytea IN s.model) + 1)"
        asked.append((f"(s.model = ? OR {behind_provider} = ?)", (model, model)))
    if query.trace_ids:
        asked.append(one_of("s.trace_id", "bytea", [sought_bytes(trace_id) for trace_id in query.trace_ids]))
    if query.tags:
        asked.append(("s.tags && ?::bytea[]", ([sought_bytes(tag) for tag in query.tags],)))
    if query.feedback is not None:
        asked.append(("s.feedback = ?", (int(query.feedback),)))
    if query.has_feedback is not None:
        asked.append(("(s.feedback > 0) = ?", (query.has_feedback,)))
    return asked
