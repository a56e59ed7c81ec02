"""Entries of a conversation as the API shows them: what all have in common, then what the kind has.

Members that the API keeps for old programs (`tool_call` beside `tool_calls`, the first answer of an approval beside all
of them) are always told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.writing import whole_seconds, written

Json = dict[str, Any]

_IMAGE = "[Image omitted]"


def messages_json(entries: Iterable[v1.Message]) -> list[Json]:
    """Entries, without those of a kind that a newer server has written: the API has no word for them."""
    return [message_json(entry) for entry in entries if entry.WhichOneof("kind")]


def message_json(message: v1.Message, seq_id: int | None = None) -> Json:
    """One entry. `seq_id` is its number in a stream that can be resumed."""
    kind = message.WhichOneof("kind") or "user_message"
    return {**head(message, kind, seq_id), **_KINDS[kind](message)}


def head(message: v1.Message, kind: str, seq_id: int | None = None) -> Json:
    """What all kinds have in common, in the API's order."""
    is_request = kind == "approval_request_message"
    return {
        "id": message.id,
        "date": whole_seconds(message.create_time),
        "name": message.name if message.HasField("name") else None,
        "message_type": kind,
        "otid": message.id if is_request else _otid(message, kind),
        "sender_id": message.sender_id if message.HasField("sender_id") else None,
        "step_id": message.step_id if message.HasField("step_id") else None,
        "is_err": True if message.is_err else None,
        "seq_id": seq_id,
        "run_id": message.run_id if message.HasField("run_id") else None,
    }


def _otid(message: v1.Message, kind: str) -> str | None:
    if kind in ("approval_response_message", "event_message") or not message.HasField("otid"):
        return None
    return message.otid


def _system(message: v1.Message) -> Json:
    return {"content": message.system_message.content}


def _user(message: v1.Message) -> Json:
    return {"content": written(message.user_message.content)}


def _assistant(message: v1.Message) -> Json:
    return {"content": written(message.assistant_message.content)}


def _reasoning(message: v1.Message) -> Json:
    said = message.reasoning_message
    return {
        "source": said.source or "reasoner_model",
        "reasoning": said.reasoning,
        "signature": said.signature if said.HasField("signature") else None,
    }


def _hidden_reasoning(message: v1.Message) -> Json:
    hidden = message.hidden_reasoning_message
    redacted = hidden.state == "redacted"
    return {"state": hidden.state, "hidden_reasoning": hidden.hidden_reasoning if redacted else None}


def call_json(call: v1.ToolCall) -> Json:
    return {"name": call.name, "arguments": call.arguments, "tool_call_id": call.tool_call_id}


def executed_call_json(call: v1.ToolCall) -> Json:
    """The API writes the arguments of calls that it runs anew."""
    told = call_json(call)
    if call.arguments_are_valid_json:
        told["arguments"] = json.dumps(json.loads(call.arguments), ensure_ascii=False)
    return told


def _tool_calls(message: v1.Message) -> Json:
    calls = [executed_call_json(call) for call in message.tool_call_message.tool_calls]
    return {"tool_call": calls[0] if calls else None, "tool_calls": calls}


def _approval_request(message: v1.Message) -> Json:
    calls = [call_json(call) for call in message.approval_request_message.tool_calls]
    return {"tool_call": calls[0] if calls else None, "tool_calls": calls}


def return_json(returned: v1.ToolReturn) -> Json:
    return {
        "type": "tool",
        "tool_return": _return_content(returned.tool_return),
        "status": "error" if returned.status == v1.TOOL_RETURN_STATUS_ERROR else "success",
        "tool_call_id": returned.tool_call_id,
        "stdout": list(returned.stdout.lines) if returned.HasField("stdout") else None,
        "stderr": list(returned.stderr.lines) if returned.HasField("stderr") else None,
    }


def _return_content(content: v1.Content) -> Any:
    if content.HasField("text"):
        return content.text
    return "\n".join(part.text.text if part.HasField("text") else _IMAGE for part in content.parts.parts)


def _tool_returns(message: v1.Message) -> Json:
    returns = [return_json(returned) for returned in message.tool_return_message.tool_returns]
    first = returns[0] if returns else dict.fromkeys(("tool_return", "status", "tool_call_id", "stdout", "stderr"))
    return {**{name: value for name, value in first.items() if name != "type"}, "tool_returns": returns}


def _approval_json(decision: v1.ActionDecision) -> Json:
    if decision.HasField("tool"):
        return return_json(decision.tool)
    approval = decision.approval
    return {
        "type": "approval",
        "approve": approval.approve,
        "tool_call_id": approval.tool_call_id,
        "reason": approval.reason if approval.HasField("reason") else None,
    }


def _approval_response(message: v1.Message) -> Json:
    approvals = [_approval_json(decision) for decision in message.approval_response_message.approvals]
    first = approvals[0] if approvals and approvals[0]["type"] == "approval" else {}
    return {
        "approvals": approvals,
        "approve": first.get("approve"),
        "approval_request_id": first.get("tool_call_id"),
        "reason": first.get("reason"),
    }


def _summary(message: v1.Message) -> Json:
    stats = message.summary_message.compaction_stats
    return {
        "summary": message.summary_message.summary,
        "compaction_stats": written(stats) if message.summary_message.HasField("compaction_stats") else None,
    }


def _event(message: v1.Message) -> Json:
    return {
        "event_type": message.event_message.event_type,
        "event_data": written(message.event_message.event_data),
    }


_KINDS: dict[str, Callable[[v1.Message], Json]] = {
    "system_message": _system,
    "user_message": _user,
    "assistant_message": _assistant,
    "reasoning_message": _reasoning,
    "hidden_reasoning_message": _hidden_reasoning,
    "tool_call_message": _tool_calls,
    "tool_return_message": _tool_returns,
    "approval_request_message": _approval_request,
    "approval_response_message": _approval_response,
    "summary_message": _summary,
    "event_message": _event,
}
