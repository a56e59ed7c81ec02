"""The gRPC door with use cases that answer what a test plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc

from sendoff import v1
from sendoff_server.access.doorway import Doorway
from sendoff_server.access.gate import Gate, OpenGate
from sendoff_server.agents.conversation_service import ConversationService
from sendoff_server.agents.file_service import FileService
from sendoff_server.agents.service import AgentService
from sendoff_server.api.server import GrpcServer
from sendoff_server.audit.service import AuditService
from sendoff_server.callbacks.deliveries import DeliveryService
from sendoff_server.callbacks.endpoints import EndpointService
from sendoff_server.callbacks.pulling import Pulling
from sendoff_server.callbacks.service import CallbackService
from sendoff_server.memory.service import BlockService
from sendoff_server.models.port import Catalogue
from sendoff_server.runs.action_service import ActionService
from sendoff_server.runs.dispatch_service import DispatchService
from sendoff_server.runs.queue_stats import QueueStats
from sendoff_server.runs.service import RunService
from sendoff_server.runs.step_service import StepService
from sendoff_server.server_info import ServerInfo, server_info
from sendoff_server.settings import Settings
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.tls.certificates import Certificates
from sendoff_server.toolbox.service import ToolService
from sendoff_server.use_cases import UseCases

RUN_ID = "run-0199c3f0-0000-4000-8000-000000000002"
AGENT_ID = "agent-0199c3f0-0000-4000-8000-000000000001"
RUN = v1.Run(id=RUN_ID, agent_id=AGENT_ID, status=v1.RUN_STATUS_CREATED)
PATIENCE_S = 10.0
"""How long a test waits for what must come."""


class FakeRuns:
    """Use cases of runs. `fail` is raised by every one of them; `frames` are what a watch gives."""

    def __init__(self) -> None:
        self.fail: BaseException | None = None
        self.replayed = False
        self.calls: list[tuple[str, Any]] = []
        self.keys: list[str | None] = []
        self.entered = asyncio.Event()
        """A call that holds has begun, or a watch has made its first frame."""
        self.hold: asyncio.Event | None = None
        """Calls wait for it, if set."""
        self.frames: list[v1.WatchRunResponse] = []
        self.frames_made = 0
        self.watch_stays = False
        """Whether a watch stays open behind its frames."""
        self.watch_closed = asyncio.Event()

    async def _call(self, tenant: str, request: Any) -> None:
        self.calls.append((tenant, request))
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail is not None:
            raise self.fail

    async def create(
        self, tenant: str, request: v1.CreateMessageAsyncRequest, idempotency_key: str | None
    ) -> tuple[v1.Run, bool]:
        self.keys.append(idempotency_key)
        await self._call(tenant, request)
        return RUN, self.replayed

    async def get(self, tenant: str, request: v1.GetRunRequest) -> v1.Run:
        await self._call(tenant, request)
        return RUN

    async def list(self, tenant: str, request: v1.ListRunsRequest) -> v1.ListRunsResponse:
        await self._call(tenant, request)
        return v1.ListRunsResponse(runs=[RUN])

    async def wait(self, tenant: str, request: v1.WaitRunRequest) -> v1.Run:
        await self._call(tenant, request)
        return RUN

    async def list_events(self, tenant: str, request: v1.ListRunEventsRequest) -> v1.ListRunEventsResponse:
        await self._call(tenant, request)
        return v1.ListRunEventsResponse(last_sequence=1)

    async def list_messages(self, tenant: str, request: v1.ListRunMessagesRequest) -> v1.ListRunMessagesResponse:
        await self._call(tenant, request)
        return v1.ListRunMessagesResponse()

    async def cancel(self, tenant: str, request: v1.CancelRunRequest) -> v1.Run:
        await self._call(tenant, request)
        return RUN

    async def explain(self, tenant: str, request: v1.ExplainRunRequest) -> v1.ExplainRunResponse:
        await self._call(tenant, request)
        return v1.ExplainRunResponse(run=RUN)

    async def delete(self, tenant: str, request: v1.DeleteRunRequest) -> v1.DeleteRunResponse:
        await self._call(tenant, request)
        return v1.DeleteRunResponse()

    async def watch(self, tenant: str, request: v1.WatchRunRequest) -> AsyncGenerator[v1.WatchRunResponse]:
        try:
            await self._call(tenant, request)
            for frame in self.frames:
                self.frames_made += 1
                yield frame
            if self.watch_stays:
                await asyncio.Event().wait()
        finally:
            self.watch_closed.set()


class FakeAgents:
    """Use cases of agents."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def create(self, tenant: str, request: v1.CreateAgentRequest) -> v1.Agent:
        self.calls.append((tenant, request))
        return v1.Agent(id=AGENT_ID)

    async def get(self, tenant: str, request: v1.GetAgentRequest) -> v1.Agent:
        self.calls.append((tenant, request))
        return v1.Agent(id=AGENT_ID)

    async def list(self, tenant: str, request: v1.ListAgentsRequest) -> v1.ListAgentsResponse:
        self.calls.append((tenant, request))
        return v1.ListAgentsResponse()

    async def count(self, tenant: str, request: v1.CountAgentsRequest) -> v1.CountAgentsResponse:
        self.calls.append((tenant, request))
        return v1.CountAgentsResponse()

    async def list_tags(self, tenant: str, request: v1.ListTagsRequest) -> v1.ListTagsResponse:
        self.calls.append((tenant, request))
        return v1.ListTagsResponse()

    async def update(self, tenant: str, request: v1.UpdateAgentRequest) -> v1.Agent:
        self.calls.append((tenant, request))
        return v1.Agent(id=AGENT_ID)

    async def delete(self, tenant: str, request: v1.DeleteAgentRequest) -> v1.DeleteAgentResponse:
        self.calls.append((tenant, request))
        return v1.DeleteAgentResponse()

    async def compile_system(self, tenant: str, request: v1.CompileSystemRequest) -> v1.CompileSystemResponse:
        self.calls.append((tenant, request))
        return v1.CompileSystemResponse()


