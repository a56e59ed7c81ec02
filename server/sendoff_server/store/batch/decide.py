"""What becomes of each item of a batch: walks them in order over the snapshot and notes what is to be written.

No database here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds
from sendoff_server.store.batch import listed, outbox
from sendoff_server.store.batch.changes import PLACE_BITS, PLACES, Changes, NeedsStored, Outcome
from sendoff_server.store.batch.checks import actions_of, answered, fault_of, next_seq, refused
from sendoff_server.store.batch.dispatch import Bar, Caps
from sendoff_server.store.batch.mentions import OPEN
from sendoff_server.store.batch.snapshot import ActionsRow, EndpointRow, KnownKey, LaneRow, RunRow, Snapshot
from sendoff_server.store.items import (
    Accept,
    ActNoted,
    AttemptNoted,
    Cancel,
    Claim,
    Deleted,
    Item,
    LaneMissing,
    MarkCancel,
    Marked,
    Mismatched,
    NoteAct,
    NoteAnswers,
    NoteAttempt,
    Noted,
    NothingPending,
    Outdated,
    Placed,
    Progress,
    Recorded,
    Release,
    Released,
    Repeated,
    Result,
    WhenPending,
)
from sendoff_server.store.port import Poisoned


class Decider:
    """Decides one batch for one replica."""

    def __init__(self, snapshot: Snapshot, replica_no: int, now_ns: int, caps: Caps) -> None:
        self._snapshot = snapshot
        self._caps = caps
        self._replica_no = replica_no
        self._begun_ns = self._now_ns = now_ns
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
            case NoteAnswers():
                return self._note_answers(item)
            case NoteAttempt():
                return self._note_attempt(item)
            case NoteAct():
                self._note_act(item)
                return ActNoted()

    def _note_act(self, act: NoteAct | None) -> None:
        if act is not None:
            self.changes.acts[act.tenant, act.entry.id] = act.entry.SerializeToString()

    # -- accept --

    def _accept(self, item: Accept) -> Outcome:
        repeated = self._known(item)
        if repeated is not None:
            return repeated
        lane = self._snapshot.lanes.get(item.lane)
        if lane is None or lane.tenant != item.tenant:
            return LaneMissing()
        return refused(item, lane) or self._place(item, lane)

    def _known(self, item: Accept) -> Outcome | None:
        found = [(key, self._snapshot.keys.get((item.tenant, key.value, key.scope))) for key in item.keys]
        known = [(key, of) for key, of in found if of is not None]
        if not known:
            return self._repeated(item) if item.repeats_since_ns is not None and not item.keys else None
        key, first = known[0]
        same = len(known) == len(found) and all(of.run_no == first.run_no for _, of in known)
        if not same or first.fingerprint != item.fingerprint:
            return Mismatched(key, first.deleted_run_id or first.run_id)
        return self._repeat_of(first)

    def _repeated(self, item: Accept) -> Outcome | None:
        """The same request, which has no key, a moment ago."""
        of = self._snapshot.repeated.get((item.tenant, item.lane, item.fingerprint))
        return self._repeat_of(of) if of is not None else None

    def _repeat_of(self, known: KnownKey) -> Outcome:
        if known.deleted_run_id is not None:
            return Deleted(known.deleted_run_id)
        row = self._snapshot.runs_by_no.get(known.run_no)
        if row is not None and row.run is not None:
            return Repeated(row.run)
        return NeedsStored(known.run_no, lambda run, _: Repeated(run))

    def _place(self, item: Accept, lane: LaneRow) -> Outcome:
        superseded = self._supersede(item.supersedes, lane) if item.supersedes is not None else ()
        row = self._add_run(item, lane)
        continued = self._continue(item, lane) if item.continues else None
        claim = self._begin(item, lane, row) if row is lane.head else None
        self._note_act(item.act)
        return Placed(item.run, claim, continued, superseded)

    def _begin(self, item: Accept, lane: LaneRow, row: RunRow) -> Claim | None:
        """The lease of a lane whose head is new, if it is wanted and can be had."""
        lane.head_seq = row.seq
        if not self._is_free(lane):
            if lane.barred and not lane.scheduled:
                lane.ready_at_ns = self._tick()
            return None
        if not item.lease or self._caps.any:
            lane.ready_at_ns = self._tick()
            return None
        lane.owner = self._replica_no
        return _claim(lane, row)(run=item.run, request=item.request)

    def _supersede(self, cancel: Cancel, lane: LaneRow) -> list[str]:
        marked = [row.id for row in lane.queue if self._mark(row, cancel)]
        self._look_again(lane)
        return marked

    def _continue(self, item: Accept, lane: LaneRow) -> v1.Run:
        """The run that it continues, told so."""
        actions = actions_of(lane)
        actions.answered_by = item.run.id
        actions.continuations += 1
        self.changes.actions[lane.no] = lane
        return self._rewrite(actions.run, partial(_show_pending, continued_by=item.run.id))

    def _look_again(self, lane: LaneRow) -> None:
        """Its head is another one, or another thing is to be done with it: whether it waits may have changed."""
        had_to_wait = lane.held or lane.scheduled or lane.barred
        if self._is_free(lane) and had_to_wait:
            lane.ready_at_ns = self._tick()
        self.changes.lanes[lane.no] = lane

    def _is_free(self, lane: LaneRow) -> bool:
        """Whether its lease can be had. What keeps it from those who look for one is noted in the lane."""
        self._note_head(lane)
        lane.held = lane.paused_by is not None and lane.owner is None and lane.head is not None and not lane.is_at_work
        lane.barred = self._bar_of(lane)
        return lane.owner is None and not lane.held and not lane.scheduled and not lane.barred

    def _bar_of(self, lane: LaneRow) -> Bar:
        if lane.owner is not None or lane.head is None:
            return Bar.NONE
        if lane.is_paused(self._snapshot.pauses):
            return Bar.PAUSED
        return Bar.AGENT_AT_CAP if lane.barred == Bar.AGENT_AT_CAP and self._caps.per_agent else Bar.NONE

    def _note_head(self, lane: LaneRow) -> None:
        """What the lane has of its head, which may be another one."""
        if lane.head is not None:
            lane.priority, lane.share = lane.head.priority, lane.head.share
        lane.scheduled = lane.owner is None and lane.is_early(self._begun_ns)
        if lane.scheduled and lane.head is not None and lane.head.start_ns is not None:
            lane.ready_at_ns = lane.head.start_ns

    def _add_run(self, item: Accept, lane: LaneRow) -> RunRow:
        run, no = item.run, next(self._snapshot.run_nos)
        row = RunRow(
            no=no,
            id=run.id,
            tenant=item.tenant,
            lane_no=lane.no,
            seq=next_seq(item, lane),
            status=run.status,
            last_sequence=run.last_sequence,
            waits=item.when_pending is WhenPending.WAIT and not item.continues,
            start_ns=item.start_ns,
            priority=item.priority,
            share=item.share,
            cancel=item.cancel,
            run=run,
            request=item.request,
            fingerprint=item.fingerprint,
            start_before_ns=item.start_before_ns,
        )
        event = item.event.SerializeToString()
        if row.seq > lane.last_seq:
            lane.last_seq = row.seq
        if item.continues:
            lane.queue.insert(0, row)
        elif len(lane.queue) == lane.open:
            lane.queue.append(row)
        lane.open += 1
        self._snapshot.add(row)
        self.changes.lanes[lane.no] = lane
        self.changes.runs[no] = row
        self.changes.log += ((no << PLACE_BITS, item.request), (no << PLACE_BITS | 1, event))
        for name in {(item.tenant, key.value, key.scope) for key in item.keys}:
            self._snapshot.keys[name] = KnownKey(no, run.id, item.fingerprint)
            self.changes.keys.append((*name, no))
        self._snapshot.repeated[item.tenant, item.lane, item.fingerprint] = KnownKey(no, run.id, item.fingerprint)
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
        fault = fault_of(item, row, lane)
        if fault:
            return Poisoned(f"run {row.id}: {fault}")
        if row.status == v1.RUN_STATUS_CREATED:
            outbox.tell_start(self.changes.outbox, item, row, self._endpoints(row), self._begun_ns)
        self._write(item, row)
        self._note_act(item.act)
        if item.messages:
            lane.last_message_ns = nanoseconds(item.messages[-1].create_time)
            self.changes.lanes[lane.no] = lane
        continued = self._settle(lane, row) if item.settles and lane.paused_by is not None else None
        if row.status in OPEN:
            return Recorded(None, continued)
        return self._end(item, row, lane, Recorded if continued is None else partial(Recorded, continued=continued))

    def _may_write(self, item: Progress, row: RunRow, lane: LaneRow) -> bool:
        """Who says that it holds the lease must hold it, and with it executes the head and nothing else."""
        return not item.holds_lease or (lane.owner == self._replica_no and row.seq == lane.head_seq)

    def _write(self, item: Progress, row: RunRow) -> None:
        base = row.no << PLACE_BITS
        log = [(base | event.sequence, event.SerializeToString()) for event in item.events]
        keys = [base | message.position & PLACES - 1 for message in item.messages]
        bodies = [message.SerializeToString() for message in item.messages]
        entries = zip(keys, item.messages, map(len, bodies), strict=True)
        if item.step is not None:
            self.changes.steps[base | item.step.index] = item.step
        self.changes.log += log
        self.changes.messages += zip(keys, bodies, strict=True)
        self.changes.listed += [(row.tenant, each) for each in listed.rows_of(entries)]
        self.changes.runs[row.no] = row
        row.run, row.status, row.last_sequence = item.run, item.run.status, item.run.last_sequence

    def _end(self, item: Progress, row: RunRow, lane: LaneRow, result: Callable[[Claim | None], Result]) -> Outcome:
        lane.open -= 1
        if row in lane.queue:
            lane.queue.remove(row)
        lane.head_seq = lane.head.seq if lane.head else lane.last_seq + 1
        lane.last_run_ns = nanoseconds(item.run.complete_time)
        self.changes.lanes[lane.no] = lane
        if item.left_out:
            self.changes.left_out.append((row.no, item.left_out))
        if item.run.HasField("expire_time"):
            self.changes.purges.append((row.no, nanoseconds(item.run.expire_time)))
        if item.opens:
            self._open(item, row, lane)
        self._free_place(lane)
        outbox.tell_end(self.changes.outbox, item, row, self._endpoints(row), self._begun_ns)
        if item.holds_lease:
            return self._go_on(lane, item.keep_lease, result)
        self._look_again(lane)
        return result(None)

    # -- actions --

    def _open(self, item: Progress, row: RunRow, lane: LaneRow) -> None:
        lane.paused_by = row.id
        lane.actions = ActionsRow(row, item.opens)
        self.changes.actions[lane.no] = lane

    def _settle(self, lane: LaneRow, by: RunRow) -> v1.Run:
        """Nothing is pending any more; the run that had stopped, told so."""
        actions = actions_of(lane)
        actions.settled, actions.answered_by = True, by.id
        lane.paused_by = None
        self.changes.lanes[lane.no] = self.changes.actions[lane.no] = lane
        return self._rewrite(actions.run, partial(_show_pending, continued_by=by.id, actions=()))

    def _note_answers(self, item: NoteAnswers) -> Outcome:
        lane = self._snapshot.lanes.get(item.lane)
        if lane is None or lane.paused_by != item.run_id or lane.is_at_work:
            return NothingPending()
        actions = actions_of(lane)
        if answered(lane) != item.answered_before:
            return NothingPending()
        if [action.tool_call_id for action in actions.actions] != [action.tool_call_id for action in item.actions]:
            return Poisoned(f"run {item.run_id} waits for other actions")
        actions.actions = item.actions
        self.changes.actions[lane.no] = lane
        self._note_act(item.act)
        return Noted(self._rewrite(actions.run, partial(_show_pending, actions=item.actions)))

    def _rewrite(self, row: RunRow, change: Callable[[v1.Run], None]) -> v1.Run:
        """Change what may still change of a run that has ended."""
        if row.run is None:
            raise AssertionError("whoever stopped for actions, or is called back, comes with its body")
        run = v1.Run()
        run.CopyFrom(row.run)
        run.etag = ids.etag()
        change(run)
        row.run = run
        self.changes.runs[row.no] = row
        return run

    # -- the outbox --

    def _note_attempt(self, item: NoteAttempt) -> Outcome:
        row = self._snapshot.deliveries.pop(item.delivery_id, None)
        if row is None:
            return AttemptNoted(held=False)
        outbox.note(self.changes.outbox, item, row, self._begun_ns)
        if item.disables:
            self._note_disabled()
        if row.run is None:
            return AttemptNoted(held=True)
        shown = self._rewrite(row.run, lambda run: outbox.show_attempt(item, run.callback))
        return AttemptNoted(held=True, run=shown)

    def _endpoints(self, row: RunRow) -> Sequence[EndpointRow]:
        return self._snapshot.endpoints.get(row.tenant, ())

    def _note_disabled(self) -> None:
        """What comes later in the batch finds the endpoints as they are from now on."""
        for endpoints in self._snapshot.endpoints.values():
            for endpoint in endpoints:
                endpoint.disabled |= (endpoint.no, endpoint.url) in self.changes.outbox.disabled

    # -- cancel, release --

    def _mark_cancel(self, item: MarkCancel) -> Outcome:
        row = self._snapshot.runs.get(item.run_id)
        if row is None or row.tenant != item.tenant:
            return Marked(None)
        if self._mark(row, item.cancel):
            self._note_act(item.act)
            if self._snapshot.may_wait(row):
                self._look_again(self._snapshot.lane_of(row))
        return _told(row, Marked)

    def _mark(self, row: RunRow, cancel: Cancel) -> bool:
        if row.status not in OPEN or row.cancel is not None:
            return False
        row.cancel = cancel
        self.changes.marked[row.no] = row
        return True

    def _release(self, item: Release) -> Outcome:
        lane = self._snapshot.lanes.get(item.lane)
        if lane is None or lane.owner != self._replica_no:
            return Released(None)
        self.changes.lanes[lane.no] = lane
        self._free_place(lane)
        return self._go_on(lane, item.keep_lease, Released)

    def _go_on(self, lane: LaneRow, keep_lease: bool, result: Callable[[Claim | None], Result]) -> Outcome:
        """What becomes of a lease that we hold: on with the head, or given back behind those that wait."""
        head = lane.head
        self._note_head(lane)
        if head is None or not keep_lease or not lane.is_at_work or self._has_to_wait(lane):
            lane.owner, lane.ready_at_ns = None, self._tick()
            self._is_free(lane)
            return result(None)
        claim = _claim(lane, head)
        if head.run is not None and head.request is not None:
            return result(claim(run=head.run, request=head.request))
        written = head.run  # by this batch so far; only the request is missing
        return NeedsStored(head.no, lambda run, request: result(claim(run=written or run, request=request)))

    def _has_to_wait(self, lane: LaneRow) -> bool:
        """Whether the lease goes back though the head has work to do."""
        return self._caps.any or lane.is_early(self._begun_ns) or lane.is_paused(self._snapshot.pauses)

    def _free_place(self, lane: LaneRow) -> None:
        """Another lane of the agent may be taken instead."""
        if self._caps.per_agent:
            self.changes.freed[lane.agent_no] += 1

    def _tick(self) -> int:
        """Now, and a little later each time, so that lanes wait in the order of their items."""
        self._now_ns += 1
        return self._now_ns


def wanted(outcomes: Iterable[Outcome]) -> set[int]:
    """Numbers of the runs that `complete` asks for."""
    return {outcome.run_no for outcome in outcomes if isinstance(outcome, NeedsStored)}


def complete(outcomes: Iterable[Outcome], stored: Mapping[int, tuple[v1.Run, bytes]]) -> list[Result | Poisoned]:
    """Fill in the runs that results tell as stored: by number, each with its request."""
    return [
        outcome.complete(*stored[outcome.run_no]) if isinstance(outcome, NeedsStored) else outcome
        for outcome in outcomes
    ]


def _show_pending(
    run: v1.Run, continued_by: str | None = None, actions: Sequence[v1.PendingAction] | None = None
) -> None:
    """Have the run that stopped for actions show what became of them."""
    if continued_by is not None:
        run.continued_by_run_id = continued_by
    if actions is not None:
        run.ClearField("pending_actions")
        run.pending_actions.extend(actions)


def _claim(lane: LaneRow, row: RunRow) -> Callable[..., Claim]:
    """A claim as of now, but for `run` and `request`."""
    return partial(
        Claim,
        tenant=row.tenant,
        lane=lane.id,
        seq=row.seq,
        cancel_wanted=row.cancel,
        paused_by=lane.paused_by or "",
    )


def _told(row: RunRow, result: Callable[[v1.Run], Result]) -> Outcome:
    if row.run is not None:
        return result(row.run)
    return NeedsStored(row.no, lambda run, _: result(run))
