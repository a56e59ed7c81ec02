"""Reads what a batch refers to, at its start."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import count

from sendoff import v1
from sendoff_server.store.batch.dispatch import pauses_of
from sendoff_server.store.batch.mentions import Mentions, of_items
from sendoff_server.store.batch.snapshot import (
    ActionsRow,
    DeliveryRow,
    EndpointRow,
    KnownKey,
    LaneRow,
    Snapshot,
    run_row,
)
from sendoff_server.store.items import Accept, Item
from sendoff_server.store.port import Fenced
from sendoff_server.store.sqlite.bodies import read_one
from sendoff_server.store.sqlite.queries import execute_rows, named


def take(connection: sqlite3.Connection, replica_no: int, items: Sequence[Item]) -> Snapshot:
    """Read what the items refer to. Raises Fenced."""
    mentions = of_items(items)
    snapshot = _taken(connection, replica_no, mentions, mentions.longest_queue)
    if mentions.cancels and (waiting := _marked_that_wait(connection, snapshot, mentions)):
        mentions.lanes.update(waiting)
        snapshot = _taken(connection, replica_no, mentions, max(mentions.longest_queue, 1))
    for lane_id in mentions.whole_queues:
        _read_whole_queue(connection, snapshot, lane_id)
    for lane_id in mentions.actions:
        _read_actions(connection, snapshot, lane_id)
    if mentions.deliveries:
        _read_deliveries(connection, replica_no, snapshot, mentions.deliveries)
    if snapshot.has_endpoints:
        _read_endpoints(connection, snapshot, items)
    if mentions.repeatable:
        snapshot.repeated = _repeated(connection, mentions.repeatable)
    return snapshot


def _taken(connection: sqlite3.Connection, replica_no: int, mentions: Mentions, longest_queue: int) -> Snapshot:
    wanted = (replica_no, encode_list(mentions.lanes), longest_queue, encode_list(mentions.runs))
    alive, last_run_no, lanes, runs, has_endpoints, has_pauses = connection.execute(
        named("snapshot"), wanted
    ).fetchone()
    if not alive:
        raise Fenced("this replica was declared dead")
    snapshot = Snapshot(
        count(last_run_no + 1), bool(has_endpoints), {}, {}, {}, _known_keys(connection, mentions.keys), {}
    )
    if has_pauses:
        snapshot.pauses = pauses_of(connection.execute(named("dispatch_pauses")).fetchall())
    for *columns, queue in json.loads(lanes):
        lane = LaneRow(*columns)
        if queue:
            lane.queue = [snapshot.known(run_row(lane.no, *row)) for row in queue]
        snapshot.lanes[lane.id] = lane
    for columns in json.loads(runs):
        snapshot.known(run_row(*columns))
    return snapshot


def _marked_that_wait(connection: sqlite3.Connection, snapshot: Snapshot, mentions: Mentions) -> list[str]:
    """Lanes of runs that are to be cancelled and may wait for answers, a time or the end of a pause; for that they need
    not."""
    marked = [snapshot.runs.get(run_id) for run_id in mentions.cancels]
    nos = [row.no for row in marked if row is not None and snapshot.may_wait(row)]
    return [lane_id for no in nos for (lane_id,) in connection.execute(named("lane_of_run"), (no,))]


def _read_whole_queue(connection: sqlite3.Connection, snapshot: Snapshot, lane_id: str) -> None:
    lane = snapshot.lanes.get(lane_id)
    if lane is not None and len(lane.queue) < lane.open:
        (rows,) = connection.execute(named("open_runs_of_lane"), (lane.no,)).fetchone()
        lane.queue = [snapshot.known(run_row(lane.no, *columns)) for columns in json.loads(rows)]


def _read_actions(connection: sqlite3.Connection, snapshot: Snapshot, lane_id: str) -> None:
    """If the lane has any."""
    lane = snapshot.lanes.get(lane_id)
    row = lane and connection.execute(named("actions_of_lane"), (lane.no,)).fetchone()
    if not lane or not row:
        return
    run, body, answered_by, continuations, settled, bodies = row
    opener = snapshot.known(run_row(lane.no, *json.loads(run)))
    opener.run = v1.Run.FromString(body)
    actions = [v1.PendingAction.FromString(bytes.fromhex(action)) for action in json.loads(bodies)]
    lane.actions = ActionsRow(opener, actions, answered_by, continuations, bool(settled))


def _read_deliveries(
    connection: sqlite3.Connection, replica_no: int, snapshot: Snapshot, delivery_ids: Sequence[str]
) -> None:
    rows = connection.execute(named("held_deliveries"), (replica_no, encode_list(delivery_ids))).fetchall()
    for delivery_id, no, attempts, kind, endpoint_no, lane_no, run, body in rows:
        shows = None
        if body is not None:
            shows = snapshot.known(run_row(lane_no, *json.loads(run)))
            shows.run = v1.Run.FromString(body)
        snapshot.deliveries[delivery_id] = DeliveryRow(no, attempts, kind, endpoint_no, shows)


def _read_endpoints(connection: sqlite3.Connection, snapshot: Snapshot, items: Sequence[Item]) -> None:
    """Of the tenants whose runs make progress."""
    tenants = snapshot.tenants_of_progress(items)
    if not tenants:
        return
    (rows,) = connection.execute(named("endpoints_to_tell"), (encode_list(tenants),)).fetchone()
    for tenant, no, endpoint_id, agent_id, events, disabled, url in json.loads(rows):
        row = EndpointRow(no, endpoint_id, agent_id, events, bool(disabled), url)
        snapshot.endpoints.setdefault(tenant, []).append(row)


def encode_list(values: Iterable[str | int]) -> str:
    """A list as `json_each` takes it. An id that cannot be written, with half a surrogate pair, is simply not found."""
    return json.dumps(list(values))


def read_stored(connection: sqlite3.Connection, run_nos: Iterable[int]) -> dict[int, tuple[v1.Run, bytes]]:
    """Runs and requests, as stored, by run number."""
    (rows,) = connection.execute(named("stored_runs"), (encode_list(run_nos),)).fetchone()
    stored = {}
    for no, run, request in json.loads(rows):
        body = bytes.fromhex(request) if request is not None else b"".join(read_one(connection, "log_entry", no << 20))
        stored[no] = v1.Run.FromString(bytes.fromhex(run)), body
    return stored


_NEWEST_OF_LANE = 1_000


def _repeated(connection: sqlite3.Connection, items: Sequence[Accept]) -> dict[tuple[str, str, bytes], KnownKey]:
    """For items whose callers say that they may have come before."""
    found: dict[tuple[str, str, bytes], KnownKey] = {}
    for item in items:
        wanted = (item.lane, item.tenant, item.fingerprint, item.repeats_since_ns, _NEWEST_OF_LANE)
        row = connection.execute(named("repeated_run"), wanted).fetchone()
        if row is not None:
            found[item.tenant, item.lane, item.fingerprint] = KnownKey(row[0], row[1], item.fingerprint)
    return found


def _known_keys(
    connection: sqlite3.Connection, wanted: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], KnownKey]:
    known: dict[tuple[str, str, str], KnownKey] = {}
    for (rows,) in execute_rows(connection, "known_keys", wanted):
        for tenant, value, scope, no, run_id, fingerprint in json.loads(str(rows)):
            known[tenant, value, scope] = KnownKey(no, run_id, bytes.fromhex(fingerprint))
    return known
