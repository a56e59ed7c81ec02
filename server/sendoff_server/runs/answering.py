"""Answering what a conversation waits for: finding what is pending, and accepting the run that continues.

Somebody else may answer meanwhile, or deny what waits by a plain message. So what is pending is read first, then the
store is asked for exactly that; if it is not so any more, it is read again and decided anew. What was read twice the
same and is refused twice is held by a run that works on the conversation and will settle it.

An answer that was given before is not given again: its caller gets the run that dealt with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.errors import InvalidToolCallIds, NoPendingAction, PendingApproval, ServiceError
from sendoff_server.lifecycle import is_terminal, lane_of
from sendoff_server.runs import decisions as d
from sendoff_server.runs.accepting import Acceptance, Continuation, Keyed, Outcome, keyed_answers
from sendoff_server.runs.action_deadline import denials, expired, outcomes
from sendoff_server.runs.decisions import Decisions
from sendoff_server.runs.scheduler import Scheduler
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Accept, Cancel, Deleted, Mismatched, NoteAnswers, NothingPending, Repeated
from sendoff_server.store.port import Store
from sendoff_server.store.questions import ActionSet
from sendoff_server.tracer import NO_TRACER, Tracer

PAGE_READ = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a lane waits for, or waited for last."""

    actions: ActionSet
    answerer: v1.Run | None
    """The newest run that was to settle them."""

    def is_open(self, now_ns: int) -> bool:
        """Whether an answer is wanted: none has come, or the run that brought it ended before it began."""
        if self.actions.settled or (self.answerer is not None and not is_terminal(self.answerer)):
            return False
        return not expired(self.actions.actions, now_ns)


Plan = Continuation | NoteAnswers | v1.Run | None
"""What to write; or else the run that has dealt with the same answers, or None when they are known and incomplete."""


