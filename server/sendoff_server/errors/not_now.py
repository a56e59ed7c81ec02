"""Errors that say: wait, and repeat."""

from __future__ import annotations

from sendoff_server.errors.base import ServiceError


class NotNow(ServiceError):
    """The same request may work later."""


class QueueFull(NotNow):
    reason = "QUEUE_FULL"
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429

    def __init__(self, queue: str, limit: int, retry_after_s: float = 1.0) -> None:
        super().__init__(
            f"{queue} already holds {limit} waiting runs; wait for some of them to end",
            queue=queue,
            limit=str(limit),
        )
        self.retry_after_s = retry_after_s


class OutboxFull(NotNow):
    reason = "OUTBOX_FULL"
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429

    def __init__(self, limit: int, retry_after_s: float = 5.0) -> None:
        super().__init__(
            f"{limit} callbacks already wait for their receivers; send the request later, or without callback_url",
            limit=str(limit),
        )
        self.retry_after_s = retry_after_s


class Draining(NotNow):
    reason = "DRAINING"
    grpc_code = "UNAVAILABLE"
    http_status = 503
    retry_after_s = 1.0

    def __init__(self, over_in_s: float = 0.0) -> None:
        super().__init__("this server is stopping; send the request again")
        self.over_in_s = over_in_s
        """When it will have stopped, at the latest."""


class StreamTooOld(NotNow):
    """Streams end now and then, so that callers spread over new replicas."""

    reason = "STREAM_TOO_OLD"
    grpc_code = "UNAVAILABLE"
    http_status = 503
    retry_after_s = 0.0

    def __init__(self) -> None:
        super().__init__("this stream has gone on for as long as one may; open the next one")


class StoreUnavailable(NotNow):
    reason = "STORE_UNAVAILABLE"
    grpc_code = "UNAVAILABLE"
    http_status = 503
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("the store does not answer, so nothing was done; send the request again")


class QuotaExceeded(NotNow):
    """A tenant or a key has all that it may have."""

    reason = "QUOTA_EXCEEDED"
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429

    def __init__(self, quota: str, subject: str, limit: float, retry_after_s: float = 1.0) -> None:
        """`subject` as in tenant:acme or key:4f2a."""
        super().__init__(
            f"{subject} is at its quota {quota} of {limit:g}; wait, send less, or have its operator raise it",
            quota=quota,
            subject=subject,
            limit=f"{limit:g}",
        )
        self.retry_after_s = retry_after_s
        self.quota = quota
        self.subject = subject


class Overloaded(NotNow):
    """The process itself has no room; nothing was done."""

    reason = "OVERLOADED"
    grpc_code = "UNAVAILABLE"
    http_status = 503

    def __init__(self, what: str, retry_after_s: float = 1.0) -> None:
        super().__init__(f"this server is overloaded: {what}; send the request again, a little later", what=what)
        self.retry_after_s = retry_after_s
