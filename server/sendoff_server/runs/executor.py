"""Takes a claimed run to its recorded end.

A run's own failure is an outcome, not an exception. Three things end an execution early: a cancel that somebody asked
for and the run's deadline, which are recorded as the run's end; and the end of this process, which records nothing, so
that the next process goes on from the last commit.

After a crash the run is claimed again. The answer that was under way is looked up in the log and retracted there, so
that watchers forget the text they saw of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from sendoff import v1
from sendoff_server.body import Body, End, Step, StepResult, Work
from sendoff_server.clock import SECOND_NS, Clock, timestamp
from sendoff_server.lifecycle import elapsed_ns, input_messages
from sendoff_server.runs.deadline import alarm, overdue
from sendoff_server.runs.draft import Draft, run_error
from sendoff_server.runs.following import PAGE_EVENTS
from sendoff_server.runs.hub import Hub, Topic
from sendoff_server.runs.usage import add_tokens, add_usage
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Claim, Fenced, Outdated, Poisoned, Release, Store, StoreFailed

MAX_ATTEMPTS = 20
"""How often a run is begun again before it is held to be what kills the process."""

STORE_PAUSE_S = 0.5
"""Before work is begun again whose reading from the store failed."""

log = structlog.get_logger(__name__)


class MovedOn(Exception):
    """The stored run is not as we left it: somebody ended it while it was queued, or deleted it."""


@dataclass(slots=True)
class Interruption:
    """How a cancel and a deadline reach a run that is executed."""

    task: asyncio.Task[None] | None = None
    end: End | None = None
    """Set when the run is to end early."""
    open: bool = False
    """Whether the task may be interrupted right now; else it looks at `end` before it goes on."""

    def cancel(self, reason: str) -> None:
        """Somebody was told that the run will be cancelled, so that wins over a deadline."""
        self.end = End(v1.STOP_REASON_CANCELLED, cancel_reason=reason)
        self._interrupt()

    def expire(self, end: End) -> None:
        self.end = self.end or end
        self._interrupt()

    def _interrupt(self) -> None:
        if self.open and self.task is not None:
            self.open = False
            self.task.cancel()


class Executor:
    """Executes runs, one call of `execute` each."""

    def __init__(self, store: Store, commits: GroupCommit, hub: Hub, body: Body, clock: Clock) -> None:
        self._store = store
        self._commits = commits
        self._hub = hub
        self._body = body
        self._clock = clock

    async def execute(self, claim: Claim, interruption: Interruption, keep_lease: Callable[[], bool]) -> None:
        """Take the run to its end, and hand its lane on or, if `keep_lease` says so then, let go of it."""
        try:
            with self._hub.executing(claim.tenant, claim.run) as topic:
                recorder = Recorder(self._commits, self._clock, claim, topic, keep_lease)
                await self._to_recorded_end(claim, recorder, interruption)
        except MovedOn:
            # Outside of the block above, because what is launched by the release may be this same run.
            await self._commits.submit(Release(claim.lane, keep_lease()))

    async def _to_recorded_end(self, claim: Claim, recorder: Recorder, interruption: Interruption) -> None:
        try:
            await recorder.finish(await self._until_end(claim, recorder, interruption))
        except Poisoned:
            log.exception("result can not be stored", run_id=claim.run.id)
            recorder.start_over()
            await recorder.finish(_not_storable())

    async def _until_end(self, claim: Claim, recorder: Recorder, interruption: Interruption) -> End:
        if claim.cancel_wanted is not None:
            interruption.cancel(claim.cancel_wanted)
        try:
            while True:
                try:
                    return await self._begin_and_work(claim, recorder, interruption)
                except StoreFailed as failure:
                    interruption.open = False
                    log.warning("store can not be read; waiting", run_id=claim.run.id, error=str(failure))
                    recorder.start_over()
                    await self._clock.sleep(STORE_PAUSE_S)
        except asyncio.CancelledError:
            if interruption.end is None:
                raise
            _uncancel()
            return interruption.end
        except (MovedOn, Poisoned, Fenced):
            raise
        except Exception:
            log.exception("run failed inside", run_id=claim.run.id)
            return End(v1.STOP_REASON_ERROR, run_error("INTERNAL", "the server failed at this run; its log says why"))
        finally:
            interruption.open = False

    async def _begin_and_work(self, claim: Claim, recorder: Recorder, interruption: Interruption) -> End:
        await self._retract_unfinished(claim.run, recorder)
        if interruption.end is not None:
            return interruption.end
        if claim.run.attempt >= MAX_ATTEMPTS:
            return _given_up(claim.run.attempt)
        work = _work(claim)
        if (end := overdue(recorder.draft.run, work.request.limits, self._clock.now_ns())) is not None:
            return end
        _begin(work, recorder)
        with alarm(self._clock, recorder.draft.run, work.request.limits, interruption.expire):
            interruption.open = True
            return await self._work_through(work, recorder)

    async def _work_through(self, work: Work, recorder: Recorder) -> End:
        done: list[StepResult] = []
        while True:
            following = self._body.next_step(work, done)
            if isinstance(following, End):
                return following
            recorder.open_step(following)
            result = await self._body.perform(work, following, recorder)
            recorder.close_step(result)
            if result.end is not None:
                return result.end
            await recorder.record()
            done.append(result)

    async def _retract_unfinished(self, run: v1.Run, recorder: Recorder) -> None:
        """Whatever becomes of a run that a process, now gone, had begun: the answer under way then will not come."""
        if run.attempt == 0:
            return
        unfinished = await self._unfinished(run.id)
        if unfinished is not None:
            recorder.draft.retract(unfinished.step_started.message_id, "SERVER_RESTARTED", unfinished.step_id)

    async def _unfinished(self, run_id: str) -> v1.RunEvent | None:
        """The start of the model call that a process, now gone, left unfinished."""
        started: v1.RunEvent | None = None
        sequence = 0
        while events := await self._store.events(run_id, sequence, PAGE_EVENTS):
            for event in events:
                kind = event.WhichOneof("event")
                if kind == "step_started":
                    started = event
                elif kind in ("step_finished", "message_retracted"):
                    started = None
            sequence = events[-1].sequence
        return started


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
        await self._write(keep_lease=True)

    async def finish(self, end: End) -> None:
        """Write what was drafted together with the run's end. Cancelling does not take it back."""
        self._end_step(v1.STEP_STATUS_CANCELLED, end)
        self.draft.end(end.reason, end.error, cancel_reason=end.cancel_reason)
        await self._write(keep_lease=self._keep_lease())

    def start_over(self) -> None:
        """Forget what was drafted since the last record; watchers forget the answer that they may be seeing."""
        self.draft = Draft(self._stored, self._clock)
        self._under_way = self._under_way or self._answered
        self._retract("FAILED")
        self._step = None

    async def _write(self, *, keep_lease: bool) -> None:
        progress = self.draft.progress(step=self._step_as_it_is(), keep_lease=keep_lease)
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


def _work(claim: Claim) -> Work:
    request = v1.CreateMessageAsyncRequest.FromString(claim.request)
    return Work(
        tenant=claim.tenant,
        lane=claim.lane,
        seq=claim.seq,
        run=claim.run,
        request=request,
        input=input_messages(claim.run, request, claim.seq),
    )


def _begin(work: Work, recorder: Recorder) -> None:
    first = recorder.draft.run.attempt == 0
    recorder.draft.start()
    for message in work.input if first else ():
        recorder.draft.message(message)


def _not_storable() -> End:
    return End(v1.STOP_REASON_ERROR, run_error("RESULT_NOT_STORABLE", "the result can not be written to the store"))


def _given_up(attempts: int) -> End:
    told = f"begun {attempts} times, and each time the server's process ended before the run did"
    return End(v1.STOP_REASON_ERROR, run_error("TOO_MANY_ATTEMPTS", told, metadata={"attempts": str(attempts)}))


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
