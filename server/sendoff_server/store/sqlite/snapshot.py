"""What a batch refers to, read at its start and then changed in memory, item by item, before anything is written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server.store.items import Accept, Cancel, Item, Progress
from sendoff_server.store.port import Fenced
from sendoff_server.store.sqlite.bodies import read_one
from sendoff_server.store.sqlite.mentions import Mentions, of_items
from sendoff_server.store.sqlite.queries import execute_rows, named


@dataclass(slots=True)
class RunRow:
    no: int
    id: str
    tenant: str
    lane_no: int
    seq: int
    status: int
    last_sequence: int
    waits: bool
    """It does not go on while the lane waits for answers."""
    cancel: Cancel | None
    run: v1.Run | None = None
    """As this batch leaves it. None: as stored."""
    request: bytes | None = None
    """Set for runs of this batch."""
    fingerprint: bytes = b""
    """Set for runs of this batch."""
    start_before_ns: int | None = None
    """Set for runs of this batch."""


@dataclass(slots=True)
class ActionsRow:
    """The newest actions of a lane."""

    run: RunRow
    """Who stopped for them, with its body."""
    actions: Sequence[v1.PendingAction]
    answered_by: str = ""
    continuations: int = 0
    settled: bool = False


@dataclass(slots=True)
class LaneRow:
    no: int
    id: str
    tenant: str
    last_seq: int
    head_seq: int
    open: int
    owner: int | None
    ready_at_ns: int
    paused_by: str | None
    """The run whose actions it waits for."""
    held: bool
    """Nobody may take its lease, because its head waits for these too."""
    queue: list[RunRow] = field(default_factory=list)
    """The first open runs, in order: all of them, or more than this batch can end."""
    actions: ActionsRow | None = None
    """For lanes of whose actions items speak."""
    last_message_ns: int | None = None
    """When a message was last written to it in this batch; None: not in this batch."""
    last_run_ns: int | None = None
    """When a run of it last ended in this batch; None: none has."""

    @property
    def head(self) -> RunRow | None:
        return self.queue[0] if self.queue else None

    @property
    def is_at_work(self) -> bool:
        """Whether its head is executed, now or as soon as there is a slot. If not, answers are what it waits for."""
        head = self.head
        return head is not None and not (
            self.paused_by is not None and head.waits and head.cancel is None and head.status == v1.RUN_STATUS_CREATED
        )


@dataclass(slots=True)
class KnownKey:
    run_no: int
    run_id: str
    fingerprint: bytes

    @property
    def deleted_run_id(self) -> str | None:
        """The id that the run had, if it was deleted."""
        return self.run_id.removeprefix("deleted:") if self.run_id.startswith("deleted:") else None


@dataclass(slots=True)
class EndpointRow:
    no: int
    id: str
    agent_id: str | None
    """It gets runs of this agent only; None: of all."""
    events: int
    disabled: bool
    url: str | None
    """None: what waits for it is pulled."""


@dataclass(slots=True)
class DeliveryRow:
    no: int
    attempts: int
    kind: int
    endpoint_no: int | None
    """None: it is the run's own callback."""
    run: RunRow | None
    """With its body, if it shows attempts."""


@dataclass(slots=True)
class Snapshot:
    last_run_no: int
    has_endpoints: bool
    lanes: dict[str, LaneRow]
    runs: dict[str, RunRow]
    """By id: those that items name, and the queues' beginnings."""
    runs_by_no: dict[int, RunRow]
    keys: dict[tuple[str, str, str], KnownKey]
    """By tenant, value and scope."""
    repeated: dict[tuple[str, str, bytes], KnownKey]
    """By tenant, lane and fingerprint: runs that items may repeat."""
    deliveries: dict[str, DeliveryRow] = field(default_factory=dict)
    """By id: those that items name and this replica holds."""
    endpoints: dict[str, list[EndpointRow]] = field(default_factory=dict)
    """By tenant, of runs that make progress."""

    def add(self, row: RunRow) -> None:
        self.runs[row.id] = row
        self.runs_by_no[row.no] = row

    def lane_of(self, row: RunRow) -> LaneRow:
        """The lane of a run of a lane that is here."""
        return next(lane for lane in self.lanes.values() if lane.no == row.lane_no)

    def known(self, row: RunRow) -> RunRow:
        """The row of that run that is here already, or this one, which is from now on."""
        if row.no not in self.runs_by_no:
            self.add(row)
        return self.runs_by_no[row.no]


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
    alive, last_run_no, lanes, runs, has_endpoints = connection.execute(named("snapshot"), wanted).fetchone()
    if not alive:
        raise Fenced("this replica was declared dead")
    snapshot = Snapshot(last_run_no, bool(has_endpoints), {}, {}, {}, _known_keys(connection, mentions.keys), {})
    for *columns, queue in json.loads(lanes):
        lane = LaneRow(*columns)
        if queue:
            lane.queue = [snapshot.known(_run_row(lane.no, *row)) for row in queue]
        snapshot.lanes[lane.id] = lane
    for columns in json.loads(runs):
        snapshot.known(_run_row(*columns))
    return snapshot


