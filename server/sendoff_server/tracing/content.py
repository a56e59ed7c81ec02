"""What was said, as attributes: only where the operator wants it told (SENDOFF_TRACE_CONTENT), and long texts cut.

Messages are told as the conventions want them: a list of {"role", "parts": [{"type", "content"}]}, as JSON text. Bytes
of pictures and hidden reasoning are left out; so are the secrets of tools, which are no part of arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from opentelemetry.util.types import AttributeValue

from sendoff import v1
from sendoff_server.lifecycle import text_of
from sendoff_server.models.port import Answer, ModelCall
from sendoff_server.tools.port import ToolCall, ToolResult
from sendoff_server.tracing import names

MOST_CHARS = 16_000
"""Of one attribute, about; of many messages the newest are told."""

Part = dict[str, Any]


def of_question(call: ModelCall) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {names.INPUT_MESSAGES: _newest(map(_message, reversed(call.messages)))}
    if call.system:
        attributes[names.SYSTEM_INSTRUCTIONS] = _json([_text(call.system[:MOST_CHARS])])
    return attributes


def of_answer(answer: Answer) -> dict[str, AttributeValue]:
    parts = [part for each in answer.parts for part in _part(each)]
    message = {"role": "assistant", "parts": parts, "finish_reason": answer.finish.value}
    return {names.OUTPUT_MESSAGES: _newest([message])}


def of_arguments(call: ToolCall) -> dict[str, AttributeValue]:
    return {names.TOOL_CALL_ARGUMENTS: _json(dict(call.arguments))[:MOST_CHARS]}


def of_result(result: ToolResult) -> dict[str, AttributeValue]:
    return {names.TOOL_CALL_RESULT: text_of(result.content)[:MOST_CHARS]}


def _message(entry: v1.Message) -> Part:
    match entry.WhichOneof("kind"):
        case "system_message":
            return _said("system", entry.system_message.content)
        case "user_message":
            return _said("user", text_of(entry.user_message.content))
        case "assistant_message":
            return _said("assistant", text_of(entry.assistant_message.content))
        case "reasoning_message":
            return {"role": "assistant", "parts": [_reasoning(entry.reasoning_message.reasoning)]}
        case "tool_call_message":
            return {"role": "assistant", "parts": [_call(each) for each in entry.tool_call_message.tool_calls]}
        case "approval_request_message":
            return {"role": "assistant", "parts": [_call(each) for each in entry.approval_request_message.tool_calls]}
        case "tool_return_message":
            return {"role": "tool", "parts": [_return(each) for each in entry.tool_return_message.tool_returns]}
        case "summary_message":
            return _said("user", entry.summary_message.summary)
        case kind:
            return {"role": "user", "parts": [], "kind": kind}


def _said(role: str, words: str) -> Part:
    return {"role": role, "parts": [_text(words)]}


def _text(words: str) -> Part:
    return {"type": "text", "content": words[:MOST_CHARS]}


def _reasoning(words: str) -> Part:
    return {"type": "reasoning", "content": words[:MOST_CHARS]}


def _call(call: v1.ToolCall) -> Part:
    arguments = call.arguments[:MOST_CHARS]
    return {"type": "tool_call", "id": call.tool_call_id, "name": call.name, "arguments": arguments}


def _return(returned: v1.ToolReturn) -> Part:
    response = text_of(returned.tool_return)[:MOST_CHARS]
    return {"type": "tool_call_response", "id": returned.tool_call_id, "response": response}


def _part(part: v1.ContentPart) -> list[Part]:
    match part.WhichOneof("part"):
        case "text":
            return [_text(part.text.text)]
        case "reasoning":
            return [_reasoning(part.reasoning.reasoning)]
        case "tool_call":
            call = part.tool_call
            arguments = call.input.json[:MOST_CHARS]
            return [{"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments}]
        case _:
            return []


def _newest(newest_first: Iterable[Part]) -> str:
    """As many as fit, oldest first; the newest in any case."""
    kept: list[str] = []
    size = 0
    for message in newest_first:
        words = _json(message)
        size += len(words)
        if kept and size > MOST_CHARS:
            break
        kept.append(words)
    return f"[{','.join(reversed(kept))}]"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
