"""A model's answer as entries of the conversation, and what it means for the run."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import End, Step, Work
from sendoff_server.lifecycle import MAX_PARTS, REQUEST_PLACE, output_position
from sendoff_server.loop.arguments import is_object
from sendoff_server.loop.entries import entry
from sendoff_server.models.port import Answer, Finish

MAX_CALLS = 256
"""Of one answer that count; as many as one request can answer."""

_USABLE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_USABLE_ID = re.compile(r"[a-zA-Z0-9_-]{9,64}")  # shorter ones, as call_0, come again in the next answer
_SHOWN = frozenset({"text", "reasoning", "redacted_reasoning", "omitted_reasoning", "summarized_reasoning"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where an answer is written, and under which id."""

    work: Work
    step: Step
    message_id: str
    now: Timestamp


# ---- the calls of an answer ----


def calls_tools(answer: Answer) -> bool:
    return any(part.HasField("tool_call") for part in answer.parts)


def calls_in(answer: Answer, message_id: str, taken: Collection[str], *, parallel: bool) -> list[v1.ToolCall]:
    """The calls of an answer that count, in order, with ids that no other call has. `taken`: ids of other calls.

    Ids that look as if they come again are replaced, and the same answer always gets the same ones.
    """
    parts = [part.tool_call for part in answer.parts if part.HasField("tool_call")]
    seen = set(taken)
    calls: list[v1.ToolCall] = []
    for index, part in enumerate(parts[: MAX_CALLS if parallel else 1]):
        call_id = part.id
        if call_id in seen or not _USABLE_ID.fullmatch(call_id):
            call_id = ids.call_id(message_id, index)
        seen.add(call_id)
        arguments = part.input.json
        calls.append(
            v1.ToolCall(
                tool_call_id=call_id,
                name=part.name,
                arguments=arguments,
                arguments_are_valid_json=is_object(arguments),
            )
        )
    return calls


def is_readable(calls: Sequence[v1.ToolCall], offered: Collection[str]) -> bool:
    """Whether each call names a tool in such a way that its return can be shown to a model."""
    return all(call.name in offered or _USABLE_NAME.fullmatch(call.name) for call in calls)


# ---- its entries ----


def entries(written: Written, answer: Answer, calls: Sequence[v1.ToolCall] = ()) -> list[v1.Message]:
    """One entry for each part that is shown, in order, and one for all calls, which is last. They share the answer's id
    and differ in OTID and position."""
    shown = [
        _shown(written, index, part)
        for index, part in enumerate(answer.parts[:MAX_PARTS])
        if part.WhichOneof("part") in _SHOWN
    ]
    return [*shown, _called(written, answer, calls)] if calls else shown


def request_entry(written: Written, answer: Answer, calls: Sequence[v1.ToolCall], *, alone: bool) -> v1.Message:
    """The calls of an answer that wait for somebody. `alone`: the answer makes no others, so this is its last entry;
    else it is a message of its own."""
    if alone:
        message = _last(written, answer)
    else:
        message = _at(written, ids.derive("message", written.message_id, "request"), REQUEST_PLACE, 0)
    message.approval_request_message.tool_calls.extend(calls)
    return message


def _called(written: Written, answer: Answer, calls: Sequence[v1.ToolCall]) -> v1.Message:
    message = _last(written, answer)
    message.tool_call_message.tool_calls.extend(calls)
    return message


def _last(written: Written, answer: Answer) -> v1.Message:
    return _part(written, min(len(answer.parts), MAX_PARTS) - 1)


def _shown(written: Written, index: int, part: v1.ContentPart) -> v1.Message:
    message = _part(written, index)
    _fill(message, part)
    return message


def _part(written: Written, index: int) -> v1.Message:
    return _at(written, written.message_id, index, index)


def _at(written: Written, message_id: str, place: int, part: int) -> v1.Message:
    position = output_position(written.work.seq, written.step.index, place)
    return entry(written.work, message_id, position, written.now, step_id=written.step.id, part=part)


def _fill(message: v1.Message, part: v1.ContentPart) -> None:
    match part.WhichOneof("part"):
        case "text" if part.text.HasField("signature"):
            message.assistant_message.content.parts.parts.append(part)
        case "text":
            message.assistant_message.content.text = part.text.text
        case "reasoning":
            message.reasoning_message.reasoning = part.reasoning.reasoning
            message.reasoning_message.source = "reasoner_model"
            if part.reasoning.HasField("signature"):
                message.reasoning_message.signature = part.reasoning.signature
        case "redacted_reasoning":
            message.hidden_reasoning_message.state = "redacted"
            message.hidden_reasoning_message.hidden_reasoning = part.redacted_reasoning.data
        case "omitted_reasoning":
            message.hidden_reasoning_message.state = "omitted"
            if part.omitted_reasoning.HasField("signature"):
                message.hidden_reasoning_message.hidden_reasoning = part.omitted_reasoning.signature
        case "summarized_reasoning":
            summary = "\n\n".join(paragraph.text for paragraph in part.summarized_reasoning.summary)
            message.reasoning_message.reasoning = summary
            message.reasoning_message.source = "reasoner_model"
            if part.summarized_reasoning.HasField("encrypted_content"):
                message.reasoning_message.signature = part.summarized_reasoning.encrypted_content


# ---- what it means ----


def unusable(answer: Answer, *, calls_tools: bool) -> End | None:
    """How the run ends after an answer that is no good; None for a good one. What was said is kept all the same."""
    if answer.finish is Finish.REFUSED:
        told = "the model's provider withheld the answer or a part of it"
        return End(v1.STOP_REASON_INVALID_LLM_RESPONSE, v1.RunError(reason="MODEL_REFUSED", message=told))
    if calls_tools:
        return None
    if answer.finish is Finish.LENGTH:
        told = "the answer was cut off by the model's token limit; what it said so far is kept"
        return End(v1.STOP_REASON_MAX_TOKENS_EXCEEDED, v1.RunError(reason="MAX_TOKENS_EXCEEDED", message=told))
    if not any(part.WhichOneof("part") == "text" and part.text.text for part in answer.parts):
        told = "the model ended its turn without a word"
        return End(
            v1.STOP_REASON_INVALID_LLM_RESPONSE,
            v1.RunError(reason="MODEL_ANSWER_INVALID", message=told, retryable=True),
        )
    return None


def unreadable_calls() -> End:
    told = "the model called tools without usable names, again and again"
    return End(v1.STOP_REASON_INVALID_TOOL_CALL, v1.RunError(reason="UNREADABLE_TOOL_CALL", message=told))


def no_call(allowed: Sequence[str]) -> End:
    told = f"a rule of the agent demands a call of one of its tools, and the model called none: {', '.join(allowed)}"
    error = v1.RunError(reason="NO_TOOL_CALL", message=told, metadata={"tools": ",".join(allowed)})
    return End(v1.STOP_REASON_NO_TOOL_CALL, error)
