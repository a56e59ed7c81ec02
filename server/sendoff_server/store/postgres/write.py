"""Writes one batch: snapshot, decisions, changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sendoff_server.clock import nanoseconds
from sendoff_server.store.batch.changes import Changes
from sendoff_server.store.batch.columns import changed_columns, ended_columns, has_ended, lane_columns, run_columns
from sendoff_server.store.batch.decide import Decider, complete, wanted
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.batch.outbox import OutboxChanges
from sendoff_server.store.batch.snapshot import LaneRow, cancel_columns
from sendoff_server.store.items import Item, LeftOut, Result
from sendoff_server.store.port import INPUT_PLACE, Poisoned
from sendoff_server.store.postgres import claims, endpoints, snapshot
from sendoff_server.store.postgres.connection import DATA_ERRORS, MEETINGS, TRIES, Connection
from sendoff_server.store.postgres.pauses import KnownPauses
from sendoff_server.store.postgres.queries import columns_of, named, together
from sendoff_server.store.postgres.run_numbers import RunNumbers

Results = list[Result | Poisoned]
Rows = Sequence[Sequence[object]]
Part = tuple[str, Sequence[object]]
"""The name of a statement, and the values of its parameters."""


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What a replica keeps from batch to batch."""

    run_nos: RunNumbers
    pauses: KnownPauses
    caps: Caps


_RUN_TEXTS = (10,)
_CHANGE_TEXTS = (4,)
_MARK_TEXTS = (1,)
_DELIVERY_TEXTS = (6, 7, 13)
_NOTED_TEXTS = (5,)


async def flush(connection: Connection, replica_no: int, context: BatchContext, items: Sequence[Item]) -> Results:
    """Write the batch in one transaction. Raises Fenced and errors of the database, all with nothing written."""
    for _ in range(TRIES):
        try:
            async with connection.transaction():
                return await _apply(connection, replica_no, context, items)
        except MEETINGS as error:
            met = error
        except DATA_ERRORS as error:
            return await _without_culprit(connection, replica_no, context, items, error)
    if isinstance(met, DATA_ERRORS):
        return await _without_culprit(connection, replica_no, context, items, met)
    raise met


async def _without_culprit(
    connection: Connection, replica_no: int, context: BatchContext, items: Sequence[Item], error: Exception
) -> Results:
    if len(items) == 1:
        return [_poisoned(error)]
    async with connection.transaction():
        await snapshot.lock(connection, replica_no, items)  # of all at once, so that the halves lock in no other order
        return await _apply_halves(connection, replica_no, context, items)


async def _apply_halves(
    connection: Connection, replica_no: int, context: BatchContext, items: Sequence[Item]
) -> Results:
    """Apply a batch that failed as a whole, split until the culprit is alone. Later parts see what earlier did."""
    middle = len(items) // 2
    results: Results = []
    for half in (items[:middle], items[middle:]):
        try:
            async with connection.transaction():
                results += await _apply(connection, replica_no, context, half)
        except DATA_ERRORS as error:
            alone = len(half) == 1
            results += [_poisoned(error)] if alone else await _apply_halves(connection, replica_no, context, half)
    return results


def _poisoned(error: Exception) -> Poisoned:
    poisoned = Poisoned(f"{type(error).__name__}: {error}")
    poisoned.__cause__ = error
    return poisoned


async def _apply(connection: Connection, replica_no: int, context: BatchContext, items: Sequence[Item]) -> Results:
    taken, now_ns = await snapshot.take(connection, replica_no, context.run_nos, context.pauses, items)
    decider = Decider(taken, replica_no, now_ns, context.caps)
    outcomes = decider.decide(items)
    # Before anything is written over them.
    needed = wanted(outcomes)
    results = complete(outcomes, await snapshot.read_stored(connection, needed) if needed else {})
    await _write(connection, now_ns, decider.changes)
    return results


async def _write(connection: Connection, now_ns: int, changes: Changes) -> None:
    """First what other replicas may be writing as well, in the order that keeps them from waiting for each other in a
    circle. A statement waits for one kind of that at most, so the last one can take along what nobody else writes."""
    shared = [parts for parts in (_keys(changes), _last_runs(changes), _listed(now_ns, changes)) if parts]
    own = _own(now_ns, changes)
    for parts in (*shared[:-1], [*shared[-1], *own] if shared else own):
        await _execute(connection, parts)
    hidden = [no for no, what in changes.left_out if what >= LeftOut.CONVERSATION]
    if hidden:
        await connection.execute(named("leave_out_of_lists"), hidden, INPUT_PLACE)
    await _write_outbox(connection, now_ns, changes.outbox)
    await claims.free_lanes(connection, list(changes.freed.items()))


