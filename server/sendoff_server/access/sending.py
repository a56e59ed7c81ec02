"""What a message needs, beside the permission to send."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.access.gate import require
from sendoff_server.access.principal import Permission, acting

_ANSWERS = frozenset({"approval", "tool_return"})
_CANCELLING = frozenset({v1.WHEN_BUSY_INTERRUPT, v1.WHEN_BUSY_ROLLBACK})


def may_send(request: v1.CreateMessageAsyncRequest) -> None:
    """Who answers actions by messages needs what RespondToActions needs, and who has runs under way cancelled what
    CancelRun needs. Raises PermissionDenied."""
    answers = any(message.WhichOneof("kind") in _ANSWERS for message in request.messages.messages)
    if answers or request.scheduling.when_busy in _CANCELLING:
        require(acting(), Permission.STEER)
