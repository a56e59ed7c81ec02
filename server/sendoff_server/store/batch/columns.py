"""Rows of a batch as columns, in the order in which every engine writes them."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.batch.mentions import OPEN
from sendoff_server.store.batch.snapshot import LaneRow, RunRow, cancel_columns

_NOT_CANCELLED = cancel_columns(None)


def lane_columns(lane: LaneRow) -> tuple[object, ...]:
    return (
        lane.no,
        lane.last_seq,
        lane.head_seq,
        lane.open,
        lane.owner,
        lane.ready_at_ns,
        lane.paused_by,
        lane.held,
        lane.priority,
        lane.share,
        lane.scheduled,
        lane.barred,
        lane.last_message_ns,
        lane.last_run_ns,
    )


def run_columns(row: RunRow) -> tuple[object, ...]:
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
        row.start_ns,
        row.priority,
        row.share,
        row.start_before_ns,
        row.fingerprint,
        run.SerializeToString(),
    )


def changed_columns(row: RunRow) -> tuple[object, ...]:
    """Of a run that was there before: what may change of it."""
    run = row.run
    if run is None:
        raise AssertionError("a changed run has its new state")
    return (
        row.no,
        run.status,
        run.stop_reason if run.HasField("stop_reason") else None,
        run.last_sequence,
        *(cancel_columns(row.cancel) if row.cancel is not None else _NOT_CANCELLED),
        run.SerializeToString(),
    )


def has_ended(row: RunRow) -> bool:
    return row.run is not None and row.run.status not in OPEN


def ended_columns(row: RunRow) -> tuple[object, ...]:
    """Of a run that has ended, what its agent's entry is to tell."""
    run = row.run
    if run is None:
        raise AssertionError("a changed run has its new state")
    last_run = last_run_of(run.agent_id, run).SerializeToString()
    return row.lane_no, nanoseconds(run.complete_time), run.stop_reason, last_run


def last_run_of(agent_id: str, run: v1.Run) -> v1.LastRun:
    """What an agent's entry tells of a run that has ended."""
    told = v1.LastRun(agent_id=agent_id, run_id=run.id, complete_time=run.complete_time, stop_reason=run.stop_reason)
    told.duration.FromNanoseconds(run.total_duration_ns)
    return told
