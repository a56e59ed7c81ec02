"""What becomes of each item of a batch: walks them in order over the snapshot and notes what is to be written.

No database here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sendoff import v1
from sendoff_server.store.port import (
    POSITION_SHIFT,
    Accept,
    Busy,
    Claim,
    Full,
    Item,
    LaneMissing,
    MarkCancel,
    Marked,
    Mismatched,
    Outdated,
    Placed,
    Poisoned,
    Progress,
    Recorded,
    Release,
    Released,
    Repeated,
    Result,
)
from sendoff_server.store.sqlite.snapshot import OPEN, KnownKey, LaneRow, RunRow, Snapshot

PLACE_BITS = POSITION_SHIFT
PLACES = 1 << PLACE_BITS
"""Events, messages and steps of one run are numbered below this."""


@dataclass(frozen=True, slots=True)
class NeedsStored:
    """A result that tells a run as stored before this batch: `complete(run, request)` makes it."""

    run_no: int
    complete: Callable[[v1.Run, bytes], Result]


Outcome = Result | Poisoned | NeedsStored


@dataclass(slots=True)
class Changes:
    """What a batch writes."""

    lanes: dict[int, LaneRow] = field(default_factory=dict)
    runs: dict[int, RunRow] = field(default_factory=dict)
    """New ones, and those with a new state."""
    marked: dict[int, RunRow] = field(default_factory=dict)
    keys: list[tuple[str, str, str, int]] = field(default_factory=list)
    log: list[tuple[int, bytes]] = field(default_factory=list)
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    steps: dict[int, bytes] = field(default_factory=dict)


class Decider:
    """Decides one batch for one replica."""

    def __init__(self, snapshot: Snapshot, replica_no: int, now_ns: int) -> None:
        self._snapshot = snapshot
        self._replica_no = replica_no
        self._now_ns = now_ns
        self._next_run_no = snapshot.last_run_no + 1
        self.changes = Changes()

    def decide(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Outcome:
        match item:
            case Accept():
                return self._accept(item)
            case Progress():
                return self._progress(item)
            case MarkCancel():
                return self._mark_cancel(item)
            case Release():
                return self._release(item)

    # -- accept --

    def _accept(self, item: Accept) -> Outcome:
        repeated = self._known(item)
        if repeated is not None:
            return repeated
        lane = self._snapshot.lanes.get(item.lane)
        if lane is None or lane.tenant != item.tenant:
            return LaneMissing()
        if item.reject_if_busy and lane.head is not None:
            return Busy(lane.head.id)
        if lane.open >= item.max_open:
            return Full()
        return self._place(item, lane)

    def _known(self, item: Accept) -> Outcome | None:
        found = [(key, self._snapshot.keys.get((item.tenant, key.value, key.scope))) for key in item.keys]
        known = [(key, of) for key, of in found if of is not None]
        if not known:
            return None
        key, first = known[0]
        same = len(known) == len(found) and all(of.run_no == first.run_no for _, of in known)
        if not same or first.fingerprint != item.fingerprint:
            return Mismatched(key, first.run_id)
        row = self._snapshot.runs_by_no.get(first.run_no)
        if row is not None and row.run is not None:
            return Repeated(row.run)
        return NeedsStored(first.run_no, lambda run, _: Repeated(run))

    def _place(self, item: Accept, lane: LaneRow) -> Outcome:
        row = self._add_run(item, lane)
        if lane.open == 1:
            lane.head_seq = row.seq
        if lane.open > 1 or lane.owner is not None:
            return Placed(item.run, None)
        if not item.lease:
            lane.ready_at_ns = self._tick()
            return Placed(item.run, None)
        lane.owner = self._replica_no
        return Placed(item.run, _claim(lane, row)(run=item.run, request=item.request))

    def _add_run(self, item: Accept, lane: LaneRow) -> RunRow:
        run, seq, no = item.run, lane.last_seq + 1, self._next_run_no
        row = RunRow(
            no,
            run.id,
            item.tenant,
            lane.no,
            seq,
            run.status,
            run.last_sequence,
            None,
            run,
            item.request,
            item.fingerprint,
        )
        event = item.event.SerializeToString()
        self._next_run_no += 1
        lane.last_seq = seq
        if len(lane.queue) == lane.open:
            lane.queue.append(row)
        lane.open += 1
        self._snapshot.add(row)
        self.changes.lanes[lane.no] = lane
        self.changes.runs[no] = row
        self.changes.log += ((no << PLACE_BITS, item.request), (no << PLACE_BITS | 1, event))
        for name in {(item.tenant, key.value, key.scope) for key in item.keys}:
            self._snapshot.keys[name] = KnownKey(no, run.id, item.fingerprint)
            self.changes.keys.append((*name, no))
        return row

    # -- progress --

    def _progress(self, item: Progress) -> Outcome:
        row = self._snapshot.runs.get(item.run.id)
        lane = self._snapshot.lanes.get(item.lane)
        if row is None or lane is None:
            return Outdated(None)
        if row.lane_no != lane.no:
            return Poisoned(f"run {row.id} is not in lane {lane.id}")
        if row.status not in OPEN or row.last_sequence != item.after_sequence or not self._may_write(item, row, lane):
            return _told(row, Outdated)
        fault = _fault(item, row)
        if fault:
            return Poisoned(f"run {row.id}: {fault}")
        self._write(item, row)
        return self._end(item, row, lane) if item.run.status not in OPEN else Recorded(None)

    def _may_write(self, item: Progress, row: RunRow, lane: LaneRow) -> bool:
        """Who says that it holds the lease must hold it, and with it executes the head and nothing else."""
        return not item.holds_lease or (lane.owner == self._replica_no and row.seq == lane.head_seq)

    def _write(self, item: Progress, row: RunRow) -> None:
        base = row.no << PLACE_BITS
        log = [(base | event.sequence, event.SerializeToString()) for event in item.events]
        messages = [(base | message.position & PLACES - 1, message.SerializeToString()) for message in item.messages]
        if item.step is not None:
            self.changes.steps[base | item.step.index] = item.step.SerializeToString()
        self.changes.log += log
        self.changes.messages += messages
        self.changes.runs[row.no] = row
        row.run, row.status, row.last_sequence = item.run, item.run.status, item.run.last_sequence

    def _end(self, item: Progress, row: RunRow, lane: LaneRow) -> Outcome:
        lane.open -= 1
        if row in lane.queue:
            lane.queue.remove(row)
        lane.head_seq = lane.head.seq if lane.head else lane.last_seq + 1
        self.changes.lanes[lane.no] = lane
        if not item.holds_lease:
            return Recorded(None)
        return self._go_on(lane, item.keep_lease, Recorded)

    # -- cancel, release --

    def _mark_cancel(self, item: MarkCancel) -> Outcome:
        row = self._snapshot.runs.get(item.run_id)
        if row is None or row.tenant != item.tenant:
            return Marked(None)
        if row.status in OPEN and row.cancel_wanted is None:
            row.cancel_wanted = item.reason
            self.changes.marked[row.no] = row
        return _told(row, Marked)

    def _release(self, item: Release) -> Outcome:
        lane = self._snapshot.lanes.get(item.lane)
        if lane is None or lane.owner != self._replica_no:
            return Released(None)
        self.changes.lanes[lane.no] = lane
        return self._go_on(lane, item.keep_lease, Released)

    def _go_on(self, lane: LaneRow, keep_lease: bool, result: Callable[[Claim | None], Result]) -> Outcome:
        """What becomes of a lease that we hold: on with the head, or given back behind those that wait."""
        head = lane.head
        if head is None or not keep_lease:
            lane.owner, lane.ready_at_ns = None, self._tick()
            return result(None)
        claim = _claim(lane, head)
        if head.run is not None and head.request is not None:
            return result(claim(run=head.run, request=head.request))
        written = head.run  # by this batch so far; only the request is missing
        return NeedsStored(head.no, lambda run, request: result(claim(run=written or run, request=request)))

    def _tick(self) -> int:
        """Now, and a little later each time, so that lanes wait in the order of their items."""
        self._now_ns += 1
        return self._now_ns


def _claim(lane: LaneRow, row: RunRow) -> Callable[..., Claim]:
    """A claim as of now, but for `run` and `request`."""
    return partial(Claim, tenant=row.tenant, lane=lane.id, seq=row.seq, cancel_wanted=row.cancel_wanted)


def _told(row: RunRow, result: Callable[[v1.Run], Result]) -> Outcome:
    if row.run is not None:
        return result(row.run)
    return NeedsStored(row.no, lambda run, _: result(run))


def _fault(item: Progress, row: RunRow) -> str | None:
    """What is wrong with a step forward by itself."""
    sequences = [event.sequence for event in item.events]
    first, last = item.after_sequence + 1, item.run.last_sequence
    if sequences != list(range(first, last + 1)):
        return f"events {sequences} instead of {first} to {last}"
    if last >= PLACES or (item.step is not None and not 0 <= item.step.index < PLACES):
        return f"more than {PLACES - 1} events or steps"
    if any(message.position >> POSITION_SHIFT != row.seq for message in item.messages):
        return f"a message has a position that is not in {row.seq} << {POSITION_SHIFT}"
    return None