async def _execute(connection: Connection, parts: Sequence[Part]) -> None:
    """All in one statement."""
    if parts:
        statement = together(tuple(name for name, _ in parts), tuple(len(columns) for _, columns in parts))
        await connection.execute(statement, *(column for _, columns in parts for column in columns))


def _keys(changes: Changes) -> Sequence[Part]:
    rows = sorted((tenant, value.encode(), scope, no) for tenant, value, scope, no in changes.keys)
    return [("write_keys", columns_of(rows))] if rows else ()


def _last_runs(changes: Changes) -> Sequence[Part]:
    rows = [ended_columns(row) for row in changes.runs.values() if has_ended(row)]
    return [("write_last_runs", columns_of(rows))] if rows else ()


def _listed(now_ns: int, changes: Changes) -> Sequence[Part]:
    """Each message comes behind all of its tenant."""
    if not changes.listed:
        return ()
    left = Counter(tenant for tenant, _ in changes.listed)
    numbers: list[object] = [*columns_of(sorted(left.items())), now_ns]
    rows = []
    for tenant, (key, message_id, types, last_place, size) in changes.listed:
        left[tenant] -= 1
        lane_no = changes.runs[key >> 20].lane_no
        rows.append((key, message_id, left[tenant], types, last_place, size, lane_no))
    return [("number_listed", numbers), ("write_listed", columns_of(rows))]


def _own(now_ns: int, changes: Changes) -> Sequence[Part]:
    """What only the holder of the lanes writes."""
    marked = [(row.no, *cancel_columns(row.cancel)) for row in changes.marked.values() if row.no not in changes.runs]
    runs = changes.runs.values()
    parts: dict[str, Rows] = {
        "add_runs": [_encoded(run_columns(row), _RUN_TEXTS) for row in runs if row.is_new],
        "change_runs": [_encoded(changed_columns(row), _CHANGE_TEXTS) for row in runs if not row.is_new],
        "write_lanes": [lane_columns(lane) for lane in changes.lanes.values()],
        "write_log": changes.log,
        "write_messages": changes.messages,
        "write_steps": _step_rows(changes),
        "write_left_out": changes.left_out,
        "write_purges": changes.purges,
        "write_acts": [(*key, now_ns, body) for key, body in changes.acts.items()],
        "mark_cancels": [_encoded(row, _MARK_TEXTS) for row in marked],
        **_action_parts(list(changes.actions.values())),
    }
    return [(name, columns_of(rows)) for name, rows in parts.items() if rows]


async def _write_outbox(connection: Connection, now_ns: int, changes: OutboxChanges) -> None:
    """New rows before noted ones, so that what is new and waits for one that is noted as done waits no longer."""
    parts: Sequence[tuple[str, Rows]] = (
        ("add_deliveries", [_encoded(row, _DELIVERY_TEXTS) for row in changes.started]),
        ("add_deliveries", [_encoded(row, _DELIVERY_TEXTS) for row in changes.ended]),
        ("note_attempts", [_encoded(row, _NOTED_TEXTS) for row in changes.noted]),
        ("write_attempts", changes.attempts),
        ("forget_attempts", changes.forgotten),
        ("release_deliveries", changes.released),
    )
    for name, rows in parts:
        if rows:
            await connection.execute(named(name), *columns_of(rows))
    for (endpoint_no, url), reason in sorted(changes.disabled.items()):
        await endpoints.disable(connection, endpoint_no, url, reason, now_ns)


def _encoded(row: Sequence[object], places: Sequence[int]) -> list[object]:
    """With the texts that callers wrote as bytes."""
    columns = list(row)
    for place in places:
        text = columns[place]
        columns[place] = text.encode() if isinstance(text, str) else None
    return columns


def _step_rows(changes: Changes) -> Rows:
    return [
        (
            key,
            step.id,
            nanoseconds(step.start_time),
            step.model_handle.encode(),
            step.trace_id.encode(),
            step.SerializeToString(),
            changes.runs[key >> 20].lane_no,
        )
        for key, step in changes.steps.items()
    ]


def _action_parts(lanes: Sequence[LaneRow]) -> dict[str, Rows]:
    """Lanes' newest actions, as they are now, over those that they had."""
    sets, counts, actions = [], [], []
    for lane in lanes:
        row = lane.actions
        if row is None:
            raise AssertionError("a lane whose actions changed has some")
        sets.append((lane.no, row.run.no, row.answered_by, row.continuations, row.settled))
        counts.append((lane.no, len(row.actions)))
        for place, action in enumerate(row.actions):
            key, expire_ns = lane.no << 20 | place, nanoseconds(action.expire_time)
            body = action.SerializeToString()
            actions.append((key, lane.tenant, action.kind, expire_ns, row.settled, body))
    return {"write_action_sets": sets, "clear_actions": counts, "write_actions": actions}
