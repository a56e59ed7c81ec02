"""Answers what runs wait for: approvals, client tools, and calls of which nobody knows what became of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping

import grpc
import grpc.aio

from sendoff import v1
from tests.chaos.cluster import CALL_S, Callers, Stuck
from tests.chaos.findings import Findings
from tests.chaos.jobs import FROM_OUTSIDE, Job, Kind
from tests.faults.caller import Refusal

_LOOK_S = 0.2
_DOUBLED = 0.3
_OVERTAKEN = ("NO_PENDING_ACTION", "INVALID_TOOL_CALL_IDS")
"""Reasons of a refusal when a newer message or the deadline was quicker."""


class Inbox:
    """Looked at all the time. Of jobs that wait in vain only the doubts are answered."""

    def __init__(self, jobs: Mapping[str, Job], callers: Callers, findings: Findings, seed: int) -> None:
        self._jobs = jobs
        self._callers = callers
        self._findings = findings
        self._chance = random.Random(seed)
        self._at: set[str] = set()
        """Calls that are being answered."""

    async def answer_all(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                for action in await self.pending():
                    job = self._jobs[json.loads(action.call.arguments)["job"]]
                    in_vain = job.kind is Kind.EXPIRES and action.kind == v1.ACTION_KIND_CLIENT_TOOL
                    if not in_vain and not action.HasField("decision") and action.tool_call_id not in self._at:
                        self._at.add(action.tool_call_id)
                        group.create_task(self._answer(job, action))
                await asyncio.sleep(_LOOK_S)

    async def pending(self) -> list[v1.PendingAction]:
        """The first thousand."""
        ask = v1.ListPendingActionsRequest(page_size=1000)
        page = await self._callers.insist(lambda caller: caller.actions.ListPendingActions(ask, timeout=CALL_S))
        return list(page.actions)

    async def _answer(self, job: Job, action: v1.PendingAction) -> None:
        decision = _decision(job, action)
        times = 2 if self._chance.random() < _DOUBLED else 1
        try:
            replies = await asyncio.gather(*(self._respond(action, decision) for _ in range(times)))
            if any(replies) and times > 1:  # once it was taken it is known, whatever came of it
                replies = [*filter(None, replies), await self._respond(action, decision)]
        except (grpc.aio.AioRpcError, Stuck) as error:
            self._findings.break_of("P7", f"answer for {job.key}, {action.run_id}: {error}")
        else:
            if any(replies):
                job.given.append(decision)
                self._findings.count("answers given to runs that waited")
                self._findings.expect("P2", len(set(replies)) == 1, f"{job.key} was continued by {set(replies)}")
        finally:
            self._at.discard(action.tool_call_id)

    async def _respond(self, action: v1.PendingAction, decision: v1.ActionDecision) -> str:
        """The run that goes on; empty if something else was quicker."""
        sent = v1.RespondToActionsRequest(
            conversation_id=action.conversation_id or "default",
            agent_id=action.agent_id,
            decisions=[decision],
            request_id=f"answer-{action.run_id}-{action.tool_call_id}",
        )
        try:
            reply = await self._callers.insist(lambda caller: caller.actions.RespondToActions(sent, timeout=CALL_S))
        except grpc.aio.AioRpcError as error:
            if Refusal(error).reason not in _OVERTAKEN:
                raise
            self._findings.count("answers that came too late")
            return ""
        return reply.run.id


def _decision(job: Job, action: v1.PendingAction) -> v1.ActionDecision:
    if action.kind == v1.ACTION_KIND_APPROVAL:
        return v1.ActionDecision(approval=v1.Approval(tool_call_id=action.tool_call_id, approve=job.approves))
    returned = v1.ToolReturn(
        tool_call_id=action.tool_call_id,
        status=v1.TOOL_RETURN_STATUS_SUCCESS,
        tool_return=v1.Content(text=f"{FROM_OUTSIDE} {job.key}"),
    )
    return v1.ActionDecision(tool=returned)
