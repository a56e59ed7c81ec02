"""A caller with generated stubs: what any gRPC client can do, in few words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from sendoff import v1
from sendoff.v1.action_service_pb2_grpc import ActionServiceStub
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub
from sendoff.v1.block_service_pb2_grpc import BlockServiceStub
from sendoff.v1.callback_service_pb2_grpc import CallbackServiceStub
from sendoff.v1.conversation_service_pb2_grpc import ConversationServiceStub
from sendoff.v1.file_service_pb2_grpc import FileServiceStub
from sendoff.v1.model_service_pb2_grpc import ModelServiceStub
from sendoff.v1.ops_service_pb2_grpc import OpsServiceStub
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff.v1.tool_service_pb2_grpc import ToolServiceStub

PATIENCE_S = 30.0
"""Nothing that a test waits for takes longer."""

# The least backoff is also what an attempt to connect may take, and a busy machine takes longer than the first one.
CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 5_000)]
CHANNEL_OPTIONS += [("grpc.max_reconnect_backoff_ms", 200), ("grpc.use_local_subchannel_pool", 1)]
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)

Stream = grpc.aio.UnaryStreamCall[v1.WatchRunRequest, v1.WatchRunResponse]


def script(**told: Any) -> str:
    """The text of a message that makes scripted/script do so."""
    return json.dumps({"script": told})


def seconds(number: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(number * 1e9))
    return duration


class Caller:
    """Calls of one client."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.runs = RunServiceStub(channel)
        self.actions = ActionServiceStub(channel)
        self.agents = AgentServiceStub(channel)
        self.models = ModelServiceStub(channel)
        self.conversations = ConversationServiceStub(channel)
        self.blocks = BlockServiceStub(channel)
        self.callbacks = CallbackServiceStub(channel)
        self.tools = ToolServiceStub(channel)
        self.files = FileServiceStub(channel)
        self.ops = OpsServiceStub(channel)

    async def agent(self, model: str = "scripted/script", **fields: Any) -> str:
        """A new agent's id."""
        agent = v1.Agent(name="subject", model=model, **fields)
        return (await self.agents.CreateAgent(v1.CreateAgentRequest(agent=agent), timeout=PATIENCE_S)).id

    async def conversation(self, agent_id: str, **fields: Any) -> str:
        """A new conversation's id."""
        request = v1.CreateConversationRequest(agent_id=agent_id, conversation=v1.Conversation(**fields))
        return (await self.conversations.CreateConversation(request, timeout=PATIENCE_S)).id

    async def send(self, agent_id: str, text: str, **fields: Any) -> v1.Run:
        """Accepted."""
        return await self.runs.CreateMessageAsync(request(agent_id, text, **fields), timeout=PATIENCE_S)

    async def get(self, run_id: str) -> v1.Run:
        return await self.runs.GetRun(v1.GetRunRequest(run_id=run_id), timeout=PATIENCE_S)

    async def cancel(self, run_id: str) -> v1.Run:
        return await self.runs.CancelRun(v1.CancelRunRequest(run_id=run_id), timeout=PATIENCE_S)

    async def started(self, run_id: str) -> v1.Run:
        return await self._wait(v1.WaitRunRequest(run_id=run_id, until=v1.WAIT_UNTIL_STARTED))

    async def ended(self, run_id: str) -> v1.Run:
        """The run once it has ended."""
        run = await self._wait(v1.WaitRunRequest(run_id=run_id))
        assert run.HasField("complete_time"), f"has not ended: {run}"
        return run

    async def changed(self, run_id: str, after_sequence: int) -> v1.Run:
        """The run once its log is longer than that."""
        run = await self._wait(v1.WaitRunRequest(run_id=run_id, changed_after_sequence=after_sequence))
        assert run.last_sequence > after_sequence, f"nothing happened: {run}"
        return run

    async def called_back(self, run_id: str, *, attempts: int = 1, done: bool = False) -> v1.Run:
        """The run once it shows so many attempts to call back; `done`: the last one."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                callback = (run := await self.get(run_id)).callback
                if callback.attempts >= attempts and not (done and callback.HasField("next_attempt_time")):
                    return run
                await asyncio.sleep(0.02)

    async def endpoint(self, url: str | None, **fields: Any) -> tuple[str, str]:
        """A new endpoint's id and secret."""
        endpoint = v1.CallbackEndpoint(url=url, **fields)
        made = await self.callbacks.CreateEndpoint(v1.CreateEndpointRequest(endpoint=endpoint), timeout=PATIENCE_S)
        return made.endpoint.id, made.secret

    async def deliveries(self, **wanted: Any) -> list[v1.Delivery]:
        """All that a ListDeliveries finds, oldest first, page by page."""
        found: list[v1.Delivery] = []
        ask = v1.ListDeliveriesRequest(**wanted)
        while True:
            page = await self.callbacks.ListDeliveries(ask, timeout=PATIENCE_S)
            found += page.deliveries
            if not page.next_page_token:
                return found[::-1]
            ask.page_token = page.next_page_token

    async def delivered(self, count: int, *, longest_s: float = PATIENCE_S, **wanted: Any) -> list[v1.Delivery]:
        """As `deliveries`, once there are so many and none is pending."""
        async with asyncio.timeout(longest_s):
            while True:
                found = await self.deliveries(**wanted)
                if len(found) >= count and all(each.status != v1.DELIVERY_STATUS_PENDING for each in found):
                    return found
                await asyncio.sleep(0.02)

    async def _wait(self, wait: v1.WaitRunRequest) -> v1.Run:
        wait.timeout.CopyFrom(seconds(PATIENCE_S))
        return await self.runs.WaitRun(wait, timeout=PATIENCE_S + 5)

    def watch(self, run_id: str, **fields: Any) -> Stream:
        return self.runs.WatchRun(v1.WatchRunRequest(run_id=run_id, **fields), timeout=2 * PATIENCE_S)

    async def log(self, run_id: str, page_size: int = 1000) -> list[v1.RunEvent]:
        """The whole log of a run, page by page."""
        events: list[v1.RunEvent] = []
        while True:
            after = events[-1].sequence if events else 0
            ask = v1.ListRunEventsRequest(run_id=run_id, after_sequence=after, page_size=page_size)
            page = await self.runs.ListRunEvents(ask, timeout=PATIENCE_S)
            events += page.events
            if page.complete or not page.events:
                return events

    async def messages(self, run_id: str, page_size: int = 0) -> list[v1.Message]:
        """All messages of a run, page by page."""
        messages: list[v1.Message] = []
        ask = v1.ListRunMessagesRequest(run_id=run_id, page_size=page_size)
        while True:
            page = await self.runs.ListRunMessages(ask, timeout=PATIENCE_S)
            messages += page.messages
            if not page.next_page_token:
                return messages
            ask.page_token = page.next_page_token

    async def list_all(self, **fields: Any) -> list[v1.Run]:
        """All runs that a ListRuns finds, page by page."""
        runs: list[v1.Run] = []
        ask = v1.ListRunsRequest(**fields)
        while True:
            page = await self.runs.ListRuns(ask, timeout=PATIENCE_S)
            runs += page.runs
            if not page.next_page_token:
                return runs
            ask.page_token = page.next_page_token


