"""How the nouns of the door look, drawn from their writers, and the forms of refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from sendoff import v1
from sendoff_server.gateway.codec.schemas import Schema
from sendoff_server.gateway.codec.shapes import union
from sendoff_server.gateway.codec.written_schemas import WrittenSchemas
from sendoff_server.gateway.description.examples import drawn, examples, examples_of
from sendoff_server.gateway.description.forms import NOTHING, OBJECT, TEXT, always, an_id, list_of, noun, one_of
from sendoff_server.gateway.nouns.agents import Relations, agent_json
from sendoff_server.gateway.nouns.blocks import block_json
from sendoff_server.gateway.nouns.conversations import conversation_json
from sendoff_server.gateway.nouns.messages import head, message_json
from sendoff_server.gateway.nouns.queues import PHASES
from sendoff_server.gateway.nouns.runs import (
    API_REASONS,
    API_STATUSES,
    metrics_json,
    run_json,
    stop_reason_json,
    usage_json,
    usage_statistics,
)
from sendoff_server.gateway.nouns.steps import FEEDBACKS, step_json
from sendoff_server.gateway.nouns.tools import tool_json
from sendoff_server.gateway.routes.facts import model_json

M = TypeVar("M", bound=Message)

STATUS = one_of(list(API_STATUSES))
REASON = one_of(list(API_REASONS))
STEP_STATUS = one_of(["pending", "success", "failed", "cancelled"])
PIECED = ["tool_call_message", "approval_request_message"]
"""Entries whose calls come in pieces, in a stream of pieces."""
STEP_TIMES = ("step_start_ns", "llm_request_start_ns", "llm_request_ns", "tool_execution_ns", "step_ns")
MESSAGE_TYPES = [arm.name for arm in union(v1.Message.DESCRIPTOR)]


def nouns() -> dict[str, Schema]:
    """The schemas of all nouns, by name."""
    return {
        "RunState": _of(v1.Run, run_json, status=STATUS, stop_reason=REASON, metadata=OBJECT),
        "RunMetrics": _of(v1.Run, _metrics_json, tools_used={"type": ["array", "null"], "items": an_id("tool")}),
        "RunUsage": _of(v1.Usage, usage_json),
        "MessageState": {"anyOf": [_entry(kind) for kind in MESSAGE_TYPES]},
        "StepMetrics": always(
            **{name: an_id(name.removesuffix("_id")) for name in ("run_id", "agent_id")},
            **{name: {"type": ["integer", "null"]} for name in STEP_TIMES},
            id=an_id("step"),
            organization_id=TEXT,
        ),
        "StepState": _of(
            v1.Step, step_json, status=STEP_STATUS, stop_reason=REASON, feedback=one_of([*FEEDBACKS, None])
        ),
        "AgentState": _of(v1.Agent, _agent_json, last_stop_reason={"anyOf": [REASON, {"type": "null"}]}, **_OPEN),
        "BlockState": _of(v1.Block, block_json, metadata=OBJECT, tags=list_of(TEXT)),
        "ToolState": _of(v1.Tool, tool_json, json_schema=OBJECT, tags=list_of(TEXT)),
        "ConversationState": _of(
            v1.Conversation,
            conversation_json,
            model_settings={"type": ["object", "null"]},
            in_context_message_ids=list_of(TEXT),
            description={"type": ["string", "null"]},
        ),
        "ModelState": _of(v1.Model, model_json),
        "Result": always(
            messages=list_of(noun("MessageState")),
            stop_reason=noun("ResultStopReason"),
            usage=noun("ResultUsage"),
            logprobs={"type": ["object", "null"]},
            turns={"type": ["array", "null"], "items": OBJECT},
        ),
        **_logs(),
        **_refusals(),
    }


def _of(kind: type[M], write: Callable[[M], Any], **known: Schema) -> Schema:
    return drawn([write(example) for example in examples(kind)], **known)


def _entry(kind: str) -> Schema:
    told = [message_json(example, number) for example in examples_of(v1.Message, kind) for number in (None, 1)]
    return drawn(told, message_type={"const": kind}, event_data=OBJECT, **_content(kind))


_OPEN: dict[str, Schema] = {
    "metadata": OBJECT,
    "blocks": list_of(noun("BlockState")),
    "tools": list_of(noun("ToolState")),
    "pending_approval": {"anyOf": [noun("MessageState"), {"type": "null"}]},
    "agent_type": TEXT,
    "memory": {"type": "object", "required": ["blocks"], "properties": {"blocks": list_of(noun("BlockState"))}},
    "tags": list_of(TEXT),
    "message_ids": list_of(an_id("message")),
    **{name: {"type": ["string", "null"]} for name in ("embedding", "last_run_completion", "description")},
    **{
        name: {"type": ["object", "null"]}
        for name in ("model_settings", "embedding_config", "compaction_settings", "response_format")
    },
    "timezone": TEXT,
    "hidden": {"type": ["boolean", "null"]},
    "last_run_duration_ms": {"type": ["integer", "null"]},
}
"""Members of an agent that are told as they were set, or come from elsewhere."""


def _metrics_json(run: v1.Run) -> Any:
    return metrics_json(run, ())


def _agent_json(agent: v1.Agent) -> Any:
    return agent_json(agent, Relations())


_FRAMES = [kind.DESCRIPTOR for kind in (v1.RunSnapshot, v1.MessageDelta, v1.Heartbeat, v1.StreamEnd)]


def _logs() -> dict[str, Schema]:
    """Streams in the API's words, and the log in the contract's."""
    heads = [head(example, "", number) for example in examples(v1.Message) for number in (None, 1)]
    ping = drawn(heads, message_type={"const": "ping"}, id=TEXT)
    failure = always(message_type={"const": "error_message"}, run_id=TEXT, error_type=TEXT, message=TEXT, detail=TEXT)
    ends = [noun("Result" + part) for part in ("StopReason", "Usage")]
    contract = WrittenSchemas()
    failed = always(reason=TEXT, message=TEXT)
    return {
        "ResultStopReason": drawn([stop_reason_json(v1.STOP_REASON_END_TURN)], stop_reason=REASON),
        "ResultUsage": _of(v1.Usage, usage_statistics),
        "StreamPiece": drawn(heads, message_type=one_of(PIECED)),
        "StreamEvent": {"anyOf": [noun("MessageState"), noun("StreamPiece"), ping, *ends, failure]},
        "RunEvents": contract.ref(v1.ListRunEventsResponse.DESCRIPTOR),
        "WatchedFrame": {"anyOf": [contract.ref(v1.RunEvent.DESCRIPTOR), *map(contract.ref, _FRAMES), failed]},
        "PendingActions": contract.ref(v1.ListPendingActionsResponse.DESCRIPTOR),
        "PendingAction": contract.ref(v1.PendingAction.DESCRIPTOR),
        "ContentState": contract.ref(v1.Content.DESCRIPTOR),
        "CallbackEndpoint": contract.ref(v1.CallbackEndpoint.DESCRIPTOR),
        "NewCallbackEndpoint": contract.ref(v1.CreateEndpointResponse.DESCRIPTOR),
        "CallbackEndpoints": contract.ref(v1.ListEndpointsResponse.DESCRIPTOR),
        "CallbackSecret": contract.ref(v1.RotateSecretResponse.DESCRIPTOR),
        "CallbackTest": contract.ref(v1.TestEndpointResponse.DESCRIPTOR),
        "CallbackDelivery": contract.ref(v1.Delivery.DESCRIPTOR),
        "CallbackDeliveries": contract.ref(v1.ListDeliveriesResponse.DESCRIPTOR),
        "AuditEntries": contract.ref(v1.ListAuditEntriesResponse.DESCRIPTOR),
        "DispatchPause": contract.ref(v1.DispatchPause.DESCRIPTOR),
        "DispatchPauses": contract.ref(v1.ListDispatchPausesResponse.DESCRIPTOR),
        "DispatchResumption": contract.ref(v1.ResumeDispatchResponse.DESCRIPTOR),
        "CallbackRedelivery": contract.ref(v1.RedeliverResponse.DESCRIPTOR),
        "ServerInfo": contract.ref(v1.GetServerInfoResponse.DESCRIPTOR),
        "QueueStats": contract.ref(v1.GetQueueStatsResponse.DESCRIPTOR),
        "RunExplanation": _explanation(contract),
        **contract.components,
    }


def _explanation(contract: WrittenSchemas) -> Schema:
    told = contract.members(v1.ExplainRunResponse.DESCRIPTOR, without=frozenset({"run"}))["properties"]
    wait = {"anyOf": [contract.ref(v1.WaitInfo.DESCRIPTOR), NOTHING]}
    return always(run=noun("RunState"), phase=one_of([*PHASES.values(), None]), wait=wait, **told)


def _content(kind: str) -> dict[str, Schema]:
    return {"content": noun("ContentState")} if kind in ("user_message", "assistant_message") else {}


def _refusals() -> dict[str, Schema]:
    failure = always(type=TEXT, message=TEXT, detail=TEXT)
    pending = always(code={"const": "PENDING_APPROVAL"}, message=TEXT, pending_request_id=TEXT)
    return {
        "Refusal": {"type": "object", "required": ["detail"], "properties": {"detail": TEXT, "reason": TEXT}},
        "Unprocessable": always(trace_id=TEXT, detail=TEXT),
        "Conflict": {
            "anyOf": [
                always(detail=TEXT, reason=TEXT),
                always(detail=pending),
                always(detail=TEXT, run_id=an_id("run")),
            ]
        },
        "ModelFailure": always(error=failure, run_id=an_id("run")),
    }
