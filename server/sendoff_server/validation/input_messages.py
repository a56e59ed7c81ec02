"""Rules of the messages of a request."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.actions import check_decisions, check_new_call, check_tool_return
from sendoff_server.validation.content import EVERY_PART, TEXT_AND_IMAGES, check_content, check_tool_call_id
from sendoff_server.validation.limits import MAX_KEY_CHARACTERS, MAX_MESSAGES, MAX_PARTS
from sendoff_server.validation.rules import check_enum, check_items, check_length
from sendoff_server.validation.tool_history import check_tool_history
from sendoff_server.validation.violations import Violations

_ROLES = frozenset(v1.Role.values()) - {0}
_NAME_CHARACTERS = 255


def check_input_messages(found: Violations, path: str, messages: v1.InputMessages) -> None:
    """Check the messages of a request, in order; `path` is the field that holds them."""
    path += ".messages"
    if check_items(found, path, len(messages.messages), least=1, most=MAX_MESSAGES):
        for index, message in enumerate(messages.messages):
            _check_input_message(found, f"{path}[{index}]", message, is_first=index == 0)
        check_tool_history(found, path, messages.messages)


def _check_input_message(found: Violations, path: str, message: v1.InputMessage, *, is_first: bool) -> None:
    kind = message.WhichOneof("kind")
    if kind == "message":
        _check_message(found, path + ".message", message.message)
        return
    if kind is None:
        found.add(path, "set message, approval or tool_return")
        return
    if not is_first:
        found.add(f"{path}.{kind}", f"{kind} must be the first message")
    if kind == "approval":
        _check_approval_create(found, path + ".approval", message.approval)
    else:
        _check_tool_return_create(found, path + ".tool_return", message.tool_return)


def _check_message(found: Violations, path: str, message: v1.MessageCreate) -> None:
    role = message.role
    if role not in _ROLES:
        check_enum(found, path + ".role", role, _ROLES)
    if message.HasField("content"):
        allowed = TEXT_AND_IMAGES if role in (v1.ROLE_USER, v1.ROLE_SYSTEM) else EVERY_PART
        check_content(found, path + ".content", message.content, allowed)
    else:
        found.add(path + ".content", "must be set")
    if message.HasField("otid"):
        check_length(found, path + ".otid", message.otid, least=1, most=MAX_KEY_CHARACTERS)
    check_length(found, path + ".name", message.name, most=_NAME_CHARACTERS)
    check_length(found, path + ".sender_id", message.sender_id, most=_NAME_CHARACTERS)
    check_length(found, path + ".group_id", message.group_id, most=_NAME_CHARACTERS)
    check_length(found, path + ".batch_item_id", message.batch_item_id, most=_NAME_CHARACTERS)


def _check_otid_and_group(found: Violations, path: str, message: v1.ApprovalCreate | v1.ToolReturnCreate) -> None:
    if message.HasField("otid"):
        check_length(found, path + ".otid", message.otid, least=1, most=MAX_KEY_CHARACTERS)
    check_length(found, path + ".group_id", message.group_id, most=_NAME_CHARACTERS)


def _check_approval_create(found: Violations, path: str, message: v1.ApprovalCreate) -> None:
    _check_otid_and_group(found, path, message)
    check_decisions(found, path + ".approvals", message.approvals)
    old = [name for name in ("approve", "approval_request_id", "reason") if message.HasField(name)]
    if message.approvals:
        for name in old:
            found.add(f"{path}.{name}", "is of the old single form; it does not go with approvals")
    elif old:
        _check_old_form(found, path, message)


def _check_old_form(found: Violations, path: str, message: v1.ApprovalCreate) -> None:
    if not message.HasField("approve"):
        found.add(path + ".approve", "must be set")
    check_tool_call_id(found, path + ".approval_request_id", message.approval_request_id)


def _check_tool_return_create(found: Violations, path: str, message: v1.ToolReturnCreate) -> None:
    _check_otid_and_group(found, path, message)
    calls: set[str] = set()
    if check_items(found, path + ".tool_returns", len(message.tool_returns), least=1, most=MAX_PARTS):
        for index, answer in enumerate(message.tool_returns):
            place = f"{path}.tool_returns[{index}]"
            check_tool_return(found, place, answer)
            check_new_call(found, place, answer.tool_call_id, calls)
