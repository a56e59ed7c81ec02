"""Reads what a batch refers to, at its start, and keeps it as it is until the commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sendoff import v1
from sendoff_server.store.batch.mentions import Mentions, of_items
from sendoff_server.store.batch.snapshot import (
    ActionsRow,
    DeliveryRow,
    EndpointRow,
    KnownKey,
    LaneRow,
    RunRow,
    Snapshot,
    run_row,
)
from sendoff_server.store.items import Accept, Item
from sendoff_server.store.port import Fenced
from sendoff_server.store.postgres.connection import Connection, sought
from sendoff_server.store.postgres.pauses import KnownPauses
from sendoff_server.store.postgres.queries import columns_of, named
from sendoff_server.store.postgres.run_numbers import RunNumbers

Columns = Sequence[Sequence[object]]

_NO_KEYS: Columns = ((), (), ())
_WHOLE_QUEUE = 1 << 31
_NEWEST_OF_LANE = 1_000
_REASON = -2
"""Which of the columns of a run is the reason of its cancel."""


async def take(
    connection: Connection, replica_no: int, run_nos: RunNumbers, known: KnownPauses, items: Sequence[Item]
) -> tuple[Snapshot, int]:
    """Lock the lanes that items speak of and read what they refer to; and the time in ns. Inside a transaction.

    What is read after the locks were granted is as the last holder left it. Raises Fenced."""
    mentions = of_items(items)
    wanted = _wanted_keys(mentions)
    locked = await _locked(connection, replica_no, mentions, wanted)
    await run_nos.provide(connection, sum(isinstance(item, Accept) for item in items))
    keys = await _known_keys(connection, wanted) if locked.knows_keys else {}
    snapshot = Snapshot(run_nos, locked.has_endpoints, {lane.id: lane for lane in locked.lanes}, {}, {}, keys, {})
    snapshot.pauses = await known.at(connection, locked.pauses)
    await _read_runs(connection, snapshot, mentions)
    if mentions.actions:
        await _read_actions(connection, snapshot, mentions.actions)
    if mentions.deliveries:
        await _read_deliveries(connection, replica_no, snapshot, mentions.deliveries)
    if locked.has_endpoints:
        await _read_endpoints(connection, snapshot, items)
    for item in mentions.repeatable:
        await _read_repeated(connection, snapshot, item)
    return snapshot, locked.now_ns


async def lock(connection: Connection, replica_no: int, items: Sequence[Item]) -> None:
    """Only lock the lanes that items speak of, as `take` does. Raises Fenced."""
    await _locked(connection, replica_no, of_items(items), _NO_KEYS)


@dataclass(frozen=True, slots=True)
class Locked:
    """What a batch begins with."""

    lanes: Sequence[LaneRow]
    now_ns: int
    has_endpoints: bool
    """Whether anybody has one."""
    knows_keys: bool
    """Whether one of the keys was known before the locks were granted."""
    pauses: int
    """The number of what there is of pauses."""


async def _locked(connection: Connection, replica_no: int, mentions: Mentions, keys: Columns) -> Locked:
    wanted = (_sought(mentions.lanes), _sought(mentions.runs), _sought(mentions.deliveries))
    rows = await connection.fetch(named("begin_batch"), replica_no, *wanted, *keys)
    if not rows:
        raise Fenced("this replica was declared dead")
    now_ns, has_endpoints, knows_keys, pauses, *_ = rows[0]
    lanes = [LaneRow(*columns) for _, _, _, _, *columns in rows if columns[0] is not None]
    return Locked(lanes, now_ns, has_endpoints, knows_keys, pauses)


async def _read_runs(connection: Connection, snapshot: Snapshot, mentions: Mentions) -> None:
    """Those that items name, and the beginnings of queues. Whoever may be cancelled comes with the head of its lane,
    which need not wait for answers for that."""
    longest = max(mentions.longest_queue, bool(mentions.cancels))
    if not (longest or mentions.runs or mentions.whole_queues):
        return
    lanes = {lane.no: lane for lane in snapshot.lanes.values()}
    queues = [
        (lane.no, lane.head_seq, _WHOLE_QUEUE if lane.id in mentions.whole_queues else longest)
        for lane in lanes.values()
        if lane.open
    ]
    columns = columns_of(queues) if queues else [[], [], []]
    rows = await connection.fetch(named("runs_of_batch"), *columns, _sought(mentions.runs))
    for is_queued, *run in rows:
        row = snapshot.known(_run_row(*run))
        if is_queued:
            lanes[row.lane_no].queue.append(row)


async def _read_actions(connection: Connection, snapshot: Snapshot, lane_ids: Iterable[str]) -> None:
    lanes = {lane.no: lane for lane in map(snapshot.lanes.get, lane_ids) if lane is not None}
    for row in await connection.fetch(named("actions_of_lanes"), list(lanes)):
        *run, body, answered_by, continuations, settled, bodies = row
        opener = snapshot.known(_run_row(*run))
        opener.run = v1.Run.FromString(body)
        actions = [v1.PendingAction.FromString(action) for action in bodies]
        lanes[opener.lane_no].actions = ActionsRow(opener, actions, answered_by, continuations, settled)


async def _read_deliveries(
    connection: Connection, replica_no: int, snapshot: Snapshot, delivery_ids: Sequence[str]
) -> None:
    rows = await connection.fetch(named("held_deliveries"), replica_no, _sought(delivery_ids))
    for delivery_id, no, attempts, kind, endpoint_no, body, *run in rows:
        shows = None
        if body is not None:
            shows = snapshot.known(_run_row(*run))
            shows.run = v1.Run.FromString(body)
        snapshot.deliveries[delivery_id] = DeliveryRow(no, attempts, kind, endpoint_no, shows)


async def _read_endpoints(connection: Connection, snapshot: Snapshot, items: Sequence[Item]) -> None:
    """Of the tenants whose runs make progress."""
    tenants = snapshot.tenants_of_progress(items)
    rows = await connection.fetch(named("endpoints_to_tell"), list(tenants)) if tenants else []
    for tenant, no, endpoint_id, agent_id, events, disabled, url in rows:
        told_at = url.decode() if url is not None else None
        row = EndpointRow(no, endpoint_id, agent_id, events, disabled, told_at)
        snapshot.endpoints.setdefault(tenant, []).append(row)


async def _read_repeated(connection: Connection, snapshot: Snapshot, item: Accept) -> None:
    """For an item whose caller says that it may have come before."""
    wanted = (sought(item.lane), item.tenant, item.fingerprint, item.repeats_since_ns, _NEWEST_OF_LANE)
    row = await connection.fetchrow(named("repeated_run"), *wanted)
    if row is not None:
        snapshot.repeated[item.tenant, item.lane, item.fingerprint] = KnownKey(row[0], row[1], item.fingerprint)


def _wanted_keys(mentions: Mentions) -> Columns:
    rows = [(tenant, value.encode(), sought(scope)) for tenant, value, scope in mentions.keys]
    return columns_of(rows) if rows else _NO_KEYS


async def _known_keys(connection: Connection, wanted: Columns) -> dict[tuple[str, str, str], KnownKey]:
    found = await connection.fetch(named("known_keys"), *wanted)
    return {
        (tenant, value.decode(), scope): KnownKey(no, run_id, fingerprint)
        for tenant, value, scope, no, run_id, fingerprint in found
    }


async def read_stored(connection: Connection, run_nos: Iterable[int]) -> Mapping[int, tuple[v1.Run, bytes]]:
    """Runs and requests, as stored, by run number."""
    rows = await connection.fetch(named("stored_runs"), list(run_nos))
    return {no: (v1.Run.FromString(run), request) for no, run, request in rows}


def _run_row(lane_no: int, *columns: Any) -> RunRow:
    values = list(columns)
    reason = values[_REASON]
    values[_REASON] = reason.decode() if reason is not None else None
    return run_row(lane_no, *values)


def _sought(ids: Iterable[str]) -> list[object]:
    return [sought(each) for each in ids]
