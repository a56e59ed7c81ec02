"""What keeps a run, in plain sentences: what it waits for, what the one in front waits for, who works, until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.lifecycle import is_terminal
from sendoff_server.store.standing import MOST_COUNTED


def facts_of(told: v1.ExplainRunResponse, head: v1.Run, now_ns: int) -> Iterator[str]:
    """At least one sentence. `head`: the first run of its conversation, with what it waits for; the run itself, or one
    in front of it."""
    run = told.run
    if is_terminal(run):
        yield from _ended(told)
    elif head.id == run.id:
        yield from _of_head(told, run, "It")
    else:
        yield _behind(run, head)
        yield from _of_head(told, head, head.id)
    if told.HasField("lease"):
        yield _holder(told.lease, "it" if head.id == run.id else head.id, now_ns)
    if told.HasField("latest_start_time"):
        yield f"If it has not started by {_at(told.latest_start_time)}, it fails with EXPIRED_IN_QUEUE."


def _ended(told: v1.ExplainRunResponse) -> Iterator[str]:
    status = v1.RunStatus.Name(told.run.status).removeprefix("RUN_STATUS_")
    reason = v1.StopReason.Name(told.run.stop_reason).removeprefix("STOP_REASON_")
    yield f"It has ended: {status}, {reason}."
    if told.pending_actions:
        yield _awaited(told, told.run.id)


def _behind(run: v1.Run, head: v1.Run) -> str:
    if run.wait.position > 1:
        return f"{run.wait.position} runs of its conversation are in front of it; the first of them is {head.id}."
    return f"{head.id} of its conversation is in front of it."


def _of_head(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    if head.status == v1.RUN_STATUS_CREATED:
        return _REASONS.get(head.wait.reason, _other)(told, head, who)
    return _under_way(told, head, who)


# ---- not started ----


def _start_time(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    yield f"{who} is not started before {_at(head.wait.earliest_start_time)}, as its request asks for."


def _action_pending(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    yield _awaited(told, head.wait.blocking_run_id)


def _paused(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    pause = told.pause
    if pause.HasField("agent_id"):
        scope = f"agent {pause.agent_id}"
    elif pause.HasField("fairness_key"):
        scope = f"fairness key {pause.fairness_key!r}"
    else:
        scope = "all runs of the tenant"
    why = f": {pause.reason!r}" if pause.reason else ""
    yield f"Dispatch is paused for {scope} since {_at(pause.create_time)}{why}. {who} waits until it is resumed."


def _at_cap(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    yield f"{who} waits: {_cap(told.cap)}"


def _cap(cap: v1.RunCap) -> str:
    whose = f"agent {cap.agent_id}" if cap.HasField("agent_id") else "the tenant"
    return f"{cap.running} runs of {whose} are under way, and no more than {cap.most} may be."


def _no_slot(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    if told.HasField("slot_queue"):
        yield from _slot_queue(told.slot_queue, who)
    elif told.HasField("lease"):
        yield f"{who} is about to be started: {told.lease.replica_id} begins it as soon as one of its slots is free."
    else:
        whose = "Its" if who == "It" else f"{who}'s"
        yield f"{whose} time has come; the next replica with a free slot takes it up."


def _other(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    yield f"{who} waits: {head.wait.reason}." if head.wait.reason else f"{who} is being started."


_REASONS: Mapping[str, Callable[[v1.ExplainRunResponse, v1.Run, str], Iterator[str]]] = {
    "START_TIME": _start_time,
    "ACTION_PENDING": _action_pending,
    "DISPATCH_PAUSED": _paused,
    "AGENT_AT_CAP": _at_cap,
    "TENANT_AT_CAP": _at_cap,
    "NO_SLOT": _no_slot,
}


def _awaited(told: v1.ExplainRunResponse, whose: str) -> str:
    calls = ", ".join(f"{action.call.name or 'a tool'} ({action.tool_call_id})" for action in told.pending_actions)
    waits = f"Its conversation waits for answers to calls that {whose} asked for: {calls}."
    deadlines = [action.expire_time for action in told.pending_actions if action.HasField("expire_time")]
    if not deadlines:
        return waits
    return f"{waits} Without answers the server settles them at {_at(min(deadlines, key=nanoseconds))}."


def _slot_queue(queue: v1.SlotQueue, who: str) -> Iterator[str]:
    none_free = ", none is free" if queue.slots_used >= queue.slots else ""
    taken = f"{queue.slots_used} of {queue.slots} are taken{none_free}"
    yield f"{who} waits for a slot since {_at(queue.ready_time)}; {taken}."
    whose = f"with fairness key {queue.fairness_key!r}" if queue.HasField("fairness_key") else "without a fairness key"
    yield f"Of the conversations {whose} that wait, {_counted(queue.ahead)} go before it."
    if queue.keys > 1:
        yield f"{_counted(queue.keys)} keys have conversations that wait; free slots go from one to the next."


def _counted(number: int) -> str:
    return f"{number} or more" if number >= MOST_COUNTED else str(number)


# ---- under way ----


def _under_way(told: v1.ExplainRunResponse, head: v1.Run, who: str) -> Iterator[str]:
    phase = v1.RunPhase.Name(head.phase).removeprefix("RUN_PHASE_")
    if head.wait.reason == "RETRY_BACKOFF":
        yield f"{who} is under way; its model call failed and is repeated at {_at(head.wait.earliest_start_time)}."
    elif told.HasField("slot_queue") or told.HasField("cap"):
        yield f"{who} was given up by the replica that worked on it; another one goes on from its last finished step."
        yield from _slot_queue(told.slot_queue, who) if told.HasField("slot_queue") else [_cap(told.cap)]
    else:
        yield f"{who} is under way since {_at(head.start_time)}: {phase}."
    if head.attempt > 1:
        yield f"It was started {head.attempt} times, after replicas that stopped."


def _holder(lease: v1.Lease, whom: str, now_ns: int) -> str:
    if nanoseconds(lease.expire_time) <= now_ns:
        heard = _at(lease.beat_time)
        return f"{lease.replica_id}, which worked on {whom}, was last heard of at {heard}; another one takes over now."
    until = _at(lease.expire_time)
    return f"{lease.replica_id} works on {whom}; if nothing is heard of it until {until}, another one takes over."


def _at(moment: Timestamp) -> str:
    """In UTC, to the millisecond."""
    return moment.ToDatetime().isoformat(sep=" ", timespec="milliseconds") + "Z"
