"""Writes the progress of one run: what is drafted becomes durable, in one commit after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from sendoff import v1
from sendoff_server.body import Ask, Asked, Called, Done, End, Next, Result, Settled, Step
from sendoff_server.clock import SECOND_NS, Clock, timestamp
from sendoff_server.lifecycle import elapsed_ns, is_terminal, left_out_by
from sendoff_server.meter import UNMETERED_WORK, WorkMeter
from sendoff_server.runs.draft import Draft
from sendoff_server.runs.hub import Topic
from sendoff_server.runs.presence import Presence
from sendoff_server.runs.retrace import fold
from sendoff_server.runs.step_record import StepRecord
from sendoff_server.runs.usage import add_tokens, add_usage
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Claim, LeftOut, Outdated, Progress
from sendoff_server.tracer import NO_TRACER, Tracer

log = structlog.get_logger(__name__)


class MovedOn(Exception):
    """The stored run is not as we left it: somebody ended it while it was queued, or deleted it."""


class Recorder:
    """Writes one run's progress. Is its body's `Live`, and keeps what the run has done."""

    def __init__(
        self,
        commits: GroupCommit,
        clock: Clock,
        claim: Claim,
        topic: Topic,
        presence: Presence,
        keep_lease: Callable[[], bool],
        tracer: Tracer = NO_TRACER,
        meter: WorkMeter = UNMETERED_WORK,
    ) -> None:
        self._commits = commits
        self._clock = clock
        self._topic = topic
        self._presence = presence
        self._keep_lease = keep_lease
        self._tracer = tracer
        self._meter = meter
        self._tenant = claim.tenant
        self._stored = claim.run
        self._step: StepRecord | None = None
        self._called_s: float | None = None
        """When the model was called, by the stopwatch; None once it has said something."""
        self._continued: v1.Run | None = None
        self._traced_step = ""
        self.start_over()

    @property
    def has_begun(self) -> bool:
        """Whether the stored log has more to tell than that the run was accepted."""
        return self._stored.attempt > 0

    @property
    def attempt(self) -> int:
        return self.draft.run.attempt

    def start_over(self) -> None:
        """Forget what was drafted since the last record. What the store has is to be recalled then."""
        self.done = Done()
        self.draft = Draft(self._stored, self._clock, partial(fold, self.done))
        self.done.usage = self.draft.run.usage
        self._step = None

    def recall(self, events: Sequence[v1.RunEvent], newest: v1.Step | None, reason: str) -> None:
        """Go on from what is stored: the whole log, and the newest step. An answer that was under way will not come,
        for that reason."""
        for event in events:
            fold(self.done, event)
        self._retract(reason)
        if newest is not None and newest.status == v1.STEP_STATUS_PENDING and self.done.open:
            self._step = StepRecord(newest, self._clock)

    # ---- Live ----

    async def sure(self) -> None:
        await self._presence.sure()

    async def calling(self, model: v1.Model, message_id: str) -> None:
        assert self._step is not None
        self._in_phase(v1.RUN_PHASE_CALLING_MODEL)
        step = self._step.calling(model)
        started = v1.StepStarted(model_handle=model.handle, index=step.index, message_id=message_id)
        self.draft.event("step_started", started, step.id)
        await self.record()
        self._called_s = self._clock.monotonic()

    def write(self, part_index: int, kind: str, text: str) -> None:
        assert self.done.asking is not None
        self._note_first_output()
        self._topic.write(self.done.asking.step_started.message_id, part_index, kind, text)

    async def back_off(self, reason: str, pause_s: float) -> None:
        self._retract("MODEL_RETRY")
        earliest = timestamp(self._clock.now_ns() + int(pause_s * SECOND_NS))
        log.info("model call is repeated later", run_id=self.draft.run.id, reason=reason, pause_s=round(pause_s, 3))
        self._meter.model_repeated(self._step.model_handle if self._step else "", reason)
        wait = v1.WaitInfo(reason="RETRY_BACKOFF", earliest_start_time=earliest)
        self.draft.phase(v1.RUN_PHASE_BACKING_OFF, wait)
        await self.record()
        await self._clock.sleep(pause_s)

    async def compacting(self) -> None:
        self._retract("CONTEXT_OVERFLOW")
        self.draft.phase(v1.RUN_PHASE_COMPACTING)
        await self.record()

    def compacted(self, messages: Sequence[v1.Message]) -> None:
        for message in messages:
            self.draft.message(message)

    def spent(self, usage: v1.Usage) -> None:
        add_tokens(self.draft.run.usage, usage)

    async def tools_begin(self, step_id: str, calls: Sequence[v1.ToolCallStarted]) -> None:
        self._in_phase(v1.RUN_PHASE_EXECUTING_TOOL)
        for call in calls:
            self.draft.event("tool_call_started", call, step_id)
        await self.record()
        if self._step is not None:
            self._step.tools_begin()

    async def tool_ended(self, step_id: str, ended: v1.ToolCallFinished, *, more: bool) -> None:
        self.draft.event("tool_call_finished", ended, step_id)
        if more:
            await self.record()

    # ---- what the body did ----

    def open_step(self, following: Next) -> None:
        """That is done now."""
        if isinstance(following, Ask):
            self._step = StepRecord(self._new_step(following.step), self._clock)

    def _new_step(self, step: Step) -> v1.Step:
        return v1.Step(
            id=step.id,
            run_id=self.draft.run.id,
            agent_id=self.draft.run.agent_id,
            index=step.index,
            attempt=self.attempt,
            status=v1.STEP_STATUS_PENDING,
            start_time=timestamp(self._clock.now_ns()),
            trace_id=self.draft.run.trace.trace_id,
        )

    def take(self, result: Result, given: Sequence[v1.Message] = ()) -> None:
        """Draft what came of it. It is written with the next record, or with the run's end.

        `given`: the run's input, which follows on what settles calls of earlier runs.
        """
        match result:
            case Settled():
                self._take_settled(result)
                self._add(() if self.done.has_input else given)
            case Asked():
                self._take_answer(result)
            case Called():
                self._add(result.messages)
                self._end_step(v1.STEP_STATUS_SUCCESS, result.end)
        if result.opens:
            self.draft.open(result.opens)
        if result.end is not None:
            self.done.open = None  # with this end nothing more is owed
            self.done.settled = True

    def owes_record(self, result: Result) -> bool:
        """Whether that is to be durable before anything else is begun. Calling a tool or a model makes durable what
        came before it; what a tool has given does not wait for that."""
        return isinstance(result, Called) or (isinstance(result, Settled) and bool(self.done.finished))

    def _take_settled(self, result: Settled) -> None:
        self.done.settled = True
        if result.continues is not None:
            self.draft.settle(result.continues, result.resolved)
            self._continued = result.continues
        self._add(result.messages)

    def _take_answer(self, result: Asked) -> None:
        assert self._step is not None
        if result.messages:
            self._note_first_output()
        self._add(result.messages)
        step = self._step.answered(result)
        for turn in result.tokens:
            self.draft.event("token_turn", turn, step.id)
        add_usage(self.draft.run.usage, result.usage)
        if not self.done.open:
            self._end_step(v1.STEP_STATUS_SUCCESS, result.end)

    def _add(self, messages: Sequence[v1.Message]) -> None:
        for message in messages:
            self.draft.message(message)

    def _end_step(self, status: v1.StepStatus.ValueType, end: End | None) -> None:
        if self._step is None or self._step.is_over:
            return
        step = self._step.ended(status, end)
        self._retract("CANCELLED" if step.status == v1.STEP_STATUS_CANCELLED else "FAILED")
        reason = step.stop_reason if step.HasField("stop_reason") else None
        self.draft.event("step_finished", v1.StepFinished(usage=step.usage, stop_reason=reason), step.id)

    def _retract(self, reason: str) -> None:
        asking = self.done.asking
        if asking is not None:
            self.draft.retract(asking.step_started.message_id, reason, asking.step_id)
            if self._step is not None:
                self._step.model_paused()

    def _in_phase(self, phase: v1.RunPhase.ValueType) -> None:
        if self.draft.run.phase != phase:
            self.draft.phase(phase)

    def _note_first_output(self) -> None:
        if self._called_s is not None and self._step is not None:
            self._meter.first_token(self._step.model_handle, self._clock.monotonic() - self._called_s)
            self._called_s = None
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
        left_out = end.left_out or left_out_by(self.draft.run, answered=self.done.answered)
        await self._write(keep_lease=self._keep_lease(), left_out=left_out)

    async def _write(self, *, keep_lease: bool, left_out: LeftOut) -> None:
        step = self._step.copied() if self._step else None
        progress = self.draft.progress(step=step, keep_lease=keep_lease, left_out=left_out, tenant=self._tenant)
        self._topic.writing_to = progress.run.last_sequence
        result = await self._commits.submit(progress)
        if isinstance(result, Outdated):
            raise MovedOn
        if progress.run.last_sequence > self._stored.last_sequence:
            self._stored = progress.run
        self._trace(progress)

    def _trace(self, progress: Progress) -> None:
        """Traces tell each step, and the run, once: when their ends are durable."""
        step = progress.step
        if step is not None and step.status != v1.STEP_STATUS_PENDING and step.id != self._traced_step:
            self._traced_step = step.id
            self._tracer.step_ended(progress.run, step)
        if is_terminal(progress.run):
            self._tracer.run_ended(progress.run, self._continued, self.done.recoveries)
