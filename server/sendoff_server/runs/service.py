"""What callers can do with runs. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from sendoff import v1
from sendoff_server import validation
from sendoff_server.admission_port import Admission
from sendoff_server.clock import Clock
from sendoff_server.errors import Draining, RunNotFound, RunStillOpen, Unsupported, Violation
from sendoff_server.lifecycle import is_terminal
from sendoff_server.page_fit import fitting
from sendoff_server.paging import Page, by_time
from sendoff_server.runs.accepting import Acceptance, Keyed, keyed, one_request_id
from sendoff_server.runs.answering import Answering
from sendoff_server.runs.decisions import answers
from sendoff_server.runs.draft import Draft
from sendoff_server.runs.explaining import explained
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.message_list import DEFAULT_ENTRIES, MessageList
from sendoff_server.runs.scheduler import Scheduler
from sendoff_server.runs.waiting import show_wait
from sendoff_server.runs.waits import Waits
from sendoff_server.runs.watching import Watching
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Accepted, Cancel, Key, MarkCancel, Marked, Outdated, Pending
from sendoff_server.store.port import Store
from sendoff_server.store.questions import Queued, RunDeletion, RunQuery
from sendoff_server.tracer import NO_TRACER, Tracer
from sendoff_server.validation import limits

DEFAULT_RUNS = 50


class RunService:
    """The use cases of runs."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        scheduler: Scheduler,
        hub: Hub,
        acceptance: Acceptance,
        answering: Answering,
        waits: Waits,
        watching: Watching,
        admission: Admission,
        clock: Clock,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._store = store
        self._commits = commits
        self._scheduler = scheduler
        self._hub = hub
        self._acceptance = acceptance
        self._answering = answering
        self._waits = waits
        self._watching = watching
        self._admission = admission
        self._clock = clock
        self._tracer = tracer
        self._message_list = MessageList(store)
        self._drained_at: float | None = None
        """By the clock; None until it drains."""

    def drain(self, lasts_s: float = 0.0) -> None:
        """Accept nothing from now on, and have watchers end. Runs under way have so long to end."""
        self._drained_at = self._clock.monotonic() + lasts_s
        self._waits.drain()
        self._watching.drain()

    def stop(self) -> None:
        """Have those end who were let wait and watch until now."""
        self._watching.stop()

    def shed_watchers(self) -> None:
        """Have watches end that can be gone on with elsewhere or later."""
        self._watching.shed()

    def refuse_if_draining(self) -> None:
        """Raises Draining once nothing is accepted any more."""
        if self._drained_at is not None:
            raise Draining(over_in_s=max(0.0, self._drained_at - self._clock.monotonic()))

    # ---- accept ----

    async def create(
        self,
        tenant: str,
        request: v1.CreateMessageAsyncRequest,
        idempotency_key: str | None,
        *,
        background: bool = True,
        repeated_within_s: float | None = None,
    ) -> tuple[v1.Run, bool]:
        """Accept a request; the run, and whether it was accepted before. On return it is durable.

        With `repeated_within_s` its caller says that he may have sent it before, so long ago at most.

        Without `background` the caller waits for the answer, and OTIDs do not make a repeated request the same one:
        programs use one for many messages there.

        Raises QuotaExceeded and Overloaded before anything of it is looked at, so that this costs little.
        """
        self.refuse_if_draining()
        async with self._admission.accepting(tenant, answers=answers(request)):
            return await self._create(tenant, request, idempotency_key, background, repeated_within_s)

    async def _create(
        self,
        tenant: str,
        request: v1.CreateMessageAsyncRequest,
        idempotency_key: str | None,
        background: bool,
        repeated_within_s: float | None,
    ) -> tuple[v1.Run, bool]:
        validation.check_create_message(request)
        request_id = one_request_id(request, idempotency_key)
        request = await self._acceptance.checked(tenant, request)
        named = keyed(request, request_id, background=background, repeated_within_s=repeated_within_s)
        if answers(request):
            run, replayed = await self._answering.create(tenant, request, named)
        elif request.validate_only:
            return self._acceptance.preview(request, request_id), False
        else:
            run, replayed = await self._accept(tenant, request, named)
        return (self._hub.known(tenant, run.id) or run) if replayed else run, replayed

    async def _accept(self, tenant: str, request: v1.CreateMessageAsyncRequest, named: Keyed) -> tuple[v1.Run, bool]:
        """Accept a request that answers nothing."""
        accept = self._acceptance.accept(tenant, request, named, lease=self._scheduler.has_room())
        with self._tracer.accepting(accept.run):
            outcome = cast(Accepted, await self._commits.submit(accept))
        if isinstance(outcome, Pending):
            raise await self._answering.refusal_of_pending(tenant, named.lane, outcome.run_id)
        return self._acceptance.answer(accept, outcome)

    # ---- read ----

    async def get(self, tenant: str, request: v1.GetRunRequest) -> v1.Run:
        validation.check_get_run(request)
        return await self._run(tenant, request.run_id)

    async def list(self, tenant: str, request: v1.ListRunsRequest) -> v1.ListRunsResponse:
        validation.check_list_runs(request)
        page = Page(request, DEFAULT_RUNS)
        query = _query(tenant, request, page.after, page.enough)
        runs, token = page.of(by_time(await self._store.list_runs(query)))
        return v1.ListRunsResponse(runs=runs, next_page_token=token)

    async def list_events(self, tenant: str, request: v1.ListRunEventsRequest) -> v1.ListRunEventsResponse:
        validation.check_list_run_events(request)
        run = await self._stored_run(tenant, request.run_id)
        limit = min(request.page_size or DEFAULT_ENTRIES, limits.MAX_PAGE_SIZE)
        events = fitting(await self._store.events(request.run_id, request.after_sequence, limit), limit)
        reached = events[-1].sequence if events else request.after_sequence
        last_sequence = max(run.last_sequence, events[-1].sequence if events else 0)
        finished = is_terminal(run) or bool(events and events[-1].HasField("finished"))
        return v1.ListRunEventsResponse(
            events=events, last_sequence=last_sequence, complete=finished and reached >= last_sequence
        )

    async def list_messages(self, tenant: str, request: v1.ListRunMessagesRequest) -> v1.ListRunMessagesResponse:
        validation.check_list_run_messages(request)
        run = await self._stored_run(tenant, request.run_id)
        return await self._message_list.page(tenant, run, request)

    async def _run(self, tenant: str, run_id: str) -> v1.Run:
        return self._hub.known(tenant, run_id) or await self._stored_run(tenant, run_id)

    async def _stored_run(self, tenant: str, run_id: str) -> v1.Run:
        run = (await self._store.runs(tenant, [run_id])).get(run_id)
        if run is None:
            raise RunNotFound(run_id)
        if is_terminal(run):
            self._hub.remember(tenant, run)
        if run.status != v1.RUN_STATUS_CREATED:
            return run
        return self._with_wait(run, await self._store.queued(run.id))

    def _with_wait(self, run: v1.Run, queued: Queued | None) -> v1.Run:
        """A run as stored; if it has not started, with what it waits for."""
        if run.status != v1.RUN_STATUS_CREATED or queued is None or self._scheduler.executes(run.id):
            return run
        told = v1.Run()
        told.CopyFrom(run)
        show_wait(told, queued, self._clock.now_ns())
        return told

    async def explain(self, tenant: str, request: v1.ExplainRunRequest) -> v1.ExplainRunResponse:
        """What keeps a run, as of one moment. Raises RunNotFound."""
        validation.check_explain_run(request)
        standing = await self._store.standing(tenant, request.run_id)
        if standing is None:
            raise RunNotFound(request.run_id)
        run = self._hub.known(tenant, request.run_id) or self._with_wait(standing.run, standing.queued)
        return explained(run, standing)

    # ---- follow ----

    async def wait(self, tenant: str, request: v1.WaitRunRequest) -> v1.Run:
        validation.check_wait_run(request)
        with self._admission.watching(tenant):
            return await self._waits.wait(request, lambda run_id: self._run(tenant, run_id))

    def check_watching(self, tenant: str) -> None:
        """For who is to watch what he sends, before he sends it. Raises QuotaExceeded, Overloaded."""
        self._admission.check_watching(tenant)

    async def watch(
        self, tenant: str, request: v1.WatchRunRequest, *, through_drain: bool = False, through_need: bool = False
    ) -> AsyncGenerator[v1.WatchRunResponse]:
        """The frames of a watch, made as they are asked for; closing the generator ends it.

        `through_drain`: it goes on while the server drains, because its caller waits for the run's answer.
        `through_need`: and while memory runs out, because its caller cannot go on from where a stream ends.
        Raises RunNotFound, QuotaExceeded, Overloaded.
        """
        with self._admission.watching(tenant, through_need=through_need):
            validation.check_watch_run(request)
            run = await self._run(tenant, request.run_id)
            frames = self._watching.frames(
                run,
                request,
                lambda run_id: self._run(tenant, run_id),
                through_drain=through_drain,
                through_need=through_need,
            )
            async with aclosing(frames):
                async for frame in frames:
                    yield frame

    # ---- cancel ----

    async def cancel(self, tenant: str, request: v1.CancelRunRequest) -> v1.Run:
        """Ask a run to stop. On return the request is durable.

        What a run that has stopped still waits for is denied, and with that its turn ends.
        """
        validation.check_cancel_run(request)
        run = await self._cancel(tenant, request.run_id, Cancel(reason=request.reason, rollback=request.rollback))
        if not run.pending_actions:
            return run
        if request.rollback:
            told = "the run has ended, so its messages stay; cancel it without rollback to deny what it waits for"
            raise Unsupported([Violation("rollback", told)])
        return await self._answering.cancel(tenant, run, request.reason)

    async def cancel_all(self, tenant: str, agent_id: str) -> None:
        """Cancel the runs of an agent that have not ended, and wait for their end."""
        await self._cancel_every(RunQuery(tenant=tenant, agent_id=agent_id, active=True), "the agent is deleted")

    async def cancel_all_of_conversation(self, tenant: str, conversation_id: str) -> None:
        """Cancel the runs of a conversation that have not ended, and wait for their end."""
        query = RunQuery(tenant=tenant, lane=conversation_id, active=True)
        await self._cancel_every(query, "the conversation is deleted")

    async def _cancel_every(self, query: RunQuery, reason: str) -> None:
        query = replace(query, limit=limits.MAX_PAGE_SIZE)
        while runs := await self._store.list_runs(query):
            self.refuse_if_draining()
            # Newest first, so that no cancelled head hands its lane to a run that is to be cancelled as well.
            for run in runs:
                await self._cancel(query.tenant, run.id, Cancel(reason=reason))
            await asyncio.gather(*(self.ended(query.tenant, run.id) for run in runs))

    async def ended(self, tenant: str, run_id: str) -> v1.Run:
        """The run once it has ended. Raises Draining if the server stops before, and RunNotFound."""
        wait = v1.WaitRunRequest(run_id=run_id)
        while not is_terminal(run := await self._waits.wait(wait, lambda run_id: self._run(tenant, run_id))):
            self.refuse_if_draining()
        return run

    async def _cancel(self, tenant: str, run_id: str, cancel: Cancel) -> v1.Run:
        while True:
            run = await self._stored_run(tenant, run_id)
            if is_terminal(run):
                return run
            if run.status == v1.RUN_STATUS_CREATED and not self._scheduler.executes(run_id):
                cancelled = await self.end_queued(tenant, run, v1.STOP_REASON_CANCELLED, cancel_reason=cancel.reason)
                if cancelled is not None:
                    return cancelled
                continue
            marked = cast(Marked, await self._commits.submit(MarkCancel(tenant, run_id, cancel)))
            if marked.run is None:
                raise RunNotFound(run_id)
            self._scheduler.cancel(run_id, cancel)
            return _cancelling(marked.run)

    async def end_queued(
        self,
        tenant: str,
        run: v1.Run,
        reason: v1.StopReason.ValueType,
        error: v1.RunError | None = None,
        *,
        cancel_reason: str = "",
    ) -> v1.Run | None:
        """End a run that nobody executes; None if somebody began to, meanwhile."""
        if self._scheduler.executes(run.id):
            return None
        draft = Draft(run, self._clock)
        draft.end(reason, error, cancel_reason=cancel_reason)
        progress = draft.progress(holds_lease=False, tenant=tenant)
        result = await self._commits.submit(progress)
        if isinstance(result, Outdated):
            return None
        self._hub.ended(tenant, progress.run)
        return progress.run

    # ---- delete ----

    async def delete(self, tenant: str, request: v1.DeleteRunRequest) -> v1.DeleteRunResponse:
        """Delete a run that has ended; its messages stay in the conversation. Who watches it hears that it is gone."""
        validation.check_delete_run(request)
        match await self._store.delete_run(tenant, request.run_id):
            case RunDeletion.MISSING:
                raise RunNotFound(request.run_id)
            case RunDeletion.UNFINISHED:
                raise RunStillOpen(request.run_id, "has not ended")
            case RunDeletion.AWAITED:
                raise RunStillOpen(request.run_id, "waits for answers to its tool calls")
        self._hub.forget(request.run_id)
        return v1.DeleteRunResponse()


def _cancelling(run: v1.Run) -> v1.Run:
    if is_terminal(run):
        return run
    told = v1.Run()
    told.CopyFrom(run)
    told.status = v1.RUN_STATUS_RUNNING
    told.phase = v1.RUN_PHASE_CANCELLING
    return told


def _query(tenant: str, request: v1.ListRunsRequest, after: tuple[int, str] | None, limit: int) -> RunQuery:
    lane = request.conversation_id or None
    if lane == "default":
        lane = request.agent_id or None
    return RunQuery(
        tenant=tenant,
        agent_id=request.agent_id or None,
        agent_ids=request.agent_ids,
        lane=lane,
        statuses=request.statuses,
        stop_reasons=request.stop_reasons,
        background=request.background if request.HasField("background") else None,
        active=request.active if request.HasField("active") else None,
        key=Key("request", request.request_id) if request.HasField("request_id") else None,
        otid=request.otid if request.HasField("otid") else None,
        newest_first=request.order_by in ("", "create_time desc"),
        after=after,
        limit=limit,
    )
