"""Rules of the requests of `ActionService`, and of decisions wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable

from sendoff import v1
from sendoff_server.validation.content import TEXT_AND_IMAGES, check_content, check_tool_call_id
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.limits import MAX_KEY_CHARACTERS, MAX_PARTS
from sendoff_server.validation.rules import (
    AGENT_ID,
    RUN_ID,
    check_conversation_id,
    check_enum,
    check_id,
    check_items,
    check_length,
    check_number,
)
from sendoff_server.validation.violations import Violations

_KINDS = frozenset(v1.ActionKind.values()) - {0}
_RETURN_STATUSES = frozenset(v1.ToolReturnStatus.values()) - {0}


def check_list_pending_actions(request: v1.ListPendingActionsRequest) -> None:
    found = Violations()
    if request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    if request.HasField("conversation_id"):
        check_conversation_id(found, "conversation_id", request.conversation_id)
        if request.conversation_id == "default" and not request.agent_id:
            found.add("conversation_id", "default says nothing without agent_id")
    if request.HasField("run_id"):
        check_id(found, "run_id", request.run_id, RUN_ID)
    if request.kind:
        check_enum(found, "kind", request.kind, _KINDS)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_respond_to_actions(request: v1.RespondToActionsRequest) -> None:
    found = Violations()
    check_conversation_id(found, "conversation_id", request.conversation_id)
    if request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    elif request.conversation_id == "default":
        found.add("agent_id", "must be set, unless conversation_id names a conversation")
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    check_decisions(found, "decisions", request.decisions, least=1)
    found.refuse()


def check_decisions(found: Violations, path: str, decisions: Iterable[v1.ActionDecision], *, least: int = 0) -> None:
    """Answers to pending actions; `path` is the list that holds them."""
    answers = list(decisions)
    if not check_items(found, path, len(answers), least=least, most=MAX_PARTS):
        return
    calls: set[str] = set()
    for index, answer in enumerate(answers):
        place = f"{path}[{index}]"
        if answer.HasField("approval"):
            _check_approval(found, place + ".approval", answer.approval)
            check_new_call(found, place + ".approval", answer.approval.tool_call_id, calls)
        elif answer.HasField("tool"):
            check_tool_return(found, place + ".tool", answer.tool)
            check_new_call(found, place + ".tool", answer.tool.tool_call_id, calls)
        else:
            found.add(place, "set approval or tool")


def check_new_call(found: Violations, path: str, call_id: str, calls: set[str]) -> None:
    """That no answer before it was for the same call; `calls` are those of the answers before, and grow."""
    if call_id in calls:
        found.add(path + ".tool_call_id", "must differ from those of the answers before it")
    calls.add(call_id)


def _check_approval(found: Violations, path: str, approval: v1.Approval) -> None:
    check_tool_call_id(found, path + ".tool_call_id", approval.tool_call_id)
    if not approval.HasField("approve"):
        found.add(path + ".approve", "must be set")
    if approval.HasField("edited_arguments"):
        if approval.HasField("approve") and not approval.approve:
            found.add(path + ".edited_arguments", "says nothing with a denial")
        elif not approval.edited_arguments.json:
            found.add(path + ".edited_arguments.json", "must be a JSON object")
        else:
            check_json_object(found, path + ".edited_arguments", approval.edited_arguments)


def check_tool_return(found: Violations, path: str, answer: v1.ToolReturn) -> None:
    check_tool_call_id(found, path + ".tool_call_id", answer.tool_call_id)
    check_enum(found, path + ".status", answer.status, _RETURN_STATUSES)
    if answer.HasField("tool_return"):
        check_content(found, path + ".tool_return", answer.tool_return, TEXT_AND_IMAGES)
    else:
        found.add(path + ".tool_return", "must be set")
