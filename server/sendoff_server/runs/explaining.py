"""ExplainRun: what keeps a run from starting or going on, as data; the sentences are made in `wait_facts.py`.

What is told follows from the run as GetRun tells it, so that the two never disagree: where the store's moment and the
run's are not the same, because the run is executed here and has just gone on, the run counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.lifecycle import is_terminal
from sendoff_server.runs.wait_facts import facts_of
from sendoff_server.runs.waiting import AT_CAP, show_wait
from sendoff_server.store.port import LEASE_S
from sendoff_server.store.questions import CapOf, Queued
from sendoff_server.store.standing import ReplicaSeen, SlotPlace, Standing


def explained(run: v1.Run, standing: Standing) -> v1.ExplainRunResponse:
    """What keeps the run, which is as GetRun tells it."""
    told = v1.ExplainRunResponse(run=run)
    head = _head(run, standing)
    if is_terminal(run):
        told.pending_actions.extend(run.pending_actions)
    else:
        _tell(told, head, standing)
    told.facts.extend(facts_of(told, head, standing.now_ns))
    return told


def _head(run: v1.Run, standing: Standing) -> v1.Run:
    """The first run of its conversation, with what it waits for."""
    if not standing.in_front or run.status != v1.RUN_STATUS_CREATED:
        return run
    head = v1.Run()
    head.CopyFrom(standing.in_front[0])
    if head.status == v1.RUN_STATUS_CREATED and standing.head is not None:
        show_wait(head, standing.head, standing.now_ns)
    return head


def _tell(told: v1.ExplainRunResponse, head: v1.Run, standing: Standing) -> None:
    """Of a run that has not ended."""
    told.pending_actions.extend(standing.awaited)
    if told.run.status == v1.RUN_STATUS_CREATED and standing.start_before_ns is not None:
        told.latest_start_time.CopyFrom(timestamp(standing.start_before_ns))
    if standing.place is not None:
        told.slot_queue.CopyFrom(_slot_queue(head, standing.place, standing))
    if standing.holder is not None:
        told.lease.CopyFrom(_lease(head, standing.holder))
    if standing.head is not None:
        _tell_what_bars(told, head, standing.head)
    told.blocking_run_ids.extend(_blocking(told.run, head, standing))


def _tell_what_bars(told: v1.ExplainRunResponse, head: v1.Run, queued: Queued) -> None:
    """A pause or a cap, if nothing else comes first."""
    if head.wait.reason == "DISPATCH_PAUSED" and queued.pause is not None:
        told.pause.CopyFrom(queued.pause)
    is_kept = head.wait.reason in AT_CAP.values() or head.status == v1.RUN_STATUS_RUNNING
    if is_kept and (at_cap := queued.at_cap) is not None:
        agent_id = head.agent_id if at_cap.of is CapOf.AGENT else None
        told.cap.CopyFrom(v1.RunCap(agent_id=agent_id, most=at_cap.most, running=at_cap.running))


def _blocking(run: v1.Run, head: v1.Run, standing: Standing) -> Sequence[str]:
    """Runs whose end, or whose actions, it waits for."""
    if head.id != run.id:
        return [each.id for each in standing.in_front]
    if run.wait.HasField("blocking_run_id"):
        return [run.wait.blocking_run_id]
    return standing.at_work


def _slot_queue(head: v1.Run, place: SlotPlace, standing: Standing) -> v1.SlotQueue:
    return v1.SlotQueue(
        fairness_key=head.fairness_key if head.HasField("fairness_key") else None,
        priority=standing.priority,
        ready_time=timestamp(place.ready_ns),
        ahead=place.ahead,
        keys=place.shares,
        slots=slots_of(standing.replicas),
        slots_used=leases_of(standing.replicas),
    )


def _lease(head: v1.Run, holder: ReplicaSeen) -> v1.Lease:
    expire_ns = holder.beat_ns + int(LEASE_S * SECOND_NS)
    return v1.Lease(
        replica_id=holder.id,
        run_id=head.id,
        beat_time=timestamp(holder.beat_ns),
        expire_time=timestamp(expire_ns),
    )


def slots_of(replicas: Sequence[ReplicaSeen]) -> int:
    """Of all of them that told."""
    return sum(each.slots or 0 for each in replicas)


def leases_of(replicas: Sequence[ReplicaSeen]) -> int:
    return sum(each.leases for each in replicas)
