"""What the model library raises, as the failures of the port."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import structlog
from pydantic_ai import exceptions as library

from sendoff_server.models.failures import failed
from sendoff_server.models.port import ModelFailed

_log = structlog.get_logger(__name__)

_MOST_TOLD = 500

# The first class that fits counts, so a subclass stands before its base.
_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (library.ModelRequestTimeout, "MODEL_TIMEOUT", "did not answer in time"),
    (library.ModelTimeoutError, "MODEL_TIMEOUT", "was silent for too long"),
    (library.ModelRateLimitError, "MODEL_RATE_LIMITED", "limits the rate of requests"),
    (library.ModelQuotaExceededError, "MODEL_QUOTA_EXCEEDED", "wants to be paid first"),
    (library.ModelOverloadedError, "MODEL_OVERLOADED", "is overloaded"),
    (library.ModelUnavailableError, "MODEL_UNAVAILABLE", "is not available"),
    (library.ModelServerError, "MODEL_UNAVAILABLE", "broke"),
    (library.ModelConnectionError, "MODEL_UNAVAILABLE", "cannot be reached, or the connection broke"),
    (library.ModelContextWindowExceededError, "CONTEXT_OVERFLOW", "says that the input does not fit into its context"),
    (library.ModelAuthenticationError, "MODEL_AUTHENTICATION", "refuses the key"),
    (library.ModelNotFoundError, "MODEL_NOT_FOUND", "does not know the model"),
    (library.ModelRequestRejectedError, "MODEL_REJECTED_REQUEST", "rejected the request"),
    (library.ContentFilterError, "MODEL_REFUSED", "refused to answer"),
    (library.UnexpectedModelBehavior, "MODEL_ANSWER_INVALID", "gave an answer that cannot be read"),
    (library.UserError, "MODEL_REJECTED_REQUEST", "cannot be asked this"),
)
_SILENT = frozenset({"MODEL_AUTHENTICATION", "MODEL_UNAVAILABLE", "MODEL_TIMEOUT"})
"""Reasons for which the provider's own words are not repeated: they quote keys, addresses or pages of a proxy."""
_OVERFLOW_TYPES = frozenset({"exceed_context_size_error"})  # llama.cpp's, which the library takes for a plain 400
_MAY_PASS = frozenset({408, 409, 425})


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must never stand in a message."""

    values: tuple[str, ...]

    def removed_from(self, text: str) -> str:
        for value in self.values:
            text = text.replace(value, "***") if value else text
        return text


def failure_of(error: Exception, handle: str, secrets: Secrets) -> ModelFailed:
    """The failure that an exception of the library means. One that nobody expected is logged, and says nothing of
    itself."""
    if isinstance(error, ModelFailed):
        return error
    reason, told = _kind(error)
    metadata = _metadata(error, handle)
    if reason == "MODEL_ERROR":
        _log.error("model library failed", handle=handle, exc_info=error)
    if reason in _SILENT:
        causes = [type(cause).__name__ for cause in _causes(error)]
        _log.warning("model call failed", handle=handle, reason=reason, causes=causes)
    elif words := _providers_words(error):
        told = f"{told}: {secrets.removed_from(words)[:_MOST_TOLD]}"
    retry_after_s = error.retry_after if isinstance(error, library.ModelAPIError) else None
    return failed(reason, f"the provider of {handle} {told}", retry_after_s=retry_after_s, **metadata)


def _kind(error: Exception) -> tuple[str, str]:
    if isinstance(error, library.ModelAPIError) and error.provider_error_type in _OVERFLOW_TYPES:
        return "CONTEXT_OVERFLOW", "says that the input does not fit into its context"
    if isinstance(error, library.ModelTimeoutError) and _never_connected(error):
        return "MODEL_UNAVAILABLE", "cannot be reached, or the connection broke"
    for kind, reason, told in _REASONS:
        if isinstance(error, kind):
            return reason, told
    if isinstance(error, library.ModelHTTPError):
        passing = error.status_code >= 500 or error.status_code in _MAY_PASS
        return ("MODEL_UNAVAILABLE", "broke") if passing else ("MODEL_REJECTED_REQUEST", "rejected the request")
    if isinstance(error, library.ModelAPIError):
        return "MODEL_ANSWER_INVALID", "gave an answer that is cut off or cannot be read"
    return "MODEL_ERROR", "could not be asked, for a reason that the server's log tells"


def _never_connected(error: BaseException) -> bool:
    """Whether a broken connection is behind it: the SDKs' aiohttp transport calls every such error a timeout."""
    broken = (cause for cause in _causes(error) if isinstance(cause, aiohttp.ClientConnectionError))
    return any(not isinstance(cause, TimeoutError) for cause in broken)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _metadata(error: Exception, handle: str) -> dict[str, str]:
    metadata = {"handle": handle}
    if isinstance(error, library.ModelHTTPError):
        metadata["http_status"] = str(error.status_code)
    if isinstance(error, library.ModelAPIError) and error.provider_error_type:
        metadata["provider_error_type"] = error.provider_error_type[:_MOST_TOLD]
    return metadata


def _providers_words(error: Exception) -> str:
    """What the provider itself says, out of an error body like {"error": {"message": ...}} or {"message": ...}."""
    body = error.body if isinstance(error, library.ModelHTTPError) else None
    if not isinstance(body, dict):
        return ""
    inner = body.get("error", body)
    message = inner.get("message") if isinstance(inner, dict) else inner
    return " ".join(message.split()) if isinstance(message, str) else ""
