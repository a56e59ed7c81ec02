"""Takes a claimed run to its recorded end.

A run's own failure is an outcome, not an exception. Three things end an execution early: a cancel that somebody asked
for and the run's deadline, which are recorded as the run's end; and the end of this process, which records nothing, so
that the next process goes on from the last commit.

After a crash the run is claimed again. What it has done is read from its log (`retrace`), and it goes on from there. An
answer that was under way is retracted in the log, so that watchers forget the text they saw of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import structlog

from sendoff import v1
from sendoff_server.body import Body, End, Next, Settle, Work
from sendoff_server.clock import SECOND_NS, Clock, nanoseconds
from sendoff_server.lifecycle import decisions_of, input_messages, log_fields
from sendoff_server.meter import UNMETERED_WORK, WorkMeter
from sendoff_server.runs.deadline import alarm, overdue
from sendoff_server.runs.draft import run_error
from sendoff_server.runs.following import PAGE_EVENTS
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.presence import Presence
from sendoff_server.runs.recorder import MovedOn, Recorder
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Cancel, Claim, LeftOut, Release
from sendoff_server.store.port import Fenced, Poisoned, Store, StoreFailed
from sendoff_server.tracer import NO_TRACER, Tracer

MAX_ATTEMPTS = 20
"""How often a run is begun again before it is held to be what kills the process."""

STORE_PAUSE_S = 0.5
"""Before work is begun again whose reading from the store failed."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Interruption:
    """How a cancel and a deadline reach a run that is executed."""

    task: asyncio.Task[None] | None = None
    end: End | None = None
    """Set when the run is to end early."""
    open: bool = False
    """Whether the task may be interrupted right now; else it looks at `end` before it goes on."""

    def cancel(self, cancel: Cancel) -> None:
        """Somebody was told that the run will be cancelled, so that wins over a deadline."""
        self.end = cancelled(cancel)
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

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        hub: Hub,
        body: Body,
        presence: Presence,
        clock: Clock,
        tracer: Tracer = NO_TRACER,
        meter: WorkMeter = UNMETERED_WORK,
    ) -> None:
        self._store = store
        self._meter = meter
        self._commits = commits
        self._hub = hub
        self._body = body
        self._presence = presence
        self._clock = clock
        self._tracer = tracer

    async def execute(self, claim: Claim, interruption: Interruption, keep_lease: Callable[[], bool]) -> None:
        """Take the run to its end, and hand its lane on or, if `keep_lease` says so then, let go of it."""
        structlog.contextvars.bind_contextvars(**log_fields(claim.tenant, claim.run))
        try:
            with self._hub.executing(claim.tenant, claim.run) as topic, self._tracer.executing(claim.run):
                recorder = Recorder(
                    self._commits,
                    self._clock,
                    claim,
                    topic,
                    self._presence,
                    keep_lease,
                    self._tracer,
                    self._meter,
                )
                await self._to_recorded_end(claim, recorder, interruption)
        except MovedOn:
            log.warning("a run at work has moved on without this process")
            self._meter.lost()
            # Outside of the block above, because what is launched by the release may be this same run.
            await self._commits.submit(Release(claim.lane, keep_lease()))

    async def _to_recorded_end(self, claim: Claim, recorder: Recorder, interruption: Interruption) -> None:
        work = _work(claim)
        try:
            await recorder.finish(await self._until_end(claim, work, recorder, interruption))
        except Poisoned:
            log.exception("result can not be stored", run_id=claim.run.id)
            recorder.start_over()
            await self._patiently(work, lambda: self._recall(work, recorder, "FAILED"))
            await recorder.finish(await self._closed(work, recorder, _not_storable()))

    async def _until_end(self, claim: Claim, work: Work, recorder: Recorder, interruption: Interruption) -> End:
        if claim.cancel_wanted is not None:
            interruption.cancel(claim.cancel_wanted)
        try:
            return await self._to_end(work, recorder, interruption)
        except asyncio.CancelledError:
            if interruption.end is None:
                raise
            _uncancel()
            end = interruption.end
        except (MovedOn, Poisoned, Fenced):
            raise
        except Exception:
            log.exception("run failed inside", run_id=claim.run.id)
            end = _failed_inside()
        finally:
            interruption.open = False
        return await self._closed(work, recorder, end)

    async def _to_end(self, work: Work, recorder: Recorder, interruption: Interruption) -> End:
        """Begin, and begin again while the store cannot be read."""
        reason = "SERVER_RESTARTED"
        while True:
            try:
                await self._recall(work, recorder, reason)
                end = self._ended_before(work, recorder, interruption)
                if end is not None:
                    return await self._closed(work, recorder, end)
                return await self._begin_and_work(work, recorder, interruption)
            except StoreFailed as failure:
                interruption.open = False
                recorder.start_over()
                reason = "FAILED"
                await self._pause(work, failure)

    def _ended_before(self, work: Work, recorder: Recorder, interruption: Interruption) -> End | None:
        """The end of a run that is not to go on."""
        if interruption.end is not None:
            if work.paused_by and decisions_of(work.request) is not None:
                recorder.draft.start()  # it takes with it what it was to answer
            return interruption.end
        if work.run.attempt >= MAX_ATTEMPTS:
            return _given_up(work.run.attempt)
        return overdue(recorder.draft.run, work.request.limits, self._clock.now_ns())

    async def _begin_and_work(self, work: Work, recorder: Recorder, interruption: Interruption) -> End:
        if not recorder.draft.run.attempt:
            self._meter.began(work.tenant, waited_s(work, self._clock.now_ns()))
        recorder.draft.start()
        with alarm(self._clock, recorder.draft.run, work.request.limits, interruption.expire):
            interruption.open = True
            return await self._work_through(work, recorder)

    async def _work_through(self, work: Work, recorder: Recorder) -> End:
        while True:
            following = self._body.next_step(work, recorder.done)
            if isinstance(following, End):
                return following
            recorder.open_step(following)
            with self._in(work, following):
                result = await self._body.perform(work, following, recorder.done, recorder)
            recorder.take(result, work.input)
            if result.end is not None:
                return result.end
            if recorder.owes_record(result) and not isinstance(self._body.next_step(work, recorder.done), End):
                await recorder.record()

    def _in(self, work: Work, following: Next) -> AbstractContextManager[None]:
        """The step that it belongs to, if it belongs to one, is what traces tell it under."""
        return nullcontext() if isinstance(following, Settle) else self._tracer.stepping(work.run, following.step.id)

    async def _closed(self, work: Work, recorder: Recorder, end: End) -> End:
        """The same end, with all drafted that it needs."""
        if recorder.draft.run.attempt:
            recorder.take(await self._patiently(work, lambda: self._body.close(work, recorder.done, end)), work.input)
        return end

    async def _recall(self, work: Work, recorder: Recorder, reason: str) -> None:
        """What a process, now gone, has done of the run, or this one before it lost touch with the store."""
        if not recorder.has_begun:
            return
        events: list[v1.RunEvent] = []
        while page := await self._store.events(work.run.id, len(events), PAGE_EVENTS):
            events += page
        steps = await self._store.steps(work.run.id)
        recorder.recall(events, steps[-1] if steps else None, reason)

    async def _patiently(self, work: Work, act: Callable[[], Awaitable[T]]) -> T:
        """Do it, again and again while the store cannot be read."""
        while True:
            try:
                return await act()
            except StoreFailed as failure:
                await self._pause(work, failure)

    async def _pause(self, work: Work, failure: StoreFailed) -> None:
        log.warning("store can not be read; waiting", run_id=work.run.id, error=str(failure))
        await self._clock.sleep(STORE_PAUSE_S)