class FakeConversations:
    """Use cases of conversations."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def _call(self, tenant: str, request: Any) -> v1.Conversation:
        self.calls.append((tenant, request))
        return v1.Conversation(agent_id=AGENT_ID)

    create = get = update = fork = _call

    async def list(self, tenant: str, request: v1.ListConversationsRequest) -> v1.ListConversationsResponse:
        await self._call(tenant, request)
        return v1.ListConversationsResponse()

    async def delete(self, tenant: str, request: v1.DeleteConversationRequest) -> v1.DeleteConversationResponse:
        await self._call(tenant, request)
        return v1.DeleteConversationResponse()

    async def context(self, tenant: str, request: v1.GetConversationContextRequest) -> v1.ConversationContext:
        await self._call(tenant, request)
        return v1.ConversationContext()

    async def compact(self, tenant: str, request: v1.CompactConversationRequest) -> v1.CompactConversationResponse:
        await self._call(tenant, request)
        return v1.CompactConversationResponse()

    async def reset(self, tenant: str, request: v1.ResetConversationRequest) -> v1.ResetConversationResponse:
        await self._call(tenant, request)
        return v1.ResetConversationResponse()

    async def list_messages(self, tenant: str, request: v1.ListMessagesRequest) -> v1.ListMessagesResponse:
        await self._call(tenant, request)
        return v1.ListMessagesResponse()

    async def get_message(self, tenant: str, request: v1.GetMessageRequest) -> v1.GetMessageResponse:
        await self._call(tenant, request)
        return v1.GetMessageResponse()


class FakeActions:
    """Use cases of pending actions."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def list(self, tenant: str, request: v1.ListPendingActionsRequest) -> v1.ListPendingActionsResponse:
        self.calls.append((tenant, request))
        return v1.ListPendingActionsResponse()

    async def respond(self, tenant: str, request: v1.RespondToActionsRequest) -> v1.RespondToActionsResponse:
        self.calls.append((tenant, request))
        return v1.RespondToActionsResponse()


