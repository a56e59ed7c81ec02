"""Takes a claimed run to its recorded end.

A run's own failure is an outcome, not an exception. Three things end an execution early: a cancel that somebody asked
for and the run's deadline, which are recorded as the run's end; and the end of this process, which records nothing, so
that the next process goes on from the last commit.

After a crash the run is claimed again. The answer that was under way is looked up in the log and retracted there, so
that watchers forget the text they saw of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from sendoff import v1
from sendoff_server.body import Body, End, StepResult, Work
from sendoff_server.clock import Clock
from sendoff_server.lifecycle import input_messages
from sendoff_server.runs.deadline import alarm, overdue
from sendoff_server.runs.draft import run_error
from sendoff_server.runs.following import PAGE_EVENTS
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.recorder import MovedOn, Recorder
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Cancel, Claim, Fenced, LeftOut, Poisoned, Release, Store, StoreFailed

MAX_ATTEMPTS = 20
"""How often a run is begun again before it is held to be what kills the process."""

STORE_PAUSE_S = 0.5
"""Before work is begun again whose reading from the store failed."""

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


def cancelled(cancel: Cancel) -> End:
    """How a run ends that was cancelled like that."""
    reason = v1.STOP_REASON_SUPERSEDED if cancel.superseded else v1.STOP_REASON_CANCELLED
    left_out = LeftOut.CONVERSATION if cancel.rollback else LeftOut.NOTHING
    return End(reason, cancel_reason=cancel.reason, left_out=left_out)


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
