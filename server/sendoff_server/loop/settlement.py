"""What is to become of calls of earlier runs that have no return: pure rules.

Such calls stand at the end of the history. Most wait for answers from outside: the run that made them has stopped for
that. Some are just there, because a conversation was forked between a call and its return.

A request that brings answers settles what waits by them. Any other denies what has no answer. What nobody had to be
asked about, and was held back with the rest, is called in the first case and not in the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.lifecycle import NOBODY_ANSWERED
from sendoff_server.loop import returns
from sendoff_server.loop.arguments import replaced

_GONE_ON = "the user went on with another message instead of answering"
_NEVER = "the run that asked for it has ended before"


@dataclass(frozen=True, slots=True)
class Owed:
    """A call that has no return."""

    call: v1.ToolCall
    step_id: str
    """Of the answer that made it."""
    run_id: str
    position: int


def unreturned(entries: Sequence[v1.Message]) -> list[Owed]:
    """The calls at the end of a history that have no return, in order."""
    returned: set[str] = set()
    found: list[list[Owed]] = []
    step_id = ""
    for entry in reversed(entries):
        if step_id and entry.step_id and entry.step_id != step_id:
            break  # every answer but the newest has its returns
        step_id = step_id or entry.step_id
        match entry.WhichOneof("kind"):
            case "tool_return_message":
                returned.update(each.tool_call_id for each in entry.tool_return_message.tool_returns)
            case "approval_request_message":
                found.append(_owed(entry, entry.approval_request_message.tool_calls, returned))
            case "tool_call_message":
                found.append(_owed(entry, entry.tool_call_message.tool_calls, returned))
            case "approval_response_message":
                pass
            case _:
                break
    return [owed for group in reversed(found) for owed in group]


def _owed(entry: v1.Message, calls: Sequence[v1.ToolCall], returned: set[str]) -> list[Owed]:
    return [
        Owed(call, entry.step_id, entry.run_id, entry.position) for call in calls if call.tool_call_id not in returned
    ]


@dataclass(slots=True)
class Settlement:
    """What is to become of them."""

    denied: list[v1.ToolReturn] = field(default_factory=list)
    given: list[v1.ToolReturn] = field(default_factory=list)
    to_call: list[Owed] = field(default_factory=list)
    answers: list[v1.ActionDecision] = field(default_factory=list)
    """To what was pending, in order."""
    resolved: list[v1.ActionResolved] = field(default_factory=list)
    fails_turn: bool = False
    """An action was not answered in time that was to end the turn then."""


def misfit(actions: Sequence[v1.PendingAction], decisions: Sequence[v1.ActionDecision]) -> v1.RunError | None:
    """Why these answers do not settle these actions; None if they do."""
    if not actions:
        told = "no tool call of the conversation is waiting for an answer; send a message to go on"
        return v1.RunError(reason="NO_PENDING_ACTION", message=told)
    expected = [action.tool_call_id for action in actions]
    received = [_call_id(decision) for decision in decisions]
    answered = {*received, *(action.tool_call_id for action in actions if action.HasField("decision"))}
    if set(received) <= set(expected) <= answered:
        return None
    told = f"Invalid tool call IDs. Expected '{expected}', but received '{received}'"
    return v1.RunError(
        reason="INVALID_TOOL_CALL_IDS",
        message=told,
        metadata={"expected": ",".join(expected), "received": ",".join(received)},
    )


def settlement(
    owed: Sequence[Owed],
    actions: Sequence[v1.PendingAction],
    decisions: Sequence[v1.ActionDecision] | None,
    *,
    now_ns: int,
    stopped: str = "",
) -> Settlement:
    """`decisions`: what the request answers, None if it answers nothing. `stopped`: why nothing may be called any more;
    empty if it may."""
    decided = _decided(actions, decisions)
    settled = Settlement()
    for action in actions:
        _answer(settled, action, decided[action.tool_call_id], now_ns, by_request=decisions is not None)
    if settled.fails_turn:
        stopped = stopped or "the turn has ended, because an action was not answered in time"
    kinds = {action.tool_call_id: action.kind for action in actions}
    goes_on = decisions is not None and not stopped
    for each in owed:
        decision = decided.get(each.call.tool_call_id)
        if decision is not None:
            _settle(settled, each, decision, kinds[each.call.tool_call_id], stopped)
        elif goes_on:
            settled.to_call.append(each)
        else:
            because = stopped or (_GONE_ON if actions else _NEVER)
            settled.denied.append(returns.not_made(each.call.tool_call_id, because))
    return settled


def _decided(
    actions: Sequence[v1.PendingAction], decisions: Sequence[v1.ActionDecision] | None
) -> Mapping[str, v1.ActionDecision]:
    given = {_call_id(decision): decision for decision in decisions or ()}
    return {
        action.tool_call_id: given.get(action.tool_call_id)
        or (action.decision if action.HasField("decision") else _denial(action))
        for action in actions
    }


def _denial(action: v1.PendingAction) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=action.tool_call_id, approve=False, reason=_GONE_ON))


def _answer(
    settled: Settlement, action: v1.PendingAction, decision: v1.ActionDecision, now_ns: int, *, by_request: bool
) -> None:
    in_time = decision.approval.reason != NOBODY_ANSWERED or now_ns < nanoseconds(action.expire_time)
    if not in_time and action.on_timeout == v1.ON_TIMEOUT_FAIL_TURN:
        settled.fails_turn = True
    by = "caller" if by_request or action.HasField("decision") else "message"
    settled.answers.append(decision)
    settled.resolved.append(
        v1.ActionResolved(tool_call_id=action.tool_call_id, decision=decision, resolved_by=by if in_time else "timeout")
    )


def _settle(
    settled: Settlement, owed: Owed, decision: v1.ActionDecision, kind: v1.ActionKind.ValueType, stopped: str
) -> None:
    call_id, approval = owed.call.tool_call_id, decision.approval
    if decision.HasField("tool"):
        settled.given.append(decision.tool)
    elif approval.approve and not stopped and kind != v1.ACTION_KIND_CLIENT_TOOL:
        settled.to_call.append(_edited(owed, approval))
    elif approval.approve:
        settled.denied.append(returns.not_made(call_id, stopped or "it runs at the caller, who sent no result"))
    elif kind == v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME:
        settled.denied.append(returns.in_doubt(call_id, approval.reason))
    else:
        settled.denied.append(returns.denied(call_id, approval.reason if approval.HasField("reason") else None))


def _edited(owed: Owed, approval: v1.Approval) -> Owed:
    if not approval.HasField("edited_arguments"):
        return owed
    call = replaced(owed.call, approval.edited_arguments.json)
    return Owed(call, owed.step_id, owed.run_id, owed.position)


def _call_id(decision: v1.ActionDecision) -> str:
    return decision.tool.tool_call_id if decision.HasField("tool") else decision.approval.tool_call_id
