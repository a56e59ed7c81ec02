"""The asyncio client.

`client.py` has the same for threads; what both decide is decided in the modules that they share.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Unpack

import grpc.aio

from sendoff import actions, errors, methods, paging, requests, v1
from sendoff.actions import ActionFilters
from sendoff.callback_calls import AsyncCallbackCalls
from sendoff.connection import ConnectionOptions, resolve
from sendoff.methods import Call, Req, Resp
from sendoff.paging import Item, Paging
from sendoff.receiving import Received, ReceiveOptions, Receiving
from sendoff.receiving_streams import AsyncSaid, AsyncStream
from sendoff.requests import (
    AgentFields,
    AgentFilters,
    AuditFilters,
    BlockFields,
    BlockFilters,
    ConversationFields,
    ConversationFilters,
    Input,
    MessageFilters,
    RunFilters,
    SendOptions,
    StepFilters,
    ToolFilters,
)
from sendoff.retry import RECONNECT, UNARY, Attempts, RetryPolicy, Timing
from sendoff.tracing import trace_metadata
from sendoff.waiting import Waiting
from sendoff.watching import Entry, Watch, WatchOptions


class AsyncClient(AsyncCallbackCalls):
    """A connection to Sendoff, for asyncio. Belongs to the event loop of its first call, and connects with it.

    Every call has a deadline: `timeout_s` of the call, or the client's. Calls that can be repeated without harm
    are, within that deadline, when no server answered or the server asked for it. Errors are those of
    `sendoff.errors`. Cancelling a task that waits in a call cancels the call.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout_s: float = 10.0,
        retry: RetryPolicy = UNARY,
        reconnect: RetryPolicy = RECONNECT,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        """`address` is host:port, or whatever gRPC resolves. Unset: SENDOFF_ADDRESS, or 127.0.0.1:50051."""
        self.connection = resolve(address, connection)
        self._opened: grpc.aio.Channel | None = None
        self._timeout_s = timeout_s
        self._retry = retry
        self._reconnect = reconnect
        self._timing = timing
        self._sleep = sleep

    async def close(self) -> None:
        """End all calls and the connection. May be called more than once."""
        if self._opened is not None:
            await self._opened.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # ---- runs ----

    async def send(
        self, agent_id: str, input: Input, *, timeout_s: float | None = None, **options: Unpack[SendOptions]
    ) -> v1.Run:
        """Send a message to an agent; returns at once with a durable run. With `conversation_id` the agent may be "".

        Safe to repeat: every request carries a request_id. To repeat it in another process, choose your own.
        """
        return await self._call(requests.send(agent_id, input, options), timeout_s)

    async def create_message_async(
        self, request: v1.CreateMessageAsyncRequest, *, timeout_s: float | None = None
    ) -> v1.Run:
        """As `send`, with all that the contract has. A missing request_id is added to a copy."""
        return await self._call(requests.create_message_async(request), timeout_s)

    async def get_run(self, run_id: str, *, timeout_s: float | None = None) -> v1.Run:
        """A run as it is now."""
        return await self._call(requests.get_run(run_id), timeout_s)

    async def wait_run(
        self,
        run_id: str,
        until: v1.WaitUntil.ValueType = v1.WaitUntil.WAIT_UNTIL_TERMINAL,
        *,
        timeout_s: float | None = None,
    ) -> v1.Run:
        """Wait until the run has ended, or is at `until`; for ever unless `timeout_s` is given.

        When the time is up the run comes back as it is: look at its status. At the end of a turn it is the turn's
        newest run.
        """
        waiting = Waiting(
            run_id, until, timeout_s=timeout_s, connect=self._retry, reconnect=self._reconnect, timing=self._timing
        )
        while True:
            try:
                run = await self._attempt(waiting.call(), waiting.asked_s + self._timeout_s)
                pause = waiting.answered(run)
            except errors.SendoffError as error:
                pause = waiting.failed(error)
            else:
                if pause is None:
                    return run
            await self._sleep(pause)

    async def watch(self, run_id: str, **options: Unpack[WatchOptions]) -> AsyncGenerator[Entry, None]:
        """Follow a run to its end: every event of its log once and in order, over any number of broken streams.

        Ends after the `finished` event; with `follow_continuations` after that of the turn's last run. Close the
        generator to stop before, as `contextlib.aclosing` does; that cancels the call.
        """
        watch = Watch(run_id, options, connect=self._retry, reconnect=self._reconnect, timing=self._timing)
        if watch.wants_latest:
            watch.begin_after((await self.get_run(run_id)).last_sequence)
        while not watch.over:
            stream = self._open(watch)
            try:
                while watch.expects_more and (frame := await stream.read()) is not None:
                    if (entry := watch.take(frame)) is not None:
                        yield entry
            finally:
                stream.close()
            if not watch.over:
                await self._sleep(watch.pause_s(stream.error))

    def runs(self, **filters: Unpack[RunFilters]) -> AsyncIterator[v1.Run]:
        """Runs, newest first unless `order_by` says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.runs(filters))

    def run_events(self, run_id: str, *, after_sequence: int = 0, page_size: int = 0) -> AsyncIterator[v1.RunEvent]:
        """A run's log as far as it has got; `watch` goes on where this ends."""
        return self._pages(paging.run_events(run_id, after_sequence, page_size))

    def run_messages(self, run_id: str, *, order_by: str = "", page_size: int = 0) -> AsyncIterator[v1.Message]:
        """A run's messages, oldest first, its input included; with order_by "position desc" newest first."""
        return self._pages(paging.run_messages(run_id, order_by, page_size))

    def run_steps(self, run_id: str, *, order_by: str = "", page_size: int = 0) -> AsyncIterator[v1.Step]:
        """A run's steps, first one first; with order_by "index desc" last one first."""
        return self._pages(paging.run_steps(run_id, order_by, page_size))

    def steps(self, **filters: Unpack[StepFilters]) -> AsyncIterator[v1.Step]:
        """Steps of all runs, newest first unless `order_by` says otherwise; further pages are fetched as they are
        needed."""
        return self._pages(paging.steps(filters))

    async def get_step(self, step_id: str, *, timeout_s: float | None = None) -> v1.Step:
        """A step as it is now."""
        return await self._call(requests.get_step(step_id), timeout_s)

    async def step_messages(self, step_id: str, *, timeout_s: float | None = None) -> Sequence[v1.Message]:
        """What a step wrote, oldest first."""
        return (await self._call(requests.step_messages(step_id), timeout_s)).messages

    async def set_step_feedback(
        self,
        step_id: str,
        feedback: v1.StepFeedback.ValueType,
        *,
        tags: Sequence[str] | None = None,
        timeout_s: float | None = None,
    ) -> v1.Step:
        """Write down what somebody thinks of a step; STEP_FEEDBACK_UNSPECIFIED takes it away. Tags stay unless they are
        given."""
        return await self._call(requests.set_step_feedback(step_id, feedback, tags), timeout_s)

    async def explain_run(self, run_id: str, *, timeout_s: float | None = None) -> v1.ExplainRunResponse:
        """What keeps a run from starting or going on, who does, and until when."""
        return await self._call(requests.explain_run(run_id), timeout_s)

    async def cancel_run(
        self, run_id: str, *, rollback: bool = False, reason: str | None = None, timeout_s: float | None = None
    ) -> v1.Run:
        """Ask a run to stop; `rollback` drops its messages. It has stopped when its status says so."""
        return await self._call(requests.cancel_run(run_id, rollback=rollback, reason=reason), timeout_s)

    async def delete_run(self, run_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a run that has ended; its messages stay in the conversation. Never repeated by itself, as
        `delete_agent`."""
        await self._call(requests.delete_run(run_id), timeout_s)

    # ---- pending actions ----

    def actions(self, **filters: Unpack[ActionFilters]) -> AsyncIterator[v1.PendingAction]:
        """What waits for an answer, soonest expiry first; further pages are fetched as they are needed."""
        return self._pages(paging.actions(filters))

    async def respond(
        self,
        pending: Sequence[v1.PendingAction],
        decisions: Sequence[v1.ActionDecision],
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Answer actions of one run, some of them or all; `sendoff.actions` makes decisions.

        The last answer starts the run that continues. Safe to repeat.
        """
        return await self._call(actions.respond(pending, decisions, request_id), timeout_s)

    async def approve(
        self,
        action: v1.PendingAction,
        *,
        reason: str | None = None,
        edited_arguments: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Say yes to a call, with the model's arguments or others."""
        decision = actions.approval(action, reason, edited_arguments)
        return await self._call(actions.respond([action], [decision], None), timeout_s)

    async def deny(
        self, action: v1.PendingAction, *, reason: str | None = None, timeout_s: float | None = None
    ) -> v1.RespondToActionsResponse:
        """Say no to a call; the model reads the reason."""
        return await self._call(actions.respond([action], [actions.denial(action, reason)], None), timeout_s)

    async def return_result(
        self,
        action: v1.PendingAction,
        content: str | v1.Content,
        *,
        is_error: bool = False,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Give the result of a call whose tool ran here."""
        decision = actions.result(action, content, is_error=is_error)
        return await self._call(actions.respond([action], [decision], None), timeout_s)

    # ---- agents ----

    async def create_agent(
        self, *, request_id: str | None = None, timeout_s: float | None = None, **fields: Unpack[AgentFields]
    ) -> v1.Agent:
        """Make an agent. What is not given is the server's default."""
        return await self._call(requests.create_agent(request_id, fields), timeout_s)

    async def get_agent(self, agent_id: str, *, timeout_s: float | None = None) -> v1.Agent:
        """An agent as it is now."""
        return await self._call(requests.get_agent(agent_id), timeout_s)

    def agents(
        self, *, order_by: str = "", page_size: int = 0, **filters: Unpack[AgentFilters]
    ) -> AsyncIterator[v1.Agent]:
        """Agents, newest first unless `order_by` says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.agents(filters, order_by, page_size))

    async def count_agents(self, *, timeout_s: float | None = None, **filters: Unpack[AgentFilters]) -> int:
        """How many agents there are."""
        return (await self._call(requests.count_agents(filters), timeout_s)).count

    def tags(self, search: str = "", *, order_by: str = "", page_size: int = 0) -> AsyncIterator[str]:
        """The tags of agents and blocks, each once, in order; with `search` those that have it in them."""
        return self._pages(paging.tags(search, order_by, page_size))

    async def update_agent(
        self, agent_id: str, *, etag: str | None = None, timeout_s: float | None = None, **fields: Unpack[AgentFields]
    ) -> v1.Agent:
        """Change the fields that are given, and no others; with `etag` only if the agent has not changed since."""
        return await self._call(requests.update_agent(agent_id, etag, fields), timeout_s)

    async def delete_agent(self, agent_id: str, *, cancel_runs: bool = False, timeout_s: float | None = None) -> None:
        """Delete an agent with all that is its own. Never repeated by itself: the repeat would find nothing."""
        await self._call(requests.delete_agent(agent_id, cancel_runs=cancel_runs), timeout_s)

    async def compile_system(
        self, agent_id: str, conversation_id: str | None = None, *, timeout_s: float | None = None
    ) -> str:
        """The system prompt that the next model call of a conversation is given; unset: of the agent's own."""
        return (await self._call(requests.compile_system(agent_id, conversation_id), timeout_s)).system

    # ---- files ----

    async def create_file(
        self,
        data: bytes,
        media_type: str,
        *,
        name: str = "",
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.File:
        """Keep a picture, so that messages can show it by its id (v1.Image.Stored). It never changes."""
        return await self._call(requests.create_file(data, media_type, name, request_id), timeout_s)

    async def get_file(
        self, file_id: str, *, include_data: bool = False, timeout_s: float | None = None
    ) -> v1.GetFileResponse:
        """What is known of a file, and its bytes if they are wanted."""
        return await self._call(requests.get_file(file_id, include_data=include_data), timeout_s)

    def files(self, *, page_size: int = 0) -> AsyncIterator[v1.File]:
        """Files, newest first; further pages are fetched as they are needed."""
        return self._pages(paging.files(page_size))

    async def delete_file(self, file_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a file; messages that show it stay. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_file(file_id), timeout_s)

    # ---- conversations ----

    async def create_conversation(
        self,
        agent_id: str,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Begin a conversation with an agent, beside its default one; `send` takes its id."""
        return await self._call(requests.create_conversation(agent_id, request_id, fields), timeout_s)

    async def get_conversation(self, conversation_id: str, *, timeout_s: float | None = None) -> v1.Conversation:
        """A conversation as it is now: what it works on, and how much waits."""
        return await self._call(requests.get_conversation(conversation_id), timeout_s)

    def conversations(
        self, agent_id: str | None = None, **filters: Unpack[ConversationFilters]
    ) -> AsyncIterator[v1.Conversation]:
        """Conversations of an agent or of all, newest first unless `order_by` says otherwise; further pages are fetched
        as they are needed."""
        return self._pages(paging.conversations(agent_id, filters))

    async def update_conversation(
        self,
        conversation_id: str,
        *,
        etag: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since."""
        return await self._call(requests.update_conversation(conversation_id, etag, fields), timeout_s)

    async def delete_conversation(
        self, conversation_id: str, *, cancel_runs: bool = False, timeout_s: float | None = None
    ) -> None:
        """Delete a conversation with its runs and messages. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_conversation(conversation_id, cancel_runs=cancel_runs), timeout_s)

    async def fork_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        at_message_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        **fields: Unpack[ConversationFields],
    ) -> v1.Conversation:
        """Begin a conversation with the history of another one, whole or up to a message.

        `agent_id` goes with "default", the agent's own conversation. What is not given is as in the other one.
        """
        call = requests.fork_conversation(conversation_id, agent_id, at_message_id, request_id, fields)
        return await self._call(call, timeout_s)

    async def get_conversation_context(
        self, conversation_id: str, *, agent_id: str | None = None, timeout_s: float | None = None
    ) -> v1.ConversationContext:
        """Which messages of a conversation the next model call would be shown.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return await self._call(requests.get_conversation_context(conversation_id, agent_id), timeout_s)

    async def compact_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.CompactConversationResponse:
        """Put older messages of a conversation into a summary, for the model; they stay readable. Returns once that is
        done, which takes a model call.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return await self._call(requests.compact_conversation(conversation_id, agent_id, request_id), timeout_s)

    async def reset_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.ResetConversationResponse:
        """Show the model nothing of what was said so far; it stays readable. What is pending is denied.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return await self._call(requests.reset_conversation(conversation_id, agent_id, request_id), timeout_s)

    def messages(self, conversation_id: str, **filters: Unpack[MessageFilters]) -> AsyncIterator[v1.Message]:
        """Messages of a conversation ("default" with `agent_id`: the agent's own), newest first unless `order_by`
        says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.messages(conversation_id, filters))

    async def get_message(self, message_id: str, *, timeout_s: float | None = None) -> Sequence[v1.Message]:
        """The entries of a message that is part of a conversation."""
        return (await self._call(requests.get_message(message_id), timeout_s)).messages

    # ---- memory blocks ----

    async def create_block(
        self, *, request_id: str | None = None, timeout_s: float | None = None, **fields: Unpack[BlockFields]
    ) -> v1.Block:
        """Make a memory block; an agent has it once `block_ids` of the agent names it. What is not given is the
        server's default."""
        return await self._call(requests.create_block(request_id, fields), timeout_s)

    async def get_block(self, block_id: str, *, timeout_s: float | None = None) -> v1.Block:
        """A memory block as it is now."""
        return await self._call(requests.get_block(block_id), timeout_s)

    def blocks(
        self,
        agent_id: str | None = None,
        *,
        label: str | None = None,
        page_size: int = 0,
        **filters: Unpack[BlockFilters],
    ) -> AsyncIterator[v1.Block]:
        """Memory blocks of an agent in its order, or of all, newest first unless order_by says otherwise; further
        pages are fetched as they are needed."""
        return self._pages(paging.blocks(agent_id, label, page_size, filters))

    async def update_block(
        self, block_id: str, *, etag: str | None = None, timeout_s: float | None = None, **fields: Unpack[BlockFields]
    ) -> v1.Block:
        """Change the fields that are given, and no others; with `etag` only if nobody has changed it since. Steps that
        begin later see it."""
        return await self._call(requests.update_block(block_id, etag, fields), timeout_s)

    async def delete_block(self, block_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a memory block; agents that name it go on without it. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_block(block_id), timeout_s)

    # ---- tools ----

    async def upsert_tool(
        self,
        tool: v1.Tool,
        *,
        fields: Sequence[str] | None = None,
        create_only: bool = False,
        timeout_s: float | None = None,
    ) -> v1.Tool:
        """Make a tool, or change the one of its id, else of its name; an agent may call it once `tool_ids` of the agent
        names it. `fields`: which of an existing one to change; unset: all that can be. With an etag in `tool` only if
        nobody has changed it since; with `create_only` one that exists is left alone, and ToolExists raised."""
        return await self._call(requests.upsert_tool(tool, fields, create_only=create_only), timeout_s)

    async def get_tool(self, tool_id: str, *, timeout_s: float | None = None) -> v1.Tool:
        """A tool as it is now."""
        return await self._call(requests.get_tool(tool_id), timeout_s)

    def tools(self, **filters: Unpack[ToolFilters]) -> AsyncIterator[v1.Tool]:
        """Tools, by name unless order_by says otherwise, those that the server makes among them; further pages are
        fetched as they are needed."""
        return self._pages(paging.tools(filters))

    async def silent_mcp_servers(self, *, timeout_s: float | None = None) -> list[str]:
        """MCP servers that do not answer; their tools are listed as they were when they last did."""
        return list((await self._call(requests.silent_mcp_servers(), timeout_s)).silent_mcp_servers)

    async def delete_tool(self, tool_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a tool; agents that name it go on without it. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_tool(tool_id), timeout_s)

    # ---- deliveries ----

    async def receive_deliveries(
        self, endpoint_id: str, **options: Unpack[ReceiveOptions]
    ) -> AsyncGenerator[Received, None]:
        """Take the deliveries of an endpoint without a URL, over any number of broken streams; for ever, until the
        generator is closed.

        Each comes again, here or elsewhere, unless its `ack` is called: none is acknowledged because the loop goes on.
        Several receivers of one endpoint share its deliveries; those of one run come in order. Close the
        generator, as `contextlib.aclosing` does: that waits a moment until the server has noted what was acknowledged.

        Raises Conflict (EndpointHasUrl, EndpointDisabled) and NotFound, also while it goes on.
        """
        receiving = Receiving(endpoint_id, options, connect=self._retry, reconnect=self._reconnect, timing=self._timing)
        while True:
            stream = self._subscribe(receiving)
            try:
                while (response := await stream.read()) is not None:
                    if (received := receiving.take(response)) is not None:
                        yield received
            finally:
                await stream.close()
            await self._sleep(receiving.pause_s(stream.error))

    # ---- the server ----

    async def models(self, *, timeout_s: float | None = None) -> v1.ListModelsResponse:
        """The models that agents can use, the default one, and the providers that did not answer."""
        return await self._call(requests.list_models(), timeout_s)

    async def server_info(self, *, timeout_s: float | None = None) -> v1.GetServerInfoResponse:
        """What this server is and can, and its limits."""
        return await self._call(requests.get_server_info(), timeout_s)

    async def queue_stats(
        self, *, fairness_key: str | None = None, timeout_s: float | None = None
    ) -> v1.GetQueueStatsResponse:
        """How much waits and works, of all keys or of one, how long runs have lately waited, and who works."""
        return await self._call(requests.get_queue_stats(fairness_key), timeout_s)

    async def pause_dispatch(
        self,
        *,
        agent_id: str | None = None,
        fairness_key: str | None = None,
        reason: str = "",
        timeout_s: float | None = None,
    ) -> v1.DispatchPause:
        """Have no run of an agent, or of a fairness key, begun until `resume_dispatch`; with neither: no run at all.
        Runs under way go on. What is paused already stays so, and its pause is returned. Raises TooManyPauses."""
        return await self._call(requests.pause_dispatch(agent_id, fairness_key, reason), timeout_s)

    async def resume_dispatch(
        self, *, agent_id: str | None = None, fairness_key: str | None = None, timeout_s: float | None = None
    ) -> bool:
        """Lift the pause of exactly this scope; whether there was one."""
        return (await self._call(requests.resume_dispatch(agent_id, fairness_key), timeout_s)).was_paused

    async def dispatch_pauses(self, *, timeout_s: float | None = None) -> Sequence[v1.DispatchPause]:
        """All pauses, oldest first."""
        return (await self._call(requests.list_dispatch_pauses(), timeout_s)).pauses

    def audit_entries(self, **filters: Unpack[AuditFilters]) -> AsyncIterator[v1.AuditEntry]:
        """Who has done what, newest first; further pages are fetched as they are needed. Takes the role operator, where
        there are keys."""
        return self._pages(paging.audit_entries(filters))

    async def health(self, service: str = "", *, timeout_s: float | None = None) -> bool:
        """Whether the server, or one of its services, takes requests. Raises Unavailable when none answers."""
        answer = await self._call(requests.check_health(service), timeout_s)
        return answer.value == methods.HEALTH_SERVING

    # ---- how ----

    @property
    def _channel(self) -> grpc.aio.Channel:
        if self._opened is None:
            self._opened = self.connection.open_aio()
        return self._opened

    async def _call(self, call: Call[Req, Resp], timeout_s: float | None) -> Resp:
        whole_s = self._timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(whole_s, self._retry, self._timing, repeatable=call.is_repeatable)
        while True:
            try:
                return await self._attempt(call, attempts.remaining_s())
            except errors.SendoffError as error:
                pause = attempts.pause_s(error)
            await self._sleep(pause)

    async def _attempt(self, call: Call[Req, Resp], timeout_s: float) -> Resp:
        rpc = self._channel.unary_unary(
            call.method.path, call.method.request.SerializeToString, call.method.response.FromString
        )
        try:
            return await rpc(call.request, timeout=timeout_s, metadata=self.connection.metadata + trace_metadata())
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error, self.connection.address) from error

    async def _pages(self, pages: Paging[Req, Resp, Item]) -> AsyncIterator[Item]:
        call: Call[Req, Resp] | None = pages.call()
        while call is not None:
            page = await self._call(call, None)
            for item in pages.items(page):
                yield item
            call = pages.following(call, page)

    def _subscribe(self, receiving: Receiving) -> AsyncStream:
        method, said = methods.RECEIVE_DELIVERIES, AsyncSaid()
        rpc = self._channel.stream_stream(method.path, method.request.SerializeToString, method.response.FromString)
        call = rpc(aiter(said), metadata=self.connection.metadata + trace_metadata())
        return AsyncStream(call, said, receiving, self.connection.address)

    def _open(self, watch: Watch) -> _Stream:
        method = methods.WATCH_RUN
        rpc = self._channel.unary_stream(method.path, method.request.SerializeToString, method.response.FromString)
        return _Stream(
            rpc(watch.request(), metadata=self.connection.metadata + trace_metadata()), watch, self.connection.address
        )


class _Stream:
    """A stream that ends where it is cut. Close it in any case."""

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[Any, v1.WatchRunResponse],  # the stubs lose the request's type
        watch: Watch,
        address: str,
    ) -> None:
        self.error: errors.SendoffError | None = None
        """What it ended with; None as long as it goes on, and after a clean end."""
        self._call = call
        self._watch = watch
        self._address = address

    async def read(self) -> v1.WatchRunResponse | None:
        """The next frame; None when there is none any more."""
        try:
            frame = await asyncio.wait_for(self._call.read(), self._watch.silence_s)
        except TimeoutError:
            self.error = self._watch.silent()
        except grpc.aio.AioRpcError as failed:
            self.error = errors.from_rpc(failed, self._address)
        else:
            return frame if isinstance(frame, v1.WatchRunResponse) else None  # else it is gRPC's mark of the end
        return None

    def close(self) -> None:
        """Cancel it, if it still goes on."""
        self._call.cancel()