def cancelled(cancel: Cancel) -> End:
    """How a run ends that was cancelled like that."""
    reason = v1.STOP_REASON_SUPERSEDED if cancel.superseded else v1.STOP_REASON_CANCELLED
    left_out = LeftOut.CONVERSATION if cancel.rollback else LeftOut.NOTHING
    return End(reason, cancel_reason=cancel.reason, left_out=left_out)


def waited_s(work: Work, now_ns: int) -> float:
    """Since it was accepted, or since the time that it was to start at."""
    may_start_ns = max(nanoseconds(work.run.create_time), work.request.scheduling.start_time.ToNanoseconds())
    return max(0, now_ns - may_start_ns) / SECOND_NS


def _work(claim: Claim) -> Work:
    request = v1.CreateMessageAsyncRequest.FromString(claim.request)
    return Work(
        tenant=claim.tenant,
        lane=claim.lane,
        seq=claim.seq,
        run=claim.run,
        request=request,
        input=input_messages(claim.run, request, claim.seq),
        paused_by=claim.paused_by,
    )


def _failed_inside() -> End:
    return End(v1.STOP_REASON_ERROR, run_error("INTERNAL", "the server failed at this run; its log says why"))


def _not_storable() -> End:
    return End(v1.STOP_REASON_ERROR, run_error("RESULT_NOT_STORABLE", "the result can not be written to the store"))


def _given_up(attempts: int) -> End:
    told = f"begun {attempts} times, and each time the server's process ended before the run did"
    return End(v1.STOP_REASON_ERROR, run_error("TOO_MANY_ATTEMPTS", told, metadata={"attempts": str(attempts)}))


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
