"""What becomes of actions that nobody answers in time. Pure.

The deadline is strict: an answer that comes at or after it is refused, and the server itself accepts the run that
continues. Its answers have a reason of their own, by which whoever settles them knows whose they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.lifecycle import NOBODY_ANSWERED


def expired(actions: Sequence[v1.PendingAction], now_ns: int) -> bool:
    """Whether the time to answer is over; actions of one run have one deadline."""
    return any(nanoseconds(action.expire_time) <= now_ns for action in actions)


def outcomes(actions: Iterable[v1.PendingAction], *, may_approve: bool) -> list[v1.PendingAction]:
    """The actions, those without an answer with the one that their deadline gives them."""
    return [
        action if action.HasField("decision") else decided(action, _outcome(action, may_approve=may_approve))
        for action in actions
    ]


def _outcome(action: v1.PendingAction, *, may_approve: bool) -> v1.ActionDecision:
    wanted = action.on_timeout == v1.ON_TIMEOUT_APPROVE and action.kind == v1.ACTION_KIND_APPROVAL
    if not (wanted and may_approve):
        return denial(action.tool_call_id, NOBODY_ANSWERED)
    return v1.ActionDecision(
        approval=v1.Approval(tool_call_id=action.tool_call_id, approve=True, reason=NOBODY_ANSWERED)
    )


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
