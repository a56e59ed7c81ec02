"""What becomes of actions that nobody answers in time. Pure.

The deadline is strict: an answer that comes at or after it is refused, and the server itself accepts the run that
continues. So a continuation that was accepted at or after the deadline is one that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sendoff import v1
from sendoff_server.body import End
from sendoff_server.clock import nanoseconds
from sendoff_server.runs.draft import run_error

NOBODY_ANSWERED = "nobody answered in time"
RESOLVED_BY = "timeout"
"""Who answered, in `ActionResolved`."""


def expired(actions: Sequence[v1.PendingAction], now_ns: int) -> bool:
    """Whether the time to answer is over; actions of one run have one deadline."""
    return any(nanoseconds(action.expire_time) <= now_ns for action in actions)


def timed_out(continuation: v1.Run, actions: Sequence[v1.PendingAction]) -> bool:
    """Whether the server itself continues, because nobody answered these actions in time."""
    return continuation.HasField("continues_run_id") and expired(actions, nanoseconds(continuation.create_time))


def ending(continuation: v1.Run, actions: Sequence[v1.PendingAction]) -> End | None:
    """The end of a continuation that settles these actions and does nothing more; None for one that goes on."""
    if not timed_out(continuation, actions):
        return None
    if all(action.on_timeout != v1.ON_TIMEOUT_FAIL_TURN for action in actions):
        return None
    calls = ", ".join(action.tool_call_id for action in actions)
    told = f"nobody answered the calls {calls} in time, and the request asked for the turn to fail then"
    error = run_error("DEADLINE_EXCEEDED", told, retryable=True, metadata={"tool_call_ids": calls})
    return End(v1.STOP_REASON_DEADLINE_EXCEEDED, error)


def outcomes(actions: Iterable[v1.PendingAction], *, may_approve: bool) -> list[v1.PendingAction]:
    """The actions, those without an answer with the one that their deadline gives them."""
    return [
        action if action.HasField("decision") else decided(action, _outcome(action, may_approve=may_approve))
        for action in actions
    ]


def _outcome(action: v1.PendingAction, *, may_approve: bool) -> v1.ActionDecision:
    call_id = action.tool_call_id
    if action.kind == v1.ACTION_KIND_CLIENT_TOOL:
        return v1.ActionDecision(
            tool=v1.ToolReturn(
                tool_call_id=call_id,
                status=v1.TOOL_RETURN_STATUS_ERROR,
                tool_return=v1.Content(text="Error: the caller gave no result in time"),
            )
        )
    wanted = action.on_timeout == v1.ON_TIMEOUT_APPROVE and action.kind == v1.ACTION_KIND_APPROVAL
    if wanted and may_approve:
        return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=True))
    return denial(call_id, NOBODY_ANSWERED)


def denials(actions: Iterable[v1.PendingAction], reason: str) -> list[v1.PendingAction]:
    """The actions, all denied for that reason but those whose calls have run elsewhere."""
    return [
        action if action.decision.HasField("tool") else decided(action, denial(action.tool_call_id, reason))
        for action in actions
    ]


def denial(call_id: str, reason: str) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=False, reason=reason))


def decided(action: v1.PendingAction, decision: v1.ActionDecision) -> v1.PendingAction:
    """The action with that answer."""
    told = v1.PendingAction()
    told.CopyFrom(action)
    told.decision.CopyFrom(decision)
    return told
