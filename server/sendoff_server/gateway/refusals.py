"""How errors leave through the REST door: statuses and bodies as the API's programs know them.

A 422 has its `detail` as one sentence that names the fields. `x-should-retry: false` keeps the SDK, which repeats 409
and 5xx by itself, from repeating what will not go away; `Retry-After` tells when waiting helps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import structlog
from starlette.responses import Response

from sendoff_server.errors import (
    ConversationBusy,
    Draining,
    InvalidRequest,
    NotNow,
    PendingApproval,
    Refused,
    ServiceError,
    StoreUnavailable,
    Unauthenticated,
)
from sendoff_server.gateway.answers import answer
from sendoff_server.store.port import Fenced, StoreFailed

RESTART_S = 2.0
"""How long after its end a server is reckoned to be back: callers of this door cannot go to another one by themselves,
and give up after two attempts."""

_log = structlog.get_logger(__name__)


class RefusedHere(Exception):
    """A refusal that only programs of this door can meet. Subclasses say why, and with which status."""

    reason: ClassVar[str]
    http_status: ClassVar[int]
    retry_after_s: ClassVar[int | None] = None
    """Set for what may go away by itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def refusal(error: Exception, trace_id: str) -> Response:
    """The answer to a request that ended with that error. One that nobody foresaw is logged and tells nothing."""
    if isinstance(error, StoreFailed | Fenced):
        _log.error("a request failed because the store did", error=str(error), trace_id=trace_id)
        error = StoreUnavailable()
    if isinstance(error, RefusedHere):
        told = {"detail": error.message, "reason": error.reason}
        waits = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
        return answer(told, error.http_status, waits or {"x-should-retry": "false"})
    if not isinstance(error, ServiceError):
        _log.error("a request failed unexpectedly", exc_info=error, trace_id=trace_id)
        return answer({"detail": "An unknown error occurred", "trace_id": trace_id}, 500)
    return answer(_body(error, trace_id), error.http_status, _headers(error))


def reason_of(error: Exception) -> str:
    """UPPER_SNAKE, one of few: how a request is counted that ended with that error."""
    if isinstance(error, StoreFailed | Fenced):
        return StoreUnavailable.reason
    return error.reason if isinstance(error, ServiceError | RefusedHere) else "INTERNAL"


def _body(error: ServiceError, trace_id: str) -> Mapping[str, Any]:
    if isinstance(error, PendingApproval):
        told = {
            "code": "PENDING_APPROVAL",
            "message": f"CONFLICT: {error.message}",
            "pending_request_id": error.metadata["pending_request_id"],
        }
        return {"detail": told}
    if isinstance(error, ConversationBusy):
        told_run = error.metadata["run_id"]
        detail = (
            f"CONFLICT: Cannot send a new message: Another request (run_id={told_run}) is currently being processed "
            "for this conversation. Please wait for it to complete."
        )
        return {"detail": detail, "run_id": told_run}
    if isinstance(error, InvalidRequest) or (isinstance(error, Refused) and error.http_status == 422):
        return {"trace_id": trace_id, "detail": error.message}
    return {"detail": error.message, "reason": error.reason}


def _headers(error: ServiceError) -> dict[str, str]:
    retry_after_s = error.over_in_s + RESTART_S if isinstance(error, Draining) else error.retry_after_s
    if retry_after_s is not None:
        return {"retry-after": str(max(1, min(60, math.ceil(retry_after_s))))}
    if isinstance(error, Unauthenticated):
        return {"www-authenticate": "Bearer", "x-should-retry": "false"}
    return {} if isinstance(error, NotNow) else {"x-should-retry": "false"}
