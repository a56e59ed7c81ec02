"""Answers to pending actions, read and put together. Pure.

Callers answer in four shapes: an `approval` with a list of decisions, a `tool_return` with a list of results, the old
single form of an approval, and `RespondToActions`. All become a list of `ActionDecision`, one per call. What is put
together may come from several requests; a call is answered once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sendoff import v1
from sendoff_server.errors import ActionAlreadyAnswered, InvalidRequest, InvalidToolCallIds, Violation

FIRST = "messages.messages[0]"
"""Where a request that answers has its answers."""

Decisions = Sequence[v1.ActionDecision]


def answers(request: v1.CreateMessageAsyncRequest) -> bool:
    """Whether the request answers pending actions."""
    messages = request.messages.messages
    return bool(messages) and messages[0].WhichOneof("kind") in ("approval", "tool_return")


def input_behind(request: v1.CreateMessageAsyncRequest) -> Sequence[v1.InputMessage]:
    """What stands behind the answers in the same request."""
    return request.messages.messages[1:]


def is_old_form(request: v1.CreateMessageAsyncRequest) -> bool:
    """Whether the answer is one yes or no with the id of a request message or of a tool call."""
    approval = request.messages.messages[0].approval
    return not approval.approvals and approval.HasField("approval_request_id")


def decisions_in(
    request: v1.CreateMessageAsyncRequest, actions: Sequence[v1.PendingAction], request_message_id: str = ""
) -> Decisions:
    """The answers of a request to these actions; `request_message_id` is needed for the old form only."""
    first = request.messages.messages[0]
    if first.HasField("tool_return"):
        return [v1.ActionDecision(tool=each) for each in first.tool_return.tool_returns]
    if is_old_form(request):
        return [_old_form(first.approval, actions, request_message_id)]
    return first.approval.approvals


def _old_form(
    old: v1.ApprovalCreate, actions: Sequence[v1.PendingAction], request_message_id: str
) -> v1.ActionDecision:
    call_id = old.approval_request_id
    if len(actions) == 1 and call_id == request_message_id:
        call_id = actions[0].tool_call_id
    reason = old.reason if old.HasField("reason") else None
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=old.approve, reason=reason))


def call_of(decision: v1.ActionDecision) -> str:
    """The id of the tool call that it answers."""
    return decision.tool.tool_call_id if decision.HasField("tool") else decision.approval.tool_call_id


def denies(decision: v1.ActionDecision) -> bool:
    """Whether the call is not to run, and has no result from elsewhere."""
    return decision.HasField("approval") and not decision.approval.approve


def answered(actions: Sequence[v1.PendingAction]) -> int:
    """How many have an answer."""
    return sum(action.HasField("decision") for action in actions)


def combined(actions: Sequence[v1.PendingAction], given: Decisions) -> list[v1.PendingAction]:
    """The actions with what is given now beside what was given before.

    Raises InvalidToolCallIds for an answer to what does not wait, and ActionAlreadyAnswered for a second answer that
    is not the first one.
    """
    by_call = {call_of(decision): decision for decision in given}
    if not by_call.keys() <= {action.tool_call_id for action in actions}:
        raise InvalidToolCallIds(waiting(actions), list(by_call))
    return [_with(action, by_call.get(action.tool_call_id)) for action in actions]


def _with(action: v1.PendingAction, decision: v1.ActionDecision | None) -> v1.PendingAction:
    if decision is None:
        return action
    if action.HasField("decision"):
        if action.decision != decision:
            raise ActionAlreadyAnswered(action.tool_call_id)
        return action
    told = v1.PendingAction()
    told.CopyFrom(action)
    told.decision.CopyFrom(decision)
    return told


def waiting(actions: Sequence[v1.PendingAction]) -> list[str]:
    """The ids of the calls that have no answer."""
    return [action.tool_call_id for action in actions if not action.HasField("decision")]


def check_kinds(actions: Sequence[v1.PendingAction], given: Decisions, paths: Sequence[str]) -> None:
    """Raise InvalidRequest for a yes to what only a result can answer. `paths` are the fields that hold the answers."""
    at_caller = {action.tool_call_id for action in actions if action.kind == v1.ACTION_KIND_CLIENT_TOOL}
    told = "the tool runs at the caller: send its result as a tool decision, or deny it"
    found = [
        Violation(path, told)
        for decision, path in zip(given, paths, strict=True)
        if decision.HasField("approval") and decision.approval.approve and call_of(decision) in at_caller
    ]
    if found:
        raise InvalidRequest(found)


def paths_in(request: v1.CreateMessageAsyncRequest, count: int) -> list[str]:
    """The fields of a request that hold its answers."""
    if is_old_form(request):
        return [f"{FIRST}.approval.approve"]
    return [f"{FIRST}.approval.approvals[{index}].approval.approve" for index in range(count)]


def with_decisions(
    request: v1.CreateMessageAsyncRequest, actions: Iterable[v1.PendingAction]
) -> v1.CreateMessageAsyncRequest:
    """The request as it is kept: its first message has the answers to all actions, in the order of the calls."""
    kept = v1.CreateMessageAsyncRequest()
    kept.CopyFrom(request)
    if not answers(kept):
        kept.messages.CopyFrom(v1.InputMessages(messages=[v1.InputMessage()]))
    first = kept.messages.messages[0]
    otid, group_id = _names(first)
    first.approval.CopyFrom(
        v1.ApprovalCreate(approvals=[action.decision for action in actions], otid=otid, group_id=group_id)
    )
    return kept


def _names(first: v1.InputMessage) -> tuple[str | None, str | None]:
    kind = first.tool_return if first.HasField("tool_return") else first.approval
    return kind.otid if kind.HasField("otid") else None, kind.group_id if kind.HasField("group_id") else None


def same_answers(kept: v1.CreateMessageAsyncRequest, given: Decisions) -> bool:
    """Whether a run with that request has dealt with these answers, all of them or some.

    False: it had none to one of these calls. Raises ActionAlreadyAnswered where it had another one.
    """
    before: Mapping[str, v1.ActionDecision] = (
        {call_of(decision): decision for decision in kept.messages.messages[0].approval.approvals}
        if answers(kept)
        else {}
    )
    for decision in given:
        known = before.get(call_of(decision))
        if known is None:
            return False
        if known != decision:
            raise ActionAlreadyAnswered(call_of(decision))
    return bool(given)


def request_message_id(entries: Iterable[v1.Message], actions: Sequence[v1.PendingAction]) -> str:
    """The id of the newest entry that holds the calls which these actions are about; "" for none."""
    wanted = {action.tool_call_id for action in actions}
    found = ""
    for entry in entries:
        calls = [*entry.approval_request_message.tool_calls, *entry.tool_call_message.tool_calls]
        if any(call.tool_call_id in wanted for call in calls):
            found = entry.id
    return found
