"""A model's answer as entries of the conversation, and what it means for the run."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import End, Step, Work
from sendoff_server.lifecycle import output_position
from sendoff_server.models.port import Answer, Finish


def entries(work: Work, step: Step, message_id: str, answer: Answer, now: Timestamp) -> list[v1.Message]:
    """One entry per part, in order. They share the answer's id and differ in OTID and position."""
    return [
        _entry(work, step, message_id, index, part, now)
        for index, part in enumerate(answer.parts)
        if part.WhichOneof("part") in _SHOWN
    ]


def _entry(work: Work, step: Step, message_id: str, index: int, part: v1.ContentPart, now: Timestamp) -> v1.Message:
    message = v1.Message(
        id=message_id,
        create_time=now,
        agent_id=work.run.agent_id,
        run_id=work.run.id,
        step_id=step.id,
        otid=ids.otid(message_id, index),
        position=output_position(work.seq, step.index, index),
    )
    if work.run.HasField("conversation_id"):
        message.conversation_id = work.run.conversation_id
    _fill(message, part)
    return message


_SHOWN = frozenset({"text", "reasoning", "redacted_reasoning", "omitted_reasoning", "summarized_reasoning"})


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


def end_for(answer: Answer) -> End:
    """How the run ends after an answer. What was said is kept also where it ends badly."""
    if any(part.HasField("tool_call") for part in answer.parts):
        told = "the model called a tool, and this agent has none"
        return End(v1.STOP_REASON_INVALID_TOOL_CALL, v1.RunError(reason="UNKNOWN_TOOL", message=told))
    if answer.finish is Finish.LENGTH:
        told = "the answer was cut off by the model's token limit; what it said so far is kept"
        return End(v1.STOP_REASON_MAX_TOKENS_EXCEEDED, v1.RunError(reason="MAX_TOKENS_EXCEEDED", message=told))
    if answer.finish is Finish.REFUSED:
        told = "the model's provider withheld the answer or a part of it"
        return End(v1.STOP_REASON_INVALID_LLM_RESPONSE, v1.RunError(reason="MODEL_REFUSED", message=told))
    if not any(part.WhichOneof("part") == "text" and part.text.text for part in answer.parts):
        told = "the model ended its turn without a word"
        return End(
            v1.STOP_REASON_INVALID_LLM_RESPONSE,
            v1.RunError(reason="MODEL_ANSWER_INVALID", message=told, retryable=True),
        )
    return End(v1.STOP_REASON_END_TURN)
