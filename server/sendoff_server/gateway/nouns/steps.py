"""Steps as the API shows them."""

from __future__ import annotations

from typing import Any

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.gateway.codec.shapes import enum_words
from sendoff_server.gateway.nouns.runs import ORGANIZATION, reason_word

Json = dict[str, Any]

FEEDBACKS = {word: v1.StepFeedback.ValueType(number) for word, number in enum_words(v1.StepFeedback.DESCRIPTOR).items()}
"""By the API's words."""
_FEEDBACK_WORDS = {number: word for word, number in FEEDBACKS.items()}
_STATUSES = {number: word for word, number in enum_words(v1.StepStatus.DESCRIPTOR).items()}
_TOLD_REASONS = frozenset({v1.STOP_REASON_END_TURN, v1.STOP_REASON_TOOL_RULE, v1.STOP_REASON_REQUIRES_APPROVAL})
_NOTHING = ("origin", "provider_id", "model_endpoint", "tid", "request_id", "project_id")


def step_json(step: v1.Step) -> Json:
    provider, _, model = step.model_handle.partition("/")
    failed = step.status == v1.STEP_STATUS_FAILED
    ends = step.HasField("stop_reason") and (failed or step.stop_reason in _TOLD_REASONS)
    return {
        "id": step.id,
        "organization_id": ORGANIZATION,
        "run_id": step.run_id,
        "agent_id": step.agent_id,
        "provider_name": provider,
        "provider_category": "base",
        "model": model,
        "model_handle": step.model_handle,
        "context_window_limit": step.context_window or None,
        **_tokens(step.usage),
        "stop_reason": reason_word(step.stop_reason) if ends else None,
        "tags": list(step.tags),
        "trace_id": step.trace_id or None,
        "messages": [],
        "feedback": _FEEDBACK_WORDS.get(step.feedback),
        "error_type": step.error.reason if failed else None,
        "error_data": {"message": step.error.message} if failed else None,
        "status": _STATUSES.get(step.status, "pending"),
        **dict.fromkeys(_NOTHING),
    }


def _tokens(usage: v1.Usage) -> Json:
    cached = usage.cached_input_tokens if usage.HasField("cached_input_tokens") else None
    written = usage.cache_write_tokens if usage.HasField("cache_write_tokens") else None
    reasoning = usage.reasoning_tokens if usage.HasField("reasoning_tokens") else None
    return {
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": cached,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
        "completion_tokens_details": {"reasoning_tokens": reasoning or 0},
        "prompt_tokens_details": {
            "cached_tokens": cached or 0,
            "cache_read_tokens": cached or 0,
            "cache_creation_tokens": written or 0,
        },
    }


def step_metrics_json(step: v1.Step) -> Json:
    """As `GET /v1/steps/{id}/metrics` answers."""
    ended = nanoseconds(step.end_time) - nanoseconds(step.start_time) if step.HasField("end_time") else None
    called = nanoseconds(step.model_call_time) if step.HasField("model_call_time") else None
    return {
        "id": step.id,
        "organization_id": ORGANIZATION,
        "provider_id": None,
        "run_id": step.run_id,
        "agent_id": step.agent_id,
        "step_start_ns": nanoseconds(step.start_time),
        "llm_request_start_ns": called,
        "llm_request_ns": step.model_duration_ns if step.HasField("model_duration_ns") else None,
        "tool_execution_ns": step.tool_duration_ns if step.HasField("tool_duration_ns") else None,
        "step_ns": ended,
        "base_template_id": None,
        "template_id": None,
        "project_id": None,
    }
