"""The ways in which a model call fails: for each reason the run's stop reason, and whether to try again."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.models.port import ModelFailed

_KINDS: dict[str, tuple[v1.StopReason.ValueType, bool]] = {
    "MODEL_RATE_LIMITED": (v1.StopReason.STOP_REASON_LLM_API_ERROR, True),
    "MODEL_OVERLOADED": (v1.StopReason.STOP_REASON_LLM_API_ERROR, True),
    "MODEL_UNAVAILABLE": (v1.StopReason.STOP_REASON_LLM_API_ERROR, True),
    "MODEL_TIMEOUT": (v1.StopReason.STOP_REASON_LLM_API_ERROR, True),
    "MODEL_AUTHENTICATION": (v1.StopReason.STOP_REASON_LLM_API_ERROR, False),
    "MODEL_QUOTA_EXCEEDED": (v1.StopReason.STOP_REASON_INSUFFICIENT_CREDITS, False),
    "MODEL_NOT_FOUND": (v1.StopReason.STOP_REASON_LLM_API_ERROR, False),
    "MODEL_REJECTED_REQUEST": (v1.StopReason.STOP_REASON_LLM_API_ERROR, False),
    "MODEL_ANSWER_INVALID": (v1.StopReason.STOP_REASON_INVALID_LLM_RESPONSE, True),
    "MODEL_REFUSED": (v1.StopReason.STOP_REASON_INVALID_LLM_RESPONSE, False),
    "CONTEXT_OVERFLOW": (v1.StopReason.STOP_REASON_LLM_API_ERROR, False),
    "MODEL_ERROR": (v1.StopReason.STOP_REASON_ERROR, False),
}

REASONS = frozenset(_KINDS)
"""Every reason that a `ModelFailed` of this package has."""


def failed(reason: str, message: str, *, retry_after_s: float | None = None, **metadata: str) -> ModelFailed:
    """The failure of that reason; `message` must hold no secret, `metadata` the values in it."""
    stop_reason, retryable = _KINDS[reason]
    return ModelFailed(reason, stop_reason, message, retryable, retry_after_s, metadata)


def empty_answer(handle: str) -> ModelFailed:
    """The model ended its answer without having said anything."""
    return failed("MODEL_ANSWER_INVALID", f"the model {handle} gave an empty answer", handle=handle)
