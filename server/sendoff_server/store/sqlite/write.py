"""Writes one batch in the writer thread: snapshot, decisions, changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Item, Result
from sendoff_server.store.port import Poisoned
from sendoff_server.store.sqlite import endpoints, functions, listing, snapshot, steps
from sendoff_server.store.sqlite.actions import write_actions
from sendoff_server.store.sqlite.changes import Changes, NeedsStored, Outcome
from sendoff_server.store.sqlite.connection import DATA_ERRORS, transaction
from sendoff_server.store.sqlite.decide import Decider
from sendoff_server.store.sqlite.mentions import OPEN
from sendoff_server.store.sqlite.outbox import OutboxChanges
from sendoff_server.store.sqlite.queries import execute_rows
from sendoff_server.store.sqlite.snapshot import LaneRow, RunRow, cancel_columns

Results = list[Result | Poisoned]

_NOT_CANCELLED = cancel_columns(None)


def flush(connection: sqlite3.Connection, replica_no: int, now_ns: int, items: Sequence[Item]) -> Results:
    """Write the batch in one transaction. Raises Fenced and sqlite3.Error, both with nothing written."""
    try:
        with transaction(connection):
            return _apply(connection, replica_no, now_ns, items)
    except DATA_ERRORS as error:
        if len(items) == 1:
            return [_poisoned(error)]
    with transaction(connection):
        return _apply_halves(connection, replica_no, now_ns, items)


def _apply_halves(connection: sqlite3.Connection, replica_no: int, now_ns: int, items: Sequence[Item]) -> Results:
    """Apply a batch that failed as a whole, split until the culprit is alone. Later parts see what earlier did."""
    middle = len(items) // 2
    results: Results = []
    for half in (items[:middle], items[middle:]):
        connection.execute("SAVEPOINT half")
        try:
            results += _apply(connection, replica_no, now_ns, half)
        except DATA_ERRORS as error:
            connection.execute("ROLLBACK TO half")
            alone = len(half) == 1
            results += [_poisoned(error)] if alone else _apply_halves(connection, replica_no, now_ns, half)
        connection.execute("RELEASE half")
    return results


def _poisoned(error: Exception) -> Poisoned:
    poisoned = Poisoned(f"{type(error).__name__}: {error}")
    poisoned.__cause__ = error
    return poisoned


def _apply(connection: sqlite3.Connection, replica_no: int, now_ns: int, items: Sequence[Item]) -> Results:
    decider = Decider(snapshot.take(connection, replica_no, items), replica_no, now_ns)
    outcomes = decider.decide(items)
    results = _complete(connection, outcomes)
    _write(connection, now_ns, decider.changes)
    return results


def _complete(connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> Results:
    """Fill in the runs that results tell as stored, before anything is written over them."""
    wanted = {outcome.run_no for outcome in outcomes if isinstance(outcome, NeedsStored)}
    stored = snapshot.read_stored(connection, wanted) if wanted else {}
    return [
        outcome.complete(*stored[outcome.run_no]) if isinstance(outcome, NeedsStored) else outcome
        for outcome in outcomes
    ]


def _write(connection: sqlite3.Connection, now_ns: int, changes: Changes) -> None:
    marked = [(row.no, *cancel_columns(row.cancel)) for row in changes.marked.values() if row.no not in changes.runs]
    lanes = [_lane_columns(lane) for lane in changes.lanes.values()]
    execute_rows(connection, "write_runs", [_columns(row) for row in changes.runs.values()])
    execute_rows(connection, "write_lanes", lanes)
    execute_rows(connection, "write_last_runs", [_ended(row) for row in changes.runs.values() if _has_ended(row)])
    execute_rows(connection, "write_log", changes.log)
    execute_rows(connection, "write_keys", changes.keys)
    execute_rows(connection, "write_messages", changes.messages)
    listing.write(connection, now_ns, changes.listed)
    steps.write(connection, list(changes.steps.items()))
    execute_rows(connection, "write_left_out", changes.left_out)
    listing.leave_out(connection, changes.left_out)
    execute_rows(connection, "mark_cancels", marked)
    _write_outbox(connection, now_ns, changes.outbox)
    for lane in changes.actions.values():
        write_actions(connection, lane)


def _write_outbox(connection: sqlite3.Connection, now_ns: int, changes: OutboxChanges) -> None:
    """New rows before noted ones, so that what is new and waits for one that is noted as done waits no longer."""
    execute_rows(connection, "add_deliveries", changes.started)
    execute_rows(connection, "add_deliveries", changes.ended)
    execute_rows(connection, "note_attempts", changes.noted)
    execute_rows(connection, "write_attempts", changes.attempts)
    execute_rows(connection, "forget_attempts", changes.forgotten)
    execute_rows(connection, "release_deliveries", changes.released)
    for (endpoint_no, url), reason in changes.disabled.items():
        endpoints.disable(connection, endpoint_no, url, reason, now_ns)


def _lane_columns(lane: LaneRow) -> tuple[object, ...]:
    return (
        lane.no,
        lane.last_seq,
        lane.head_seq,
        lane.open,
        lane.owner,
        lane.ready_at_ns,
        lane.paused_by,
        lane.held,
        lane.last_message_ns,
        lane.last_run_ns,
    )


def _columns(row: RunRow) -> tuple[object, ...]:
    run = row.run
    if run is None:
        raise AssertionError("a changed run has its new state")
    return (
        row.no,
        row.id,
        row.tenant,
        row.lane_no,
        row.seq,
        nanoseconds(run.create_time),
        run.status,
        run.stop_reason if run.HasField("stop_reason") else None,
        run.background if run.HasField("background") else None,
        run.last_sequence,
        *(cancel_columns(row.cancel) if row.cancel is not None else _NOT_CANCELLED),
        row.waits,
        row.start_before_ns,
        row.fingerprint,
        run.SerializeToString(),
    )


def _has_ended(row: RunRow) -> bool:
    return row.run is not None and row.run.status not in OPEN


def _ended(row: RunRow) -> tuple[object, ...]:
    """Of a run that has ended, what its agent's entry is to tell."""
    run = row.run
    if run is None:
        raise AssertionError("a changed run has its new state")
    last_run = functions.told_of(run.agent_id, run).SerializeToString()
    return row.lane_no, nanoseconds(run.complete_time), run.stop_reason, last_run