def request(agent_id: str, text: str, **fields: Any) -> v1.CreateMessageAsyncRequest:
    return v1.CreateMessageAsyncRequest(agent_id=agent_id, input=v1.Content(text=text), **fields)


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Caller]:
    """A caller with a connection of its own, which is soon back when the server is."""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        yield Caller(channel)


def is_passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether the same call may work once the server is back."""
    return error.code() in _PASSING


class Refusal:
    """What a failed call tells: the code, the reason and its metadata, and the standard details."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.fields: list[str] = []
        self.retry_after_s: float | None = None
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        for detail in _details(error):
            if detail.Unpack(bad):
                self.fields = [violation.field for violation in bad.field_violations]
            elif detail.Unpack(retry):
                self.retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
            else:
                detail.Unpack(info)
        self.reason = info.reason
        self.metadata = dict(info.metadata)


def _details(error: grpc.aio.AioRpcError) -> list[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return list(status_pb2.Status.FromString(bytes(value)).details)  # type: ignore[arg-type]  # bytes for -bin
    return []


async def refused(call: Any) -> Refusal:
    """The refusal of a call that must be refused."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return Refusal(error)
    raise AssertionError(f"it was not refused: {answer}")


async def patiently(awaited: Any) -> Any:
    """Its result, within the patience of the tests."""
    async with asyncio.timeout(PATIENCE_S):
        return await awaited
