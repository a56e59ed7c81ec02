"""Ends of runs whose model could not be asked, or failed."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.body import End
from sendoff_server.errors import ModelNotFound
from sendoff_server.models.port import ModelFailed


def no_model(handle: str) -> End:
    """There is no such model, or not any more."""
    missing = ModelNotFound(handle)
    error = v1.RunError(reason=missing.reason, message=missing.message, metadata=missing.metadata)
    return End(v1.STOP_REASON_ERROR, error)


def failed_by(failure: ModelFailed) -> End:
    """The model's failure is the run's."""
    error = v1.RunError(
        reason=failure.reason, message=failure.message, metadata=failure.metadata, retryable=failure.retryable
    )
    return End(failure.stop_reason, error)
