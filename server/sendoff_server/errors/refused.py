"""Errors that say: change the request."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff_server.errors.base import ServiceError, Violation


class Refused(ServiceError):
    """The request can never work as it is."""

    def __init__(self, message: str, violations: Sequence[Violation] = (), **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.violations = tuple(violations)


class InvalidRequest(Refused):
    """The request breaks rules of the contract; every violation is named at once."""

    reason = "INVALID_REQUEST"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 422

    def __init__(self, violations: Sequence[Violation]) -> None:
        told = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations[:8])
        more = f"; and {len(violations) - 8} more" if len(violations) > 8 else ""
        super().__init__(told + more, violations)


class MalformedRequest(Refused):
    """The bytes are not a message of the contract, or some text in them is not UTF-8."""

    reason = "MALFORMED_REQUEST"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 400

    def __init__(self, expected: str) -> None:
        super().__init__(
            f"the request is not a valid {expected}: it is damaged, or a text in it is not UTF-8", expected=expected
        )


class RequestTooLarge(Refused):
    reason = "REQUEST_TOO_LARGE"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 413

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the request has {size} bytes, at most {limit} are accepted",
            size=str(size),
            limit=str(limit),
        )


class Unsupported(Refused):
    """A parameter that this server, or the model chosen, cannot honour."""

    reason = "UNSUPPORTED_FEATURE"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 422

    def __init__(self, violations: Sequence[Violation]) -> None:
        fields = ", ".join(v.field for v in violations)
        told = "; ".join(f"{v.field}: {v.description}" for v in violations)
        super().__init__(f"cannot be honoured: {told}", violations, fields=fields)


class InvalidToolCallIds(Refused):
    reason = "INVALID_TOOL_CALL_IDS"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 400

    def __init__(self, expected: Sequence[str], received: Sequence[str]) -> None:
        super().__init__(
            f"Invalid tool call IDs. Expected '{list(expected)}', but received '{list(received)}'.",
            expected=",".join(expected),
            received=",".join(received),
        )
