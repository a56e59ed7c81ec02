"""Compacting and resetting conversations: each is a run of its conversation, so that it is in order with all others, is
durable once it is accepted, and goes on after a crash.

Neither is put behind other runs: what would be left out of the context is then not what the caller has seen of it.
"""

from __future__ import annotations

import hashlib
from typing import cast

from sendoff import v1
from sendoff_server import ids
from sendoff_server.admission_port import Admission
from sendoff_server.agents.upkeep_port import Upkeep as UpkeepPort
from sendoff_server.agents.upkeep_port import UpkeepRequest
from sendoff_server.clock import SECOND_NS, Clock
from sendoff_server.context.context import MAX_HISTORY_BYTES, ids_shown
from sendoff_server.context.summary import outcome_of
from sendoff_server.errors import CompactionFailed, NothingToCompact, ResetFailed
from sendoff_server.fairness import share_of
from sendoff_server.lifecycle import first_event, lane_of, new_run
from sendoff_server.runs.accepting import Acceptance
from sendoff_server.runs.answering import Answering
from sendoff_server.runs.retention import Retention
from sendoff_server.runs.scheduler import Scheduler
from sendoff_server.runs.service import RunService
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Accept, Accepted, Key, Pending
from sendoff_server.store.port import Store
from sendoff_server.tracer import NO_TRACER, Tracer

_PAGE = 200
_LAST_POSITION = (1 << 63) - 1


class Upkeep(UpkeepPort):
    """Has conversations compacted and reset."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        scheduler: Scheduler,
        acceptance: Acceptance,
        answering: Answering,
        runs: RunService,
        retention: Retention,
        admission: Admission,
        clock: Clock,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._store = store
        self._commits = commits
        self._scheduler = scheduler
        self._acceptance = acceptance
        self._answering = answering
        self._runs = runs
        self._retention = retention
        self._admission = admission
        self._clock = clock
        self._tracer = tracer

    async def context_of(self, lane: str) -> v1.ConversationContext:
        """What the next model call of a lane would be shown of its messages, as of now."""
        past = await self._store.history(lane, _LAST_POSITION, MAX_HISTORY_BYTES)
        return v1.ConversationContext(message_ids=ids_shown(past), truncated=not past.is_whole)

    async def compact(self, tenant: str, request: UpkeepRequest) -> v1.CompactConversationResponse:
        """Return once the conversation is compacted.

        Raises ConversationBusy, PendingApproval, NothingToCompact, CompactionFailed, IdempotencyMismatch, Draining, and
        AgentNotFound or ConversationNotFound if it was deleted meanwhile.
        """
        accept = self._accept(tenant, v1.RUN_KIND_COMPACTION, request)
        run = await self._carried_out(accept)
        if run.status != v1.RUN_STATUS_COMPLETED:
            raise CompactionFailed(accept.lane, run.id, run.error.message or "it was cancelled")
        entry = await self._beginning(run)
        if entry is None:
            raise NothingToCompact(accept.lane)
        came_to = outcome_of(entry)
        return v1.CompactConversationResponse(
            run_id=run.id,
            summary=came_to.summary,
            num_messages_before=came_to.messages_before + 1,
            num_messages_after=came_to.messages_after + 1,
        )

    async def reset(self, tenant: str, request: UpkeepRequest) -> v1.ResetConversationResponse:
        """Return once the conversation begins anew, and waits for nothing.

        Raises ResetFailed, and as `compact`, but for PendingApproval and what is about summaries.
        """
        accept = self._accept(tenant, v1.RUN_KIND_RESET, request)
        run = await self._carried_out(accept)
        if run.status != v1.RUN_STATUS_COMPLETED:
            raise ResetFailed(accept.lane, run.id)
        return v1.ResetConversationResponse(run_id=run.id)

    def _accept(self, tenant: str, kind: v1.RunKind.ValueType, asked: UpkeepRequest) -> Accept:
        request = v1.CreateMessageAsyncRequest(agent_id=asked.agent_id, conversation_id=asked.conversation_id)
        now_ns = self._clock.now_ns()
        run = new_run(request, asked.request_id, now_ns, ids.new("run"), background=False)
        run.ClearField("request_config")
        run.kind = kind
        self._retention.give(run, request.scheduling)
        lane = lane_of(run)
        words = f"{v1.RunKind.Name(kind)} {lane}"
        since_s = asked.repeated_within_s
        return Accept(
            tenant=tenant,
            lane=lane,
            run=run,
            request=request.SerializeToString(),
            event=first_event(run),
            keys=[Key("request", asked.request_id)] if asked.request_id else [],
            fingerprint=hashlib.blake2b(words.encode(), digest_size=16).digest(),
            lease=self._scheduler.has_room(),
            reject_if_busy=True,
            max_open=1,
            share=share_of(tenant, ""),
            reject_if_pending=kind == v1.RUN_KIND_COMPACTION,
            repeats_since_ns=None if since_s is None else now_ns - int(since_s * SECOND_NS),
        )

    async def _carried_out(self, accept: Accept) -> v1.Run:
        """The run once it has ended."""
        self._runs.refuse_if_draining()
        async with self._admission.accepting(accept.tenant):
            with self._tracer.accepting(accept.run):
                outcome = cast(Accepted, await self._commits.submit(accept))
        if isinstance(outcome, Pending):
            raise await self._answering.refusal_of_pending(accept.tenant, accept.lane, outcome.run_id)
        run, _ = self._acceptance.answer(accept, outcome)
        return await self._runs.ended(accept.tenant, run.id)

    async def _beginning(self, run: v1.Run) -> v1.Message | None:
        """The entry of the run with which its conversation begins from now on; None if it has written none."""
        entries = await self._store.run_messages(run.id, -1, _PAGE)
        return next((entry for entry in entries if entry.HasField("context_start")), None)