class FakeBlocks:
    """Use cases of memory blocks."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def create(self, tenant: str, request: v1.CreateBlockRequest) -> v1.Block:
        self.calls.append((tenant, request))
        return v1.Block(label="human")

    async def get(self, tenant: str, request: v1.GetBlockRequest) -> v1.Block:
        self.calls.append((tenant, request))
        return v1.Block(label="human")

    async def update(self, tenant: str, request: v1.UpdateBlockRequest) -> v1.Block:
        self.calls.append((tenant, request))
        return v1.Block(label="human")

    async def list(self, tenant: str, request: v1.ListBlocksRequest) -> v1.ListBlocksResponse:
        self.calls.append((tenant, request))
        return v1.ListBlocksResponse()

    async def delete(self, tenant: str, request: v1.DeleteBlockRequest) -> v1.DeleteBlockResponse:
        self.calls.append((tenant, request))
        return v1.DeleteBlockResponse()


class FakeEndpoints:
    """Use cases of callback endpoints."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def _call(self, tenant: str, request: Any) -> v1.CallbackEndpoint:
        self.calls.append((tenant, request))
        return v1.CallbackEndpoint(description="the desk")

    get = update = _call

    async def create(self, tenant: str, request: v1.CreateEndpointRequest) -> v1.CreateEndpointResponse:
        return v1.CreateEndpointResponse(endpoint=await self._call(tenant, request))

    async def list(self, tenant: str, request: v1.ListEndpointsRequest) -> v1.ListEndpointsResponse:
        await self._call(tenant, request)
        return v1.ListEndpointsResponse()

    async def delete(self, tenant: str, request: v1.DeleteEndpointRequest) -> v1.DeleteEndpointResponse:
        await self._call(tenant, request)
        return v1.DeleteEndpointResponse()

    async def rotate_secret(self, tenant: str, request: v1.RotateSecretRequest) -> v1.RotateSecretResponse:
        await self._call(tenant, request)
        return v1.RotateSecretResponse()

    async def test(self, tenant: str, request: v1.TestEndpointRequest) -> v1.TestEndpointResponse:
        await self._call(tenant, request)
        return v1.TestEndpointResponse()


class FakeDeliveries:
    """Use cases of deliveries."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def get(self, tenant: str, request: v1.GetDeliveryRequest) -> v1.Delivery:
        self.calls.append((tenant, request))
        return v1.Delivery()

    async def list(self, tenant: str, request: v1.ListDeliveriesRequest) -> v1.ListDeliveriesResponse:
        self.calls.append((tenant, request))
        return v1.ListDeliveriesResponse()

    async def redeliver(self, tenant: str, request: v1.RedeliverRequest) -> v1.RedeliverResponse:
        self.calls.append((tenant, request))
        return v1.RedeliverResponse()


class FakePulling:
    """Hands out each delivery that was acknowledged, as if it were new."""

    def __init__(self) -> None:
        self.tenants: list[str] = []

    async def receive(
        self, tenant: str, frames: AsyncIterator[v1.ReceiveDeliveriesRequest]
    ) -> AsyncGenerator[v1.ReceiveDeliveriesResponse]:
        self.tenants.append(tenant)
        async for frame in frames:
            if frame.HasField("ack_delivery_id"):
                yield v1.ReceiveDeliveriesResponse(delivery=v1.Delivery(id=frame.ack_delivery_id))


class FakeFiles:
    """Use cases of files."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def create(self, tenant: str, request: v1.CreateFileRequest) -> v1.File:
        self.calls.append((tenant, request))
        return v1.File()

    async def get(self, tenant: str, request: v1.GetFileRequest) -> v1.GetFileResponse:
        self.calls.append((tenant, request))
        return v1.GetFileResponse()

    async def list(self, tenant: str, request: v1.ListFilesRequest) -> v1.ListFilesResponse:
        self.calls.append((tenant, request))
        return v1.ListFilesResponse()

    async def delete(self, tenant: str, request: v1.DeleteFileRequest) -> v1.DeleteFileResponse:
        self.calls.append((tenant, request))
        return v1.DeleteFileResponse()


class FakeDispatch:
    """Use cases of dispatch."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def pause(self, tenant: str, request: v1.PauseDispatchRequest) -> v1.DispatchPause:
        self.calls.append((tenant, request))
        return v1.DispatchPause(reason=request.reason)

    async def resume(self, tenant: str, request: v1.ResumeDispatchRequest) -> v1.ResumeDispatchResponse:
        self.calls.append((tenant, request))
        return v1.ResumeDispatchResponse()

    async def list_pauses(self, tenant: str) -> v1.ListDispatchPausesResponse:
        return v1.ListDispatchPausesResponse()


class FakeSteps:
    """Use cases of steps."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def get(self, tenant: str, request: v1.GetStepRequest) -> v1.Step:
        self.calls.append((tenant, request))
        return v1.Step()

    async def list(self, tenant: str, request: v1.ListStepsRequest) -> v1.ListStepsResponse:
        self.calls.append((tenant, request))
        return v1.ListStepsResponse()

    async def list_messages(self, tenant: str, request: v1.ListStepMessagesRequest) -> v1.ListStepMessagesResponse:
        self.calls.append((tenant, request))
        return v1.ListStepMessagesResponse()

    async def update_feedback(self, tenant: str, request: v1.UpdateStepFeedbackRequest) -> v1.Step:
        self.calls.append((tenant, request))
        return v1.Step()


