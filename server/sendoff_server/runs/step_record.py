"""The record of a step while it is under way: what it called, what it used, and how long each part took."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.body import Asked, End
from sendoff_server.clock import SECOND_NS, Clock, timestamp


class StepRecord:
    """Keeps a `v1.Step`."""

    def __init__(self, step: v1.Step, clock: Clock) -> None:
        """`step` is taken over; it is PENDING."""
        self._step = step
        self._clock = clock
        self._model_since: float | None = None
        self._model_ns = 0
        self._tools_since: float | None = None

    @property
    def is_over(self) -> bool:
        return self._step.status != v1.STEP_STATUS_PENDING

    @property
    def model_handle(self) -> str:
        return self._step.model_handle

    def calling(self, model: v1.Model) -> v1.Step:
        """The model is called, perhaps not for the first time."""
        self._step.model_handle = model.handle
        self._step.context_window = model.context_window
        self._step.model_call_time.CopyFrom(timestamp(self._clock.now_ns()))
        self._model_since = self._clock.monotonic()
        return self._step

    def model_paused(self) -> None:
        """The call under way gives nothing; what it took counts."""
        if self._model_since is not None:
            self._model_ns += self._since_ns(self._model_since)
            self._model_since = None

    def answered(self, result: Asked) -> v1.Step:
        self.model_paused()
        if result.messages:
            self._step.model_duration_ns = self._model_ns
        self._step.usage.CopyFrom(result.usage)
        self._step.provider_request_id = result.provider_request_id
        self._step.tools_called.extend(result.calls)
        return self._step

    def tools_begin(self) -> None:
        self._tools_since = self._clock.monotonic()

    def ended(self, status: v1.StepStatus.ValueType, end: End | None) -> v1.Step:
        """A step whose end has an error FAILED, whatever the status."""
        step = self._step
        self.model_paused()
        if self._tools_since is not None:
            step.tool_duration_ns += self._since_ns(self._tools_since)
        if end is not None:
            step.stop_reason = end.reason
            if end.error is not None:
                step.error.CopyFrom(end.error)
                status = v1.STEP_STATUS_FAILED
        step.status = status
        step.end_time.CopyFrom(timestamp(self._clock.now_ns()))
        return step

    def copied(self) -> v1.Step:
        """As it is now."""
        step = v1.Step()
        step.CopyFrom(self._step)
        return step

    def _since_ns(self, since: float) -> int:
        return int((self._clock.monotonic() - since) * SECOND_NS)
