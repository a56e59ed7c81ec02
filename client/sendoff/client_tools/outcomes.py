"""What came of a call, as the model is told it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from sendoff import actions, v1
from sendoff.client_tools.shapes import Misfit

MAX_RESULT_BYTES = 4 * 1024 * 1024
"""Servers take no longer text."""
_MAX_ERROR_CHARACTERS = 2_000


def returned(action: v1.PendingAction, value: Any) -> v1.ActionDecision:
    """The result of a call: text and content as they are, all else as JSON. What cannot be told is an error."""
    if isinstance(value, v1.Content):
        return actions.result(action, value)
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        return failed(action, f"the result cannot be told: {error}")
    if size > MAX_RESULT_BYTES:
        return failed(action, f"the result has {size} bytes, and {MAX_RESULT_BYTES} can be told")
    return actions.result(action, text or "(empty)")


def raised(action: v1.PendingAction, error: BaseException) -> v1.ActionDecision:
    """The error of a call, by its type and message."""
    message = str(error)
    if isinstance(error, Misfit):
        return failed(action, message)
    return failed(action, f"{type(error).__name__}: {message}" if message else type(error).__name__)


def too_late(action: v1.PendingAction, limit_s: float) -> v1.ActionDecision:
    """That a call has brought nothing in time."""
    return failed(action, f"{action.call.name} has brought nothing within {limit_s:g} s; it may still be under way")


def failed(action: v1.PendingAction, told: str) -> v1.ActionDecision:
    """That a call has failed, and how."""
    readable = told[:_MAX_ERROR_CHARACTERS].encode(errors="replace").decode()
    return actions.result(action, readable, is_error=True)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    return str(value)