class FakeTools:
    """Use cases of tools."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def _call(self, tenant: str, request: Any) -> v1.Tool:
        self.calls.append((tenant, request))
        return v1.Tool(name="light")

    upsert = get = _call

    async def list(self, tenant: str, request: v1.ListToolsRequest) -> v1.ListToolsResponse:
        await self._call(tenant, request)
        return v1.ListToolsResponse()

    async def delete(self, tenant: str, request: v1.DeleteToolRequest) -> v1.DeleteToolResponse:
        await self._call(tenant, request)
        return v1.DeleteToolResponse()


class FakeQueue:
    """The use case of queues."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def get(self, tenant: str, request: v1.GetQueueStatsRequest) -> v1.GetQueueStatsResponse:
        self.calls.append((tenant, request))
        return v1.GetQueueStatsResponse(slots=1)


class FakeAudit:
    """The use case of the audit."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def list(self, tenant: str, request: v1.ListAuditEntriesRequest) -> v1.ListAuditEntriesResponse:
        self.calls.append((tenant, request))
        return v1.ListAuditEntriesResponse()


class FakeModels:
    """A catalogue of one model."""

    async def list(self) -> v1.ListModelsResponse:
        return v1.ListModelsResponse(models=[v1.Model(handle="scripted/echo")])


QUOTA = v1.Quota(name="watchers", subject=f"tenant:{DEFAULT_TENANT}", limit=10, used=1, per_process=True)


class FakeQuotas:
    async def told(self, tenant: str) -> list[v1.Quota]:
        return [QUOTA] if tenant == DEFAULT_TENANT else []


class Door:
    """A door that is open, and what is behind it."""

    def __init__(self, gate: Gate | None = None, certificates: Certificates | None = None, **settings: Any) -> None:
        self.runs = FakeRuns()
        self.actions = FakeActions()
        self.agents = FakeAgents()
        self.conversations = FakeConversations()
        self.blocks = FakeBlocks()
        self.endpoints = FakeEndpoints()
        self.deliveries = FakeDeliveries()
        self.pulling = FakePulling()
        self.files = FakeFiles()
        self.steps = FakeSteps()
        self.dispatch = FakeDispatch()
        self.tools = FakeTools()
        self.queue = FakeQueue()
        self.audit = FakeAudit()
        self.settings = Settings().model_copy(update={"grpc_address": "127.0.0.1:0"} | settings)
        self.server = GrpcServer(
            self.settings,
            UseCases(
                runs=cast(RunService, self.runs),
                actions=cast(ActionService, self.actions),
                agents=cast(AgentService, self.agents),
                conversations=cast(ConversationService, self.conversations),
                blocks=cast(BlockService, self.blocks),
                callbacks=CallbackService(
                    cast(EndpointService, self.endpoints),
                    cast(DeliveryService, self.deliveries),
                    cast(Pulling, self.pulling),
                ),
                files=cast(FileService, self.files),
                audit=cast(AuditService, self.audit),
                steps=cast(StepService, self.steps),
                tools=cast(ToolService, self.tools),
                models=cast(Catalogue, FakeModels()),
                queue=cast(QueueStats, self.queue),
                dispatch=cast(DispatchService, self.dispatch),
                info=ServerInfo(server_info(self.settings), FakeQuotas()),
            ),
            Doorway(
                gate=gate or OpenGate(),
                max_request_bytes=self.settings.max_request_bytes,
                certificates=certificates,
            ),
            stop_grace_s=0.1,
        )

    def channel(self, *options: tuple[str, int]) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.server.address, options=options)


@asynccontextmanager
async def open_door(
    gate: Gate | None = None, certificates: Certificates | None = None, **settings: Any
) -> AsyncIterator[Door]:
    door = Door(gate, certificates, **settings)
    async with door.server:
        yield door


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; for what the door keeps count of and tells nobody. The caller bounds the time."""
    while not holds():  # noqa: ASYNC110  # the counters have no event to wait for
        await asyncio.sleep(0)
