"""What keeps a run, in plain sentences: what it waits for first, then what those in front wait for, then until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.lifecycle import is_terminal
from sendoff_server.store.standing import MOST_COUNTED, Standing


def facts_of(told: v1.ExplainRunResponse, standing: Standing) -> Iterator[str]:
    """At least one sentence."""
    run = told.run
    if is_terminal(run):
        yield from _ended(told)
        return
    if run.status == v1.RUN_STATUS_CREATED:
        yield from _REASONS.get(run.wait.reason, _other)(told)
    else:
        yield from _under_way(told)
    yield from _holder(told, standing)
    if told.HasField("latest_start_time"):
        yield f"If it has not started by {_at(told.latest_start_time)}, it fails with EXPIRED_IN_QUEUE."


def _ended(told: v1.ExplainRunResponse) -> Iterator[str]:
    run = told.run
    status = v1.RunStatus.Name(run.status).removeprefix("RUN_STATUS_")
    reason = v1.StopReason.Name(run.stop_reason).removeprefix("STOP_REASON_")
    yield f"It has ended: {status}, {reason}."
    if told.pending_actions:
        yield _awaited(told, "it")


# ---- not started ----


def _conversation_busy(told: v1.ExplainRunResponse) -> Iterator[str]:
    first, position = told.run.wait.blocking_run_id, told.run.wait.position
    if position > 1:
        yield f"{position} runs of its conversation are in front of it; the first of them is {first}."
    else:
        yield f"{first} of its conversation is in front of it."
    if told.pending_actions:
        yield _awaited(told, told.pending_actions[0].run_id)
    elif told.HasField("slot_queue"):
        yield from _slot_queue(told, first)


def _start_time(told: v1.ExplainRunResponse) -> Iterator[str]:
    yield f"It is not started before {_at(told.run.wait.earliest_start_time)}, as its request asks for."


def _action_pending(told: v1.ExplainRunResponse) -> Iterator[str]:
    yield _awaited(told, told.run.wait.blocking_run_id)


def _no_slot(told: v1.ExplainRunResponse) -> Iterator[str]:
    if told.HasField("slot_queue"):
        yield from _slot_queue(told, "It")
    elif told.HasField("lease"):
        yield f"{told.lease.replica_id} has taken it up, and begins it as soon as one of its slots is free."
    else:
        yield "Its time has come; the next replica with a free slot takes it up."


def _other(told: v1.ExplainRunResponse) -> Iterator[str]:
    yield f"It waits: {told.run.wait.reason}." if told.run.wait.reason else "It is being started."


_REASONS: Mapping[str, Callable[[v1.ExplainRunResponse], Iterator[str]]] = {
    "CONVERSATION_BUSY": _conversation_busy,
    "START_TIME": _start_time,
    "ACTION_PENDING": _action_pending,
    "NO_SLOT": _no_slot,
}


def _awaited(told: v1.ExplainRunResponse, whose: str) -> str:
    actions = told.pending_actions
    if not actions:
        return f"Its conversation waits for answers to what {whose} asked for."
    first = min((action.expire_time for action in actions), key=nanoseconds)
    calls = ", ".join(f"{action.call.name or 'a tool'} ({action.tool_call_id})" for action in actions)
    settled = f"Without answers the server settles them at {_at(first)}."
    return f"Its conversation waits for answers to calls that {whose} asked for: {calls}. {settled}"


def _slot_queue(told: v1.ExplainRunResponse, who: str) -> Iterator[str]:
    queue = told.slot_queue
    free = queue.slots - queue.slots_used
    taken = f"{queue.slots_used} of {queue.slots} slots are taken"
    yield f"{who} waits for a slot since {_at(queue.ready_time)}; {taken}{'' if free > 0 else ', none is free'}."
    whose = f"with fairness key {queue.fairness_key!r}" if queue.HasField("fairness_key") else "without a fairness key"
    yield f"{_counted(queue.ahead)} waiting conversations {whose} go before it."
    if queue.keys > 1:
        yield f"{_counted(queue.keys)} keys have conversations that wait; free slots go from one to the next."


def _counted(number: int) -> str:
    return f"{number} or more" if number >= MOST_COUNTED else str(number)


# ---- under way ----


def _under_way(told: v1.ExplainRunResponse) -> Iterator[str]:
    run = told.run
    phase = v1.RunPhase.Name(run.phase).removeprefix("RUN_PHASE_") if run.phase else "RUNNING"
    if run.wait.reason == "RETRY_BACKOFF":
        yield f"Its model call failed and is repeated at {_at(run.wait.earliest_start_time)}."
    elif told.HasField("slot_queue"):
        yield "The replica that worked on it has given it up; another one goes on with it from its last finished step."
        yield from _slot_queue(told, "It")
    else:
        yield f"It is under way since {_at(run.start_time)}: {phase}."
    if run.attempt > 1:
        yield f"It was started {run.attempt} times, after replicas that stopped."


# ---- who ----


def _holder(told: v1.ExplainRunResponse, standing: Standing) -> Iterator[str]:
    if not told.HasField("lease"):
        return
    lease = told.lease
    who = "it" if lease.run_id == told.run.id else lease.run_id
    heard, until = _at(lease.beat_time), _at(lease.expire_time)
    if nanoseconds(lease.expire_time) <= standing.now_ns:
        yield f"{lease.replica_id}, which worked on {who}, was last heard of at {heard}; another one takes over now."
    else:
        yield f"{lease.replica_id} works on {who}; if nothing is heard of it until {until}, another one takes over."


def _at(moment: Timestamp) -> str:
    """In UTC, to the millisecond."""
    return moment.ToDatetime().isoformat(sep=" ", timespec="milliseconds") + "Z"
