"""Answering over a real store: runs stop here because the test says so, and nobody executes any."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SECOND_NS, SystemClock, timestamp
from sendoff_server.models.port import Catalogue
from sendoff_server.runs.accepting import Acceptance, Agents, Callbacks, Conversations, Endpoints, keyed
from sendoff_server.runs.answering import Answering
from sendoff_server.runs.remote_images import Addresses
from sendoff_server.runs.retention import Retention
from sendoff_server.runs.scheduler import Scheduler
from sendoff_server.runs.stored_images import Files
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Claim, Item, LeftOut, Placed, Progress, Recorded, Result
from sendoff_server.store.port import DEFAULT_TENANT, POSITION_SHIFT
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.fixtures.clock import ManualClock

TIMEOUT_S = 60
APPROVAL, CLIENT_TOOL = v1.ACTION_KIND_APPROVAL, v1.ACTION_KIND_CLIENT_TOOL


class NoSlot:
    """A scheduler without a free slot, so that what is accepted waits."""

    def has_room(self) -> bool:
        return False


class Desk:
    """What answers, and the conversation of one agent."""

    def __init__(self, store: SqliteStore, clock: ManualClock, commits: GroupCommit, *, max_open: int) -> None:
        nobody = cast(Any, None)
        self.store = store
        self.clock = clock
        self.commits = commits
        self.acceptance = Acceptance(
            cast(Agents, nobody),
            cast(Conversations, nobody),
            cast(Catalogue, nobody),
            cast(Files, nobody),
            cast(Callbacks, nobody),
            cast(Endpoints, nobody),
            cast(Addresses, nobody),
            clock,
            max_open=max_open,
            retention=Retention(None),
        )
        self.answering = Answering(store, commits, cast(Scheduler, NoSlot()), self.acceptance, clock)
        self.agent_id = ids.new("agent")

    async def open(self) -> None:
        await self.store.create_agent(DEFAULT_TENANT, v1.Agent(id=self.agent_id, etag="1"), None, b"")

    # ---- what happens in the conversation ----

    async def accept(self, request: v1.CreateMessageAsyncRequest) -> v1.Run:
        """Accept a message that answers nothing."""
        accept = self.acceptance.accept(DEFAULT_TENANT, request, keyed(request, request.request_id), lease=False)
        placed = await self.commits.submit(accept)
        assert isinstance(placed, Placed), placed
        return placed.run

    async def claim(self) -> Claim:
        """The head of the conversation, as whoever executes it gets it."""
        (claim,) = await self.store.claim(10)
        return claim

    async def stop(self, claim: Claim, actions: Sequence[v1.PendingAction], *, settles: bool = False) -> v1.Run:
        """Have a claimed run stop for these actions."""
        run = v1.Run()
        run.CopyFrom(claim.run)
        run.status, run.stop_reason = v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_REQUIRES_APPROVAL
        run.attempt = 1
        for action in actions:
            action.run_id = run.id
        run.pending_actions.extend(actions)
        asks = v1.Message(
            id=ids.derive("message", run.id), run_id=run.id, position=(claim.seq << POSITION_SHIFT) + 2048
        )
        asks.approval_request_message.tool_calls.extend(action.call for action in actions)
        return await self._record(claim, run, messages=[asks], opens=actions, settles=settles)

    async def settle(self, claim: Claim) -> v1.Run:
        """Have a claimed run settle what is pending, and end."""
        run = v1.Run()
        run.CopyFrom(claim.run)
        run.status, run.stop_reason = v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN
        return await self._record(claim, run, settles=True)

    async def end_queued(self, run: v1.Run) -> None:
        """Cancel a run that nobody executes."""
        ended = v1.Run()
        ended.CopyFrom(run)
        ended.status, ended.stop_reason = v1.RUN_STATUS_CANCELLED, v1.STOP_REASON_CANCELLED
        await self._record(None, ended, holds_lease=False, left_out=LeftOut.NOTHING)

    async def _record(self, claim: Claim | None, run: v1.Run, **fields: Any) -> v1.Run:
        before = run.last_sequence
        run.last_sequence += 1
        event = v1.RunEvent(run_id=run.id, sequence=run.last_sequence, finished=v1.RunFinished(run=run))
        progress = Progress(
            lane=self.agent_id, run=run, after_sequence=before, events=[event], keep_lease=False, **fields
        )
        result = await self.commits.submit(progress)
        assert isinstance(result, Recorded), (claim, result)
        return run

    async def stopped(self, *actions: v1.PendingAction, **options: Any) -> v1.Run:
        """A run that has stopped for actions, by default for one approval."""
        await self.accept(self.message(**options))
        return await self.stop(await self.claim(), list(actions) or [self.action()])

    # ---- what is sent ----

    def action(
        self,
        call_id: str = "call-1",
        kind: v1.ActionKind.ValueType = APPROVAL,
        on_timeout: v1.OnTimeout.ValueType = v1.ON_TIMEOUT_DENY,
    ) -> v1.PendingAction:
        call = v1.ToolCall(tool_call_id=call_id, name="tool", arguments="{}", arguments_are_valid_json=True)
        return v1.PendingAction(
            tool_call_id=call_id,
            kind=kind,
            call=call,
            agent_id=self.agent_id,
            expire_time=self._later(TIMEOUT_S),
            on_timeout=on_timeout,
        )

    def _later(self, seconds: int) -> Timestamp:
        return timestamp(self.clock.now_ns() + seconds * SECOND_NS)

    def message(self, text: str = "hello", **options: Any) -> v1.CreateMessageAsyncRequest:
        return v1.CreateMessageAsyncRequest(agent_id=self.agent_id, input=v1.Content(text=text), **options)

    def answer(self, *decisions: v1.ActionDecision, behind: str = "", **options: Any) -> v1.CreateMessageAsyncRequest:
        return self.sent(v1.InputMessage(approval=v1.ApprovalCreate(approvals=decisions)), behind=behind, **options)

    def sent(self, first: v1.InputMessage, behind: str = "", **options: Any) -> v1.CreateMessageAsyncRequest:
        said = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=behind))
        messages = [first, *([v1.InputMessage(message=said)] if behind else [])]
        return v1.CreateMessageAsyncRequest(
            agent_id=self.agent_id, messages=v1.InputMessages(messages=messages), **options
        )

    # ---- what comes of it ----

    async def create(self, request: v1.CreateMessageAsyncRequest) -> tuple[v1.Run, bool]:
        return await self.answering.create(DEFAULT_TENANT, request, keyed(request, request.request_id))

    async def respond(self, *decisions: v1.ActionDecision, **fields: Any) -> v1.RespondToActionsResponse:
        request = v1.RespondToActionsRequest(
            conversation_id="default", agent_id=self.agent_id, decisions=decisions, **fields
        )
        return await self.answering.respond(DEFAULT_TENANT, self.agent_id, request)

    async def run(self, run_id: str) -> v1.Run:
        return (await self.store.runs(DEFAULT_TENANT, [run_id]))[run_id]

    async def kept(self, run: v1.Run) -> v1.CreateMessageAsyncRequest:
        """The request of a run, as whoever executes it reads it."""
        return v1.CreateMessageAsyncRequest.FromString(await self.store.run_request(DEFAULT_TENANT, run.id) or b"")

    async def decisions(self, run: v1.Run) -> list[v1.ActionDecision]:
        return list((await self.kept(run)).messages.messages[0].approval.approvals)


def yes(call_id: str = "call-1") -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=True))


def no(call_id: str = "call-1", reason: str | None = None) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=False, reason=reason))


def returned(call_id: str = "call-1", text: str = "42") -> v1.ActionDecision:
    return v1.ActionDecision(
        tool=v1.ToolReturn(
            tool_call_id=call_id, status=v1.TOOL_RETURN_STATUS_SUCCESS, tool_return=v1.Content(text=text)
        )
    )


@asynccontextmanager
async def open_desk(path: Path, *, max_open: int = 10) -> AsyncIterator[Desk]:
    clock = ManualClock()

    def ignore(item: Item, result: Result) -> None:
        """Nobody executes what is accepted here."""

    async with SqliteStore(path / "desk.db", synchronous="NORMAL") as store:
        commits = GroupCommit(store, SystemClock(), ignore)
        async with commits.running():
            desk = Desk(store, clock, commits, max_open=max_open)
            await desk.open()
            yield desk
