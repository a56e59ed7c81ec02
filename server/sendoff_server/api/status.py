"""How an error of ours leaves through gRPC: a `google.rpc.Status` with exactly one `ErrorInfo` and what fits beside it.

It travels in the trailing metadata, of which clients take up to 8 KB by default; so the number of violations told and
the length of texts are bounded here, whatever the error holds.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from sendoff_server.errors import DOMAIN, NotFound, QuotaExceeded, Refused, ServiceError, Violation

Context = grpc.aio.ServicerContext[Any, Any]

INTERNAL_REASON = "INTERNAL"
_INTERNAL_MESSAGE = "the server made a mistake; it is logged"
_DETAILS_KEY = "grpc-status-details-bin"
_MESSAGE_BYTES = 768
_VALUE_BYTES = 512
_VIOLATIONS_BYTES = 2_048
_RESOURCE_TYPES = {
    "agent_id": "sendoff.v1.Agent",
    "block_id": "sendoff.v1.Block",
    "conversation_id": "sendoff.v1.Conversation",
    "delivery_id": "sendoff.v1.Delivery",
    "endpoint_id": "sendoff.v1.CallbackEndpoint",
    "file_id": "sendoff.v1.File",
    "handle": "sendoff.v1.Model",
    "message_id": "sendoff.v1.Message",
    "run_id": "sendoff.v1.Run",
    "step_id": "sendoff.v1.Step",
    "tool_id": "sendoff.v1.Tool",
}
"""By the name under which an error's metadata has the resource's name."""


def pack(error: ServiceError) -> status_pb2.Status:
    """The error with all its details."""
    metadata = {key: _cut(value, _VALUE_BYTES) for key, value in error.metadata.items()}
    status = _status(grpc.StatusCode[error.grpc_code], error.message, error.reason, metadata)
    if isinstance(error, Refused) and error.violations:
        status.details.add().Pack(_bad_request(error.violations))
    if isinstance(error, NotFound):
        status.details.add().Pack(_resource(metadata))
    if isinstance(error, QuotaExceeded):
        status.details.add().Pack(_quota(error.quota, metadata["subject"]))
    if error.retry_after_s is not None:
        status.details.add().Pack(details.RetryInfo(retry_delay=_duration(error.retry_after_s)))
    return status


def internal() -> status_pb2.Status:
    """What a caller learns of an error that nobody foresaw: that there was one."""
    return _status(grpc.StatusCode.INTERNAL, _INTERNAL_MESSAGE, INTERNAL_REASON, {})


async def abort(context: Context, status: status_pb2.Status) -> NoReturn:
    """End the call with that status. Raises grpc.aio.AbortError, which is to leave the handler."""
    code = _CODES[status.code]
    context.set_code(code)  # for those who ask how it ended: what is aborted with is kept nowhere
    await context.abort(code, status.message, ((_DETAILS_KEY, status.SerializeToString()),))


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _status(code: grpc.StatusCode, message: str, reason: str, metadata: dict[str, str]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=_cut(message, _MESSAGE_BYTES))
    status.details.add().Pack(details.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    return status


def _bad_request(violations: tuple[Violation, ...]) -> details.BadRequest:
    """The violations from the first on, as many as fit."""
    told = details.BadRequest()
    for violation in violations:
        told.field_violations.add(
            field=_cut(violation.field, _VALUE_BYTES), description=_cut(violation.description, _VALUE_BYTES)
        )
        if told.ByteSize() > _VIOLATIONS_BYTES:
            del told.field_violations[-1]
            break
    return told


def _quota(name: str, subject: str) -> details.QuotaFailure:
    told = details.QuotaFailure()
    told.violations.add(subject=subject, description=name)
    return told


def _resource(metadata: dict[str, str]) -> details.ResourceInfo:
    key, name = next(iter(metadata.items()))
    return details.ResourceInfo(resource_type=_RESOURCE_TYPES[key], resource_name=name)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(math.ceil(seconds * 1e9))
    return duration


def _cut(text: str, most_bytes: int) -> str:
    """The text, or as much of its beginning as has so many bytes."""
    data = text.encode()
    return text if len(data) <= most_bytes else data[: most_bytes - 3].decode(errors="ignore") + "…"