def _marked_that_wait(connection: sqlite3.Connection, snapshot: Snapshot, mentions: Mentions) -> list[str]:
    """Lanes of runs that are to be cancelled and may wait for answers, which they need not do for that."""
    marked = [snapshot.runs.get(run_id) for run_id in mentions.cancels]
    nos = [row.no for row in marked if row is not None and row.waits]
    return [lane_id for no in nos for (lane_id,) in connection.execute(named("lane_of_run"), (no,))]


def _read_whole_queue(connection: sqlite3.Connection, snapshot: Snapshot, lane_id: str) -> None:
    lane = snapshot.lanes.get(lane_id)
    if lane is not None and len(lane.queue) < lane.open:
        (rows,) = connection.execute(named("open_runs_of_lane"), (lane.no,)).fetchone()
        lane.queue = [snapshot.known(_run_row(lane.no, *columns)) for columns in json.loads(rows)]


def _read_actions(connection: sqlite3.Connection, snapshot: Snapshot, lane_id: str) -> None:
    """If the lane has any."""
    lane = snapshot.lanes.get(lane_id)
    row = lane and connection.execute(named("actions_of_lane"), (lane.no,)).fetchone()
    if not lane or not row:
        return
    run, body, answered_by, continuations, settled, bodies = row
    opener = snapshot.known(_run_row(lane.no, *json.loads(run)))
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
            shows = snapshot.known(_run_row(lane_no, *json.loads(run)))
            shows.run = v1.Run.FromString(body)
        snapshot.deliveries[delivery_id] = DeliveryRow(no, attempts, kind, endpoint_no, shows)


def _read_endpoints(connection: sqlite3.Connection, snapshot: Snapshot, items: Sequence[Item]) -> None:
    """Of the tenants whose runs make progress."""
    lanes = [snapshot.lanes.get(item.lane) for item in items if isinstance(item, Progress)]
    tenants = {lane.tenant for lane in lanes if lane is not None}
    if not tenants:
        return
    (rows,) = connection.execute(named("endpoints_to_tell"), (encode_list(tenants),)).fetchone()
    for tenant, no, endpoint_id, agent_id, events, disabled, url in json.loads(rows):
        row = EndpointRow(no, endpoint_id, agent_id, events, bool(disabled), url)
        snapshot.endpoints.setdefault(tenant, []).append(row)


def _run_row(
    lane_no: int,
    no: int,
    run_id: str,
    tenant: str,
    seq: int,
    status: int,
    last_sequence: int,
    waits: int,
    reason: str | None,
    kind: int,
) -> RunRow:
    cancel = read_cancel(reason, kind) if reason is not None else None
    return RunRow(no, run_id, tenant, lane_no, seq, status, last_sequence, bool(waits), cancel)


_SUPERSEDED, _ROLLBACK = 1, 2


def read_cancel(reason: str | None, kind: int) -> Cancel | None:
    """A cancel as its columns have it."""
    if reason is None:
        return None
    return Cancel(reason=reason, superseded=bool(kind & _SUPERSEDED), rollback=bool(kind & _ROLLBACK))


def cancel_columns(cancel: Cancel | None) -> tuple[str | None, int]:
    """The way back of `read_cancel`."""
    if cancel is None:
        return None, 0
    return cancel.reason, cancel.superseded * _SUPERSEDED + cancel.rollback * _ROLLBACK


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
