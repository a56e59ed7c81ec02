"""Writes the progress of one run: what is drafted becomes durable, in one commit after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from sendoff import v1
from sendoff_server.body import End, Step, StepResult
from sendoff_server.clock import SECOND_NS, Clock, timestamp
from sendoff_server.lifecycle import elapsed_ns
from sendoff_server.runs.draft import Draft
from sendoff_server.runs.hub import Topic
from sendoff_server.runs.usage import add_tokens, add_usage
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Claim, LeftOut, Outdated

log = structlog.get_logger(__name__)


class MovedOn(Exception):
    """The stored run is not as we left it: somebody ended it while it was queued, or deleted it."""


class Recorder:
    """Writes one run's progress. Is its body's `Live`."""

    def __init__(
        self, commits: GroupCommit, clock: Clock, claim: Claim, topic: Topic, keep_lease: Callable[[], bool]
    ) -> None:
        self._commits = commits
        self._clock = clock
        self._topic = topic
        self._keep_lease = keep_lease
        self._stored = claim.run
        self._step: v1.Step | None = None
        self._under_way: str | None = None
        """Id of the answer that watchers may be seeing."""
        self._answered: str | None = None
        """Id of an answer that is drafted and not yet written."""
        self.draft = Draft(claim.run, clock)

    @property
    def attempt(self) -> int:
        return self.draft.run.attempt

    # ---- Live ----

    async def calling(self, model_handle: str, message_id: str) -> None:
        assert self._step is not None
        if self.draft.run.phase != v1.RUN_PHASE_CALLING_MODEL:
            self.draft.phase(v1.RUN_PHASE_CALLING_MODEL)
        self._step.model_handle = model_handle
        self._under_way = message_id
        started = v1.StepStarted(model_handle=model_handle, index=self._step.index, message_id=message_id)
        self.draft.event("step_started", started, self._step.id)
        await self.record()

    def write(self, part_index: int, kind: str, text: str) -> None:
        assert self._under_way is not None
        self._note_first_output()
        self._topic.write(self._under_way, part_index, kind, text)

    async def back_off(self, reason: str, pause_s: float) -> None:
        self._retract("MODEL_RETRY")
        earliest = timestamp(self._clock.now_ns() + int(pause_s * SECOND_NS))
        log.info("model call is repeated later", run_id=self.draft.run.id, reason=reason, pause_s=round(pause_s, 3))
        wait = v1.WaitInfo(reason="RETRY_BACKOFF", earliest_start_time=earliest)
        self.draft.phase(v1.RUN_PHASE_BACKING_OFF, wait)
        await self.record()
        await self._clock.sleep(pause_s)

    async def compacting(self) -> None:
        self._retract("CONTEXT_OVERFLOW")
        self.draft.phase(v1.RUN_PHASE_COMPACTING)
        await self.record()

    def compacted(self, messages: Sequence[v1.Message], usage: v1.Usage) -> None:
        for message in messages:
            self.draft.message(message)
        add_tokens(self.draft.run.usage, usage)

    # ---- steps ----

    def open_step(self, step: Step) -> None:
        self._step = v1.Step(
            id=step.id,
            run_id=self.draft.run.id,
            index=step.index,
            attempt=self.attempt,
            status=v1.STEP_STATUS_PENDING,
            start_time=timestamp(self._clock.now_ns()),
        )

    def close_step(self, result: StepResult) -> None:
        """Draft what the step came to. It is written with the next record, or with the run's end."""
        assert self._step is not None
        if result.messages:
            self._note_first_output()
            self._answered, self._under_way = self._under_way, None
        for message in result.messages:
            self.draft.message(message)
        self._step.usage.CopyFrom(result.usage)
        self._step.provider_request_id = result.provider_request_id
        add_usage(self.draft.run.usage, result.usage)
        self._end_step(v1.STEP_STATUS_SUCCESS, result.end)

    def _end_step(self, status: v1.StepStatus.ValueType, end: End | None) -> None:
        step = self._step
        if step is None or step.status != v1.STEP_STATUS_PENDING:
            return
        finished = v1.StepFinished(usage=step.usage)
        if end is not None:
            step.stop_reason = finished.stop_reason = end.reason
            if end.error is not None:
                step.error.CopyFrom(end.error)
                status = v1.STEP_STATUS_FAILED
        step.status = status
        step.end_time.CopyFrom(timestamp(self._clock.now_ns()))
        if self._under_way is not None:
            self._retract("CANCELLED" if status == v1.STEP_STATUS_CANCELLED else "FAILED")
        self.draft.event("step_finished", finished, step.id)

    def _retract(self, reason: str) -> None:
        if self._under_way is not None and self._step is not None:
            self.draft.retract(self._under_way, reason, self._step.id)
            self._under_way = None

    def _note_first_output(self) -> None:
        run = self.draft.run
        if not run.HasField("ttft_ns"):
            run.ttft_ns = elapsed_ns(run, self._clock.now_ns())

    # ---- writing ----

    async def record(self) -> None:
        """Write what was drafted. Raises MovedOn, Poisoned, Fenced."""
        await self._write(keep_lease=True, left_out=LeftOut.NOTHING)

    async def finish(self, end: End) -> None:
        """Write what was drafted together with the run's end. Cancelling does not take it back."""
        self._end_step(v1.STEP_STATUS_CANCELLED, end)
        self.draft.end(end.reason, end.error, cancel_reason=end.cancel_reason)
        await self._write(keep_lease=self._keep_lease(), left_out=end.left_out)

    def start_over(self) -> None:
        """Forget what was drafted since the last record; watchers forget the answer that they may be seeing."""
        self.draft = Draft(self._stored, self._clock)
        self._under_way = self._under_way or self._answered
        self._retract("FAILED")
        self._step = None

    async def _write(self, *, keep_lease: bool, left_out: LeftOut) -> None:
        progress = self.draft.progress(step=self._step_as_it_is(), keep_lease=keep_lease, left_out=left_out)
        result = await self._commits.submit(progress)
        if isinstance(result, Outdated):
            raise MovedOn
        self._answered = None
        self._stored = progress.run

    def _step_as_it_is(self) -> v1.Step | None:
        if self._step is None:
            return None
        step = v1.Step()
        step.CopyFrom(self._step)
        return step
