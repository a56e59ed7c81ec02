"""A run as its executor is changing it: events are drafted, then handed over as one `Progress`, again and again.

Only who holds the lease of the lane (or ends a queued run) drafts. A draft numbers its events itself, which is safe
because the store refuses a progress that does not follow what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.clock import Clock, timestamp
from sendoff_server.lifecycle import elapsed_ns, is_terminal, lane_of, status_for
from sendoff_server.store.items import LeftOut, Progress
from sendoff_server.store.questions import ACTION_REQUIRED, RUN_FINISHED


class Draft:
    """A private copy of a run, and what is to be added to its log."""

    def __init__(self, run: v1.Run, clock: Clock, told: Callable[[v1.RunEvent], None] = lambda _: None) -> None:
        """`told` hears of each event that is drafted."""
        self.run = v1.Run()
        self.run.CopyFrom(run)
        self._clock = clock
        self._told = told
        self._recorded = run.last_sequence
        self._events: list[v1.RunEvent] = []
        self._messages: list[v1.Message] = []
        self._opens: Sequence[v1.PendingAction] = ()
        self._settles = False
        self._now: Timestamp | None = None

    def _time(self) -> Timestamp:
        """When the first of these events happened; the others of one progress follow at once."""
        if self._now is None:
            self._now = timestamp(self._clock.now_ns())
        return self._now

    def event(self, name: str, happened: ProtobufMessage, step_id: str | None = None) -> None:
        """Draft an event; `name` is its arm in `RunEvent.event`."""
        self.run.last_sequence += 1
        arm: dict[str, Any] = {name: happened}
        event = v1.RunEvent(
            run_id=self.run.id,
            sequence=self.run.last_sequence,
            event_time=self._time(),
            attempt=self.run.attempt,
            step_id=step_id,
            **arm,
        )
        self._events.append(event)
        self._told(event)

    def start(self) -> None:
        """The run goes from CREATED to RUNNING, or begins another attempt after a crash."""
        first = self.run.attempt == 0
        self.run.attempt += 1
        if first:
            self.run.start_time.CopyFrom(self._time())
        self.phase(v1.RUN_PHASE_CALLING_MODEL if first else v1.RUN_PHASE_RECOVERING)

    def phase(self, phase: v1.RunPhase.ValueType, wait: v1.WaitInfo | None = None) -> None:
        self.run.status = v1.RUN_STATUS_RUNNING
        self.run.phase = phase
        self.run.ClearField("wait")
        if wait is not None:
            self.run.wait.CopyFrom(wait)
        self.event("state_changed", v1.RunStateChanged(status=v1.RUN_STATUS_RUNNING, phase=phase, wait=wait))

    def message(self, message: v1.Message) -> None:
        """Add an entry to the conversation and to the log."""
        self._messages.append(message)
        self.event("message", message, message.step_id if message.HasField("step_id") else None)

    def retract(self, message_id: str, reason: str, step_id: str) -> None:
        """Tell watchers that a message whose deltas they may have seen will not come."""
        self.event("message_retracted", v1.MessageRetracted(message_id=message_id, reason=reason), step_id)

    def open(self, actions: Sequence[v1.PendingAction]) -> None:
        """With its end the conversation will wait for these."""
        self._opens = actions
        self.run.pending_actions.extend(actions)
        for action in actions:
            self.event("action_required", action)

    def settle(self, continued: v1.Run, resolved: Sequence[v1.ActionResolved]) -> None:
        """What the conversation has waited for since that run is settled by this one."""
        self._settles = True
        self.run.continues_run_id = continued.id
        self.run.turn_id = continued.turn_id
        for each in resolved:
            self.event("action_resolved", each)

    def end(
        self, reason: v1.StopReason.ValueType, error: v1.RunError | None = None, *, cancel_reason: str = ""
    ) -> None:
        """The run ends, and its log with it."""
        assert not is_terminal(self.run), "nothing leaves a terminal status"
        now_ns = self._clock.now_ns()
        run = self.run
        run.status = status_for(reason)
        run.phase = v1.RUN_PHASE_UNSPECIFIED
        run.stop_reason = reason
        run.ClearField("wait")
        if run.status == v1.RUN_STATUS_FAILED:
            run.error.CopyFrom(error or v1.RunError(reason=v1.StopReason.Name(reason).removeprefix("STOP_REASON_")))
        if cancel_reason:
            run.cancel_reason = cancel_reason
        run.complete_time.CopyFrom(timestamp(now_ns))
        if run.HasField("retention"):
            run.expire_time.CopyFrom(timestamp(now_ns + run.retention.ToNanoseconds()))
        if _wants(run.callback, ACTION_REQUIRED if self._opens else RUN_FINISHED):
            run.callback.next_attempt_time.CopyFrom(run.complete_time)
        run.total_duration_ns = elapsed_ns(run, now_ns)
        run.etag = str(run.last_sequence + 1)
        self.event("finished", v1.RunFinished(run=run))
        self._events[-1].finished.run.last_sequence = run.last_sequence

    def progress(
        self,
        *,
        step: v1.Step | None = None,
        holds_lease: bool = True,
        keep_lease: bool = True,
        left_out: LeftOut = LeftOut.NOTHING,
        tenant: str = "",
    ) -> Progress:
        """All that was drafted since the last time, to be written at once."""
        self.run.etag = str(self.run.last_sequence)
        run = v1.Run()
        run.CopyFrom(self.run)
        progress = Progress(
            lane=lane_of(run),
            run=run,
            after_sequence=self._recorded,
            events=self._events,
            messages=self._messages,
            step=step,
            holds_lease=holds_lease,
            keep_lease=keep_lease,
            opens=self._opens,
            settles=self._settles,
            left_out=left_out,
            tenant=tenant,
        )
        self._recorded = run.last_sequence
        self._events, self._messages, self._opens, self._settles = [], [], (), False
        self._now = None
        return progress


def run_error(
    reason: str, message: str, *, retryable: bool = False, metadata: Mapping[str, str] | None = None
) -> v1.RunError:
    return v1.RunError(reason=reason, message=message, retryable=retryable, metadata=metadata or {})


def _wants(callback: v1.CallbackSummary, kind: str) -> bool:
    """Whether the run's end of that kind is told there."""
    return callback.HasField("url") and (not callback.event_types or kind in callback.event_types)
