"""Answers to what runs have stopped for: approvals, and results of tools that run at the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from sendoff import methods, v1
from sendoff.methods import Call
from sendoff.requests import new_request_id
from sendoff.requests.json_text import json_object


class ActionFilters(TypedDict, total=False):
    """Which pending actions to list; all that are given must hold. See ListPendingActionsRequest."""

    agent_id: str | None
    conversation_id: str | None
    """"default" with agent_id: the agent's own."""
    run_id: str | None
    kind: v1.ActionKind.ValueType
    page_size: int


def list_pending_actions(filters: ActionFilters) -> v1.ListPendingActionsRequest:
    return v1.ListPendingActionsRequest(**filters)


def approval(
    action: v1.PendingAction, reason: str | None = None, edited_arguments: Mapping[str, Any] | None = None
) -> v1.ActionDecision:
    """A yes, with the model's arguments or others. Raises TypeError or ValueError for what JSON cannot hold."""
    edited = json_object(edited_arguments)
    return v1.ActionDecision(
        approval=v1.Approval(tool_call_id=action.tool_call_id, approve=True, reason=reason, edited_arguments=edited)
    )


def denial(action: v1.PendingAction, reason: str | None = None) -> v1.ActionDecision:
    """A no; the model reads the reason."""
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=action.tool_call_id, approve=False, reason=reason))


def result(action: v1.PendingAction, content: str | v1.Content, *, is_error: bool = False) -> v1.ActionDecision:
    """What the tool returned that ran here, or how it failed."""
    status = v1.TOOL_RETURN_STATUS_ERROR if is_error else v1.TOOL_RETURN_STATUS_SUCCESS
    returned = v1.Content(text=content) if isinstance(content, str) else content
    return v1.ActionDecision(tool=v1.ToolReturn(tool_call_id=action.tool_call_id, status=status, tool_return=returned))


def respond(
    actions: Sequence[v1.PendingAction], decisions: Sequence[v1.ActionDecision], request_id: str | None
) -> Call[v1.RespondToActionsRequest, v1.RespondToActionsResponse]:
    """RespondToActions, with a request_id in any case. Raises ValueError unless the actions are of one run."""
    if len({action.run_id for action in actions}) != 1:
        raise ValueError("answer the actions of one run at a time")
    request = v1.RespondToActionsRequest(
        conversation_id=actions[0].conversation_id or "default",
        agent_id=actions[0].agent_id or None,
        decisions=decisions,
        request_id=request_id or new_request_id(),
    )
    return Call(methods.RESPOND_TO_ACTIONS, request, is_repeatable=True)
