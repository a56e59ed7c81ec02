"""What a batch refers to, read at its start and then changed in memory, item by item, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server.store.batch.dispatch import NO_PAUSES, Pauses
from sendoff_server.store.items import Cancel, Item, Progress


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
    start_ns: int | None
    """It is not started before."""
    priority: int
    share: int
    cancel: Cancel | None
    run: v1.Run | None = None
    """As this batch leaves it. None: as stored."""
    request: bytes | None = None
    """Set for runs of this batch."""
    fingerprint: bytes = b""
    """Set for runs of this batch."""
    start_before_ns: int | None = None
    """Set for runs of this batch."""

    @property
    def is_new(self) -> bool:
        """Accepted by this batch."""
        return self.request is not None

    @property
    def is_idle(self) -> bool:
        """Not begun, and not to be cancelled either."""
        return self.cancel is None and self.status == v1.RUN_STATUS_CREATED


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
    priority: int
    share: int
    """Both are those of its head."""
    scheduled: bool
    """Nobody may take its lease before `ready_at_ns`, because its head may not start."""
    barred: int
    """A Bar: it was seen that nobody may take its lease for now."""
    agent_no: int
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
        """Whether its head is executed, now or as soon as there is a slot. If not, it waits for answers or for its
        time."""
        head = self.head
        return (
            head is not None and not self.scheduled and not (self.paused_by is not None and head.waits and head.is_idle)
        )

    def is_paused(self, pauses: Pauses) -> bool:
        """Whether a pause keeps its head from being begun."""
        head = self.head
        return head is not None and head.is_idle and pauses.hold(self.tenant, self.agent_no, head.share)

    def is_early(self, now_ns: int) -> bool:
        """Whether its head may not start yet. It need not wait to be cancelled."""
        head = self.head
        return head is not None and head.start_ns is not None and head.start_ns > now_ns and head.is_idle


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
    run_nos: Iterator[int]
    """Numbers that no run has, for new ones."""
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
    pauses: Pauses = NO_PAUSES

    def add(self, row: RunRow) -> None:
        self.runs[row.id] = row
        self.runs_by_no[row.no] = row

    def may_wait(self, row: RunRow) -> bool:
        """Whether a run may wait for what it need not wait for once it is to be cancelled."""
        return row.waits or row.start_ns is not None or bool(self.pauses.scopes)

    def lane_of(self, row: RunRow) -> LaneRow:
        """The lane of a run of a lane that is here."""
        return next(lane for lane in self.lanes.values() if lane.no == row.lane_no)

    def tenants_of_progress(self, items: Sequence[Item]) -> set[str]:
        """Whose endpoints may be told something."""
        lanes = [self.lanes.get(item.lane) for item in items if isinstance(item, Progress)]
        return {lane.tenant for lane in lanes if lane is not None}

    def known(self, row: RunRow) -> RunRow:
        """The row of that run that is here already, or this one, which is from now on."""
        if row.no not in self.runs_by_no:
            self.add(row)
        return self.runs_by_no[row.no]


def run_row(
    lane_no: int,
    no: int,
    run_id: str,
    tenant: str,
    seq: int,
    status: int,
    last_sequence: int,
    waits: bool | int,
    start_ns: int | None,
    priority: int,
    share: int,
    reason: str | None,
    kind: int,
) -> RunRow:
    """A run as its columns have it."""
    cancel = read_cancel(reason, kind) if reason is not None else None
    return RunRow(
        no, run_id, tenant, lane_no, seq, status, last_sequence, bool(waits), start_ns, priority, share, cancel
    )


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
