"""Writes one batch in the writer thread: snapshot, decisions, changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sendoff_server.store.batch.changes import Changes
from sendoff_server.store.batch.columns import ended_columns, has_ended, lane_columns, run_columns
from sendoff_server.store.batch.decide import Decider, complete, wanted
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.batch.outbox import OutboxChanges
from sendoff_server.store.batch.snapshot import cancel_columns
from sendoff_server.store.items import Item, Result
from sendoff_server.store.port import Poisoned
from sendoff_server.store.sqlite import claims, endpoints, listing, snapshot, steps
from sendoff_server.store.sqlite.actions import write_actions
from sendoff_server.store.sqlite.connection import DATA_ERRORS, transaction
from sendoff_server.store.sqlite.queries import execute_rows

Results = list[Result | Poisoned]


def flush(connection: sqlite3.Connection, replica_no: int, caps: Caps, now_ns: int, items: Sequence[Item]) -> Results:
    """Write the batch in one transaction. Raises Fenced and sqlite3.Error, both with nothing written."""
    try:
        with transaction(connection):
            return _apply(connection, replica_no, caps, now_ns, items)
    except DATA_ERRORS as error:
        if len(items) == 1:
            return [_poisoned(error)]
    with transaction(connection):
        return _apply_halves(connection, replica_no, caps, now_ns, items)


def _apply_halves(
    connection: sqlite3.Connection, replica_no: int, caps: Caps, now_ns: int, items: Sequence[Item]
) -> Results:
    """Apply a batch that failed as a whole, split until the culprit is alone. Later parts see what earlier did."""
    middle = len(items) // 2
    results: Results = []
    for half in (items[:middle], items[middle:]):
        connection.execute("SAVEPOINT half")
        try:
            results += _apply(connection, replica_no, caps, now_ns, half)
        except DATA_ERRORS as error:
            connection.execute("ROLLBACK TO half")
            alone = len(half) == 1
            results += [_poisoned(error)] if alone else _apply_halves(connection, replica_no, caps, now_ns, half)
        connection.execute("RELEASE half")
    return results


def _poisoned(error: Exception) -> Poisoned:
    poisoned = Poisoned(f"{type(error).__name__}: {error}")
    poisoned.__cause__ = error
    return poisoned


def _apply(connection: sqlite3.Connection, replica_no: int, caps: Caps, now_ns: int, items: Sequence[Item]) -> Results:
    decider = Decider(snapshot.take(connection, replica_no, items), replica_no, now_ns, caps)
    outcomes = decider.decide(items)
    # Before anything is written over them.
    run_nos = wanted(outcomes)
    results = complete(outcomes, snapshot.read_stored(connection, run_nos) if run_nos else {})
    _write(connection, now_ns, decider.changes)
    return results


def _write(connection: sqlite3.Connection, now_ns: int, changes: Changes) -> None:
    marked = [(row.no, *cancel_columns(row.cancel)) for row in changes.marked.values() if row.no not in changes.runs]
    lanes = [lane_columns(lane) for lane in changes.lanes.values()]
    execute_rows(connection, "write_runs", [run_columns(row) for row in changes.runs.values()])
    execute_rows(connection, "write_lanes", lanes)
    execute_rows(connection, "write_last_runs", [ended_columns(row) for row in changes.runs.values() if has_ended(row)])
    execute_rows(connection, "write_log", changes.log)
    execute_rows(connection, "write_keys", changes.keys)
    execute_rows(connection, "write_messages", changes.messages)
    listing.write(connection, now_ns, changes.listed)
    steps.write(connection, list(changes.steps.items()))
    execute_rows(connection, "write_left_out", changes.left_out)
    execute_rows(connection, "write_purges", changes.purges)
    listing.leave_out(connection, changes.left_out)
    execute_rows(connection, "mark_cancels", marked)
    execute_rows(connection, "write_acts", [(*key, now_ns, body) for key, body in changes.acts.items()])
    _write_outbox(connection, now_ns, changes.outbox)
    for lane in changes.actions.values():
        write_actions(connection, lane)
    claims.free_lanes(connection, list(changes.freed.items()))


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
