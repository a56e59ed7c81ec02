"""What every error that a caller can see has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

DOMAIN = "sendoff"
"""The domain of every `ErrorInfo`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field of a request."""

    field: str
    """Path as in `messages.messages[2].message.content.parts.parts[4].tool_call.name`."""
    description: str


class ServiceError(Exception):
    """An error with a reason, a message for people and the message's values as metadata."""

    reason: ClassVar[str]
    grpc_code: ClassVar[str]
    http_status: ClassVar[int]
    retry_after_s: float | None = None

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata
