"""Runs, their usage and steps as the API shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.gateway.codec.shapes import enum_words
from sendoff_server.gateway.codec.writing import moment, written

Json = dict[str, Any]

_STATUSES = {number: word for word, number in enum_words(v1.RunStatus.DESCRIPTOR).items()}
_REASONS = {number: word for word, number in enum_words(v1.StopReason.DESCRIPTOR).items()}
_OUR_REASONS = {
    v1.STOP_REASON_DEADLINE_EXCEEDED: "error",
    v1.STOP_REASON_EXPIRED_IN_QUEUE: "error",
    v1.STOP_REASON_BUDGET_EXCEEDED: "insufficient_credits",
    v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN: "requires_approval",
    v1.STOP_REASON_SUPERSEDED: "cancelled",
}
"""The API's word for reasons that it does not have."""

API_STATUSES = {word: number for number, word in _STATUSES.items()}
API_REASONS = {word: number for number, word in _REASONS.items() if number < v1.STOP_REASON_DEADLINE_EXCEEDED}


def status_word(status: v1.RunStatus.ValueType) -> str:
    return _STATUSES[status]


def reason_word(reason: v1.StopReason.ValueType) -> str:
    """One of the API's thirteen."""
    return _OUR_REASONS.get(reason) or _REASONS.get(reason) or "error"


def run_json(run: v1.Run) -> Json:
    """A run, in the API's order of members, ours behind them."""
    callback = run.callback
    return {
        "id": run.id,
        "status": status_word(run.status),
        "created_at": moment(run.create_time),
        "completed_at": moment(run.complete_time) if run.HasField("complete_time") else None,
        "agent_id": run.agent_id,
        "conversation_id": run.conversation_id if run.HasField("conversation_id") else None,
        "base_template_id": run.base_template_id if run.HasField("base_template_id") else None,
        "background": run.background if run.HasField("background") else None,
        "metadata": metadata_json(run),
        "request_config": written(run.request_config) if run.HasField("request_config") else None,
        "stop_reason": reason_word(run.stop_reason) if run.HasField("stop_reason") else None,
        "callback_url": callback.url if callback.HasField("url") else None,
        "callback_sent_at": moment(callback.last_attempt_time) if callback.HasField("last_attempt_time") else None,
        "callback_status_code": callback.last_status_code if callback.HasField("last_status_code") else None,
        "callback_error": _callback_error(callback),
        "ttft_ns": run.ttft_ns if run.HasField("ttft_ns") else None,
        "total_duration_ns": run.total_duration_ns if run.HasField("total_duration_ns") else None,
    }


def _callback_error(callback: v1.CallbackSummary) -> str | None:
    """An answer is told by its status alone, whatever it was."""
    return callback.last_error if callback.HasField("last_error") and not callback.last_status_code else None


def metadata_json(run: v1.Run) -> Json:
    """What the API tells of its own, then the caller's own data, then the failure: as text, as programs know it, and in
    parts."""
    told: Json = {"run_type": run.labels.get(RUN_TYPE) or _RUN_TYPES[run.kind], "lettuce": None}
    if run.HasField("trace"):
        told["trace_id"] = run.trace.trace_id
    if run.HasField("metadata"):
        told |= json.loads(run.metadata.json)
    if run.HasField("error"):
        told["error"] = f"{run.error.reason}: {run.error.message}"
        told["error_detail"] = written(run.error)
    return told


_RUN_TYPES = {
    v1.RUN_KIND_UNSPECIFIED: "send_message_async",
    v1.RUN_KIND_COMPACTION: "compact_conversation",
    v1.RUN_KIND_RESET: "reset_conversation",
}
RUN_TYPE = "sendoff.dev/run-type"
"""The label under which the door notes by which call a run was made."""


def usage_json(usage: v1.Usage) -> Json:
    """As `GET /v1/runs/{id}/usage` answers."""
    return {
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": _prompt_details(usage),
        "completion_tokens_details": (
            {"reasoning_tokens": usage.reasoning_tokens} if usage.HasField("reasoning_tokens") else None
        ),
    }


def usage_statistics(usage: v1.Usage) -> Json:
    """As blocking answers, streams and callbacks have it."""
    return {
        "message_type": "usage_statistics",
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "step_count": usage.step_count,
        "run_ids": None,
        "cached_input_tokens": usage.cached_input_tokens if usage.HasField("cached_input_tokens") else None,
        "cache_write_tokens": usage.cache_write_tokens if usage.HasField("cache_write_tokens") else None,
        "reasoning_tokens": usage.reasoning_tokens if usage.HasField("reasoning_tokens") else None,
        "context_tokens": usage.context_tokens if usage.HasField("context_tokens") else None,
    }


def _prompt_details(usage: v1.Usage) -> Json | None:
    if not usage.HasField("cached_input_tokens") and not usage.HasField("cache_write_tokens"):
        return None
    return {
        "cached_tokens": usage.cached_input_tokens,
        "cache_read_tokens": usage.cached_input_tokens,
        "cache_creation_tokens": usage.cache_write_tokens,
    }


def stop_reason_json(reason: v1.StopReason.ValueType) -> Json:
    return {"message_type": "stop_reason", "stop_reason": reason_word(reason)}


def metrics_json(run: v1.Run, tools_used: Sequence[str]) -> Json:
    """As `GET /v1/runs/{id}/metrics` answers; tools by their ids."""
    return {
        "id": run.id,
        "organization_id": ORGANIZATION,
        "agent_id": run.agent_id,
        "project_id": None,
        "run_start_ns": nanoseconds(run.create_time),
        "run_ns": run.total_duration_ns if run.HasField("total_duration_ns") else None,
        "num_steps": run.usage.step_count,
        "tools_used": list(tools_used) or None,
        "template_id": None,
        "base_template_id": None,
    }


ORGANIZATION = "org-00000000-0000-4000-8000-000000000000"
USER = "user-00000000-0000-4000-8000-000000000000"