class Answering:
    """Accepts the runs that continue others."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        scheduler: Scheduler,
        acceptance: Acceptance,
        clock: Clock,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._store = store
        self._commits = commits
        self._scheduler = scheduler
        self._acceptance = acceptance
        self._clock = clock
        self._tracer = tracer

    # ---- a request of CreateMessageAsync ----

    async def create(self, tenant: str, request: v1.CreateMessageAsyncRequest, named: Keyed) -> tuple[v1.Run, bool]:
        """Accept a request that answers all that still waits; the run, and whether the answers were known before.

        `request` has been checked. Raises NoPendingAction, InvalidToolCallIds, ActionAlreadyAnswered, InvalidRequest,
        and what any accept raises.
        """

        async def plan(waiting: Waiting | None) -> Plan:
            return await self._plan_create(tenant, request, named.lane, waiting)

        if request.validate_only:
            planned = await plan(await self._look(tenant, named.lane))
            stopped = planned.stopped if isinstance(planned, Continuation) else None
            return self._acceptance.preview(request, named.request_id, stopped), False
        run, replayed, _ = await self._carry_out(tenant, request, named, plan)
        assert run is not None
        return run, replayed

    async def _plan_create(
        self, tenant: str, request: v1.CreateMessageAsyncRequest, lane: str, waiting: Waiting | None
    ) -> Plan:
        if waiting is None:
            raise NoPendingAction(lane)
        actions = waiting.actions.actions
        given = d.decisions_in(request, actions, await self._request_message_id(tenant, request, waiting))
        if not waiting.is_open(self._clock.now_ns()):
            return await self._handled(tenant, lane, waiting, given, behind=d.input_behind(request))
        answered = d.combined(actions, given)
        if d.waiting(answered):
            raise InvalidToolCallIds(d.waiting(actions), [d.call_of(each) for each in given])
        d.check_kinds(actions, given, d.paths_in(request, len(given)))
        return await self._continuation(tenant, lane, waiting, answered)

    async def _request_message_id(self, tenant: str, request: v1.CreateMessageAsyncRequest, waiting: Waiting) -> str:
        if not d.is_old_form(request):
            return ""
        return await self._message_that_asks(waiting.actions.run_id, waiting.actions.actions)

    # ---- RespondToActions ----

    async def respond(self, tenant: str, lane: str, request: v1.RespondToActionsRequest) -> v1.RespondToActionsResponse:
        """Take answers to some or all of what waits. Raises as `create`."""
        given = request.decisions

        async def plan(waiting: Waiting | None) -> Plan:
            return await self._plan_respond(tenant, lane, given, waiting)

        run, _, still = await self._carry_out(tenant, None, keyed_answers(lane, request), plan)
        return v1.RespondToActionsResponse(run=run, still_pending=still)

    async def _plan_respond(self, tenant: str, lane: str, given: Decisions, waiting: Waiting | None) -> Plan:
        if waiting is None:
            raise NoPendingAction(lane)
        if not waiting.is_open(self._clock.now_ns()):
            return await self._handled(tenant, lane, waiting, given)
        actions = waiting.actions.actions
        answered = d.combined(actions, given)
        d.check_kinds(actions, given, [f"decisions[{index}].approval.approve" for index in range(len(given))])
        if not d.waiting(answered):
            return await self._continuation(tenant, lane, waiting, answered)
        before = d.answered(actions)
        if d.answered(answered) == before:
            return None
        return NoteAnswers(lane=lane, run_id=waiting.actions.run_id, actions=answered, answered_before=before)

    # ---- what the server itself does ----

    async def cancel(self, tenant: str, stopped: v1.Run, reason: str) -> v1.Run:
        """Deny what a run that has stopped still waits for, and end its turn; the run as it is then.

        A run that waits for nothing is returned as it is.
        """
        cancel = Cancel(reason=reason)

        async def plan(waiting: Waiting | None) -> Plan:
            if waiting is None or waiting.actions.run_id != stopped.id or not waiting.is_open(self._clock.now_ns()):
                return None
            denied = denials(waiting.actions.actions, reason or "the run was cancelled")
            return await self._continuation(tenant, lane_of(stopped), waiting, denied, cancel)

        await self._by_the_server(tenant, lane_of(stopped), plan)
        return (await self._store.runs(tenant, [stopped.id])).get(stopped.id, stopped)

    async def expire(self, tenant: str, lane: str, run_id: str, *, may_approve: bool) -> None:
        """Continue a run whose actions nobody has answered in time. Does nothing if somebody has, after all."""

        async def plan(waiting: Waiting | None) -> Plan:
            if waiting is None or waiting.actions.run_id != run_id or not self._is_over(waiting):
                return None
            settled = outcomes(waiting.actions.actions, may_approve=may_approve)
            return await self._continuation(tenant, lane, waiting, settled)

        await self._by_the_server(tenant, lane, plan)

    def _is_over(self, waiting: Waiting) -> bool:
        """Whether the time to answer is over, and nothing is to settle the actions."""
        idle = waiting.answerer is None or is_terminal(waiting.answerer)
        return not waiting.actions.settled and idle and expired(waiting.actions.actions, self._clock.now_ns())

    async def _by_the_server(self, tenant: str, lane: str, plan: Callable[[Waiting | None], Awaitable[Plan]]) -> None:
        try:
            await self._carry_out(tenant, None, Keyed(lane), plan)
        except NoPendingAction:
            return  # a run that works on the conversation settles it

    # ---- how ----

    async def _carry_out(
        self,
        tenant: str,
        request: v1.CreateMessageAsyncRequest | None,
        named: Keyed,
        plan: Callable[[Waiting | None], Awaitable[Plan]],
    ) -> tuple[v1.Run | None, bool, Sequence[v1.PendingAction]]:
        """Plan and write until it fits; the run, whether it was accepted before, and what still waits."""
        refused: Waiting | None = None
        while True:
            waiting = await self._look(tenant, named.lane)
            try:
                planned = await plan(waiting)
            except ServiceError as refusal:
                return await self._known_by_key(tenant, named, refusal), True, ()
            if not isinstance(planned, Continuation | NoteAnswers):
                still = waiting.actions.actions if waiting is not None and planned is None else ()
                return planned, True, [action for action in still if not action.HasField("decision")]
            if isinstance(planned, NoteAnswers):
                still = [action for action in planned.actions if not action.HasField("decision")]
                if not isinstance(await self._commits.submit(planned), NothingPending):
                    return None, False, still
            else:
                accept = await self._accept(tenant, request, named, planned)
                with self._tracer.accepting(accept.run):
                    outcome = cast(Outcome, await self._commits.submit(accept))
                if not isinstance(outcome, NothingPending):
                    return (*self._acceptance.answer(accept, outcome), ())
            if waiting == refused:
                raise NoPendingAction(named.lane)
            refused = waiting

    async def _accept(
        self, tenant: str, request: v1.CreateMessageAsyncRequest | None, named: Keyed, continuation: Continuation
    ) -> Accept:
        request = request or await self._options_of(tenant, continuation.stopped)
        return self._acceptance.continuing(tenant, request, named, continuation, lease=self._scheduler.has_room())

    async def _look(self, tenant: str, lane: str) -> Waiting | None:
        actions = await self._store.actions(tenant, lane)
        if actions is None:
            return None
        answerer = actions.answered_by and (await self._store.runs(tenant, [actions.answered_by])).get(
            actions.answered_by
        )
        return Waiting(actions, answerer or None)

    async def _continuation(
        self,
        tenant: str,
        lane: str,
        waiting: Waiting,
        answered: Sequence[v1.PendingAction],
        cancel: Cancel | None = None,
    ) -> Continuation:
        """Raises NoPendingAction if the conversation was deleted meanwhile, and the run with it."""
        stopped_id = waiting.actions.run_id
        stopped = (await self._store.runs(tenant, [stopped_id])).get(stopped_id)
        if stopped is None:
            raise NoPendingAction(lane)
        return Continuation(stopped, answered, d.answered(waiting.actions.actions), cancel)

    async def _handled(
        self,
        tenant: str,
        lane: str,
        waiting: Waiting,
        given: Decisions,
        behind: Sequence[v1.InputMessage] | None = None,
    ) -> v1.Run:
        """The run that has dealt with these very answers. Raises NoPendingAction for others."""
        run = waiting.answerer
        if run is not None and run.continues_run_id == waiting.actions.run_id:
            kept = await self._request_of(tenant, run.id)
            if d.same_answers(kept, given) and (behind is None or list(behind) == list(d.input_behind(kept))):
                return run
        raise NoPendingAction(lane)

    async def _known_by_key(self, tenant: str, named: Keyed, refusal: ServiceError) -> v1.Run:
        """The run of a request that was accepted before, though what it answers is not pending any more."""
        if named.keys:
            accept = self._acceptance.probe(tenant, named)
            outcome = cast(Outcome, await self._commits.submit(accept))
            if isinstance(outcome, Repeated | Deleted | Mismatched):
                return self._acceptance.answer(accept, outcome)[0]
        raise refusal

    async def _options_of(self, tenant: str, stopped: v1.Run) -> v1.CreateMessageAsyncRequest:
        """A request with all that the stopped run's had, but for what it said and how it was put into its queue."""
        options = await self._request_of(tenant, stopped.id)
        for name in ("input", "messages", "request_id", "scheduling", "validate_only"):
            options.ClearField(name)
        options.limits.ClearField("queue_ttl")
        return options

    async def _request_of(self, tenant: str, run_id: str) -> v1.CreateMessageAsyncRequest:
        return v1.CreateMessageAsyncRequest.FromString(await self._store.run_request(tenant, run_id) or b"")

    # ---- what a caller is told ----

    async def refusal_of_pending(self, tenant: str, lane: str, run_id: str) -> PendingApproval:
        """The refusal of a message that is not to be put behind what that run waits for."""
        waiting = await self._store.actions(tenant, lane)
        actions = waiting.actions if waiting is not None and waiting.run_id == run_id else ()
        return PendingApproval(run_id, await self._message_that_asks(run_id, actions))

    async def _message_that_asks(self, run_id: str, actions: Sequence[v1.PendingAction]) -> str:
        found, position = "", -1
        while page := await self._store.run_messages(run_id, position, PAGE_READ):
            found = d.request_message_id(page, actions) or found
            position = page[-1].position
        return found
