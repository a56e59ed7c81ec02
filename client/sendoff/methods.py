"""The RPCs of the contract as values, for the blocking and the asyncio client alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from sendoff import v1
from sendoff.v1 import (
    action_service_pb2,
    agent_service_pb2,
    block_service_pb2,
    callback_service_pb2,
    conversation_service_pb2,
    file_service_pb2,
    model_service_pb2,
    ops_service_pb2,
    run_service_pb2,
    step_service_pb2,
    tool_service_pb2,
)

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Req, Resp]):
    """One RPC."""

    path: str
    """As it stands in HTTP/2: /package.Service/Method."""
    request: type[Req]
    response: type[Resp]
    is_idempotent: bool
    """Whether the contract says that doing it twice is doing it once."""

    def call(self, request: Req) -> Call[Req, Resp]:
        """The call with this request, repeatable if the contract says so."""
        return Call(self, request, self.is_idempotent)


@dataclass(frozen=True, slots=True)
class Call(Generic[Req, Resp]):
    """A method with its request."""

    method: Method[Req, Resp]
    request: Req
    is_repeatable: bool
    """Whether it may be sent again when nobody knows what became of it."""


def _method(service: ServiceDescriptor, name: str, request: type[Req], response: type[Resp]) -> Method[Req, Resp]:
    described = service.methods_by_name[name]
    is_idempotent = described.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    return Method(f"/{service.full_name}/{name}", request, response, is_idempotent)


_RUNS = run_service_pb2.DESCRIPTOR.services_by_name["RunService"]
_ACTIONS = action_service_pb2.DESCRIPTOR.services_by_name["ActionService"]
_AGENTS = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]
_CONVERSATIONS = conversation_service_pb2.DESCRIPTOR.services_by_name["ConversationService"]
_BLOCKS = block_service_pb2.DESCRIPTOR.services_by_name["BlockService"]
_CALLBACKS = callback_service_pb2.DESCRIPTOR.services_by_name["CallbackService"]
_STEPS = step_service_pb2.DESCRIPTOR.services_by_name["StepService"]
_FILES = file_service_pb2.DESCRIPTOR.services_by_name["FileService"]
_TOOLS = tool_service_pb2.DESCRIPTOR.services_by_name["ToolService"]
_MODELS = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
_OPS = ops_service_pb2.DESCRIPTOR.services_by_name["OpsService"]

CREATE_MESSAGE_ASYNC = _method(_RUNS, "CreateMessageAsync", v1.CreateMessageAsyncRequest, v1.Run)
GET_RUN = _method(_RUNS, "GetRun", v1.GetRunRequest, v1.Run)
LIST_RUNS = _method(_RUNS, "ListRuns", v1.ListRunsRequest, v1.ListRunsResponse)
WAIT_RUN = _method(_RUNS, "WaitRun", v1.WaitRunRequest, v1.Run)
WATCH_RUN = _method(_RUNS, "WatchRun", v1.WatchRunRequest, v1.WatchRunResponse)
LIST_RUN_EVENTS = _method(_RUNS, "ListRunEvents", v1.ListRunEventsRequest, v1.ListRunEventsResponse)
LIST_RUN_MESSAGES = _method(_RUNS, "ListRunMessages", v1.ListRunMessagesRequest, v1.ListRunMessagesResponse)
DELETE_RUN = _method(_RUNS, "DeleteRun", v1.DeleteRunRequest, v1.DeleteRunResponse)
EXPLAIN_RUN = _method(_RUNS, "ExplainRun", v1.ExplainRunRequest, v1.ExplainRunResponse)
CANCEL_RUN = _method(_RUNS, "CancelRun", v1.CancelRunRequest, v1.Run)

LIST_PENDING_ACTIONS = _method(
    _ACTIONS, "ListPendingActions", v1.ListPendingActionsRequest, v1.ListPendingActionsResponse
)
RESPOND_TO_ACTIONS = _method(_ACTIONS, "RespondToActions", v1.RespondToActionsRequest, v1.RespondToActionsResponse)
GET_STEP = _method(_STEPS, "GetStep", v1.GetStepRequest, v1.Step)
LIST_STEPS = _method(_STEPS, "ListSteps", v1.ListStepsRequest, v1.ListStepsResponse)
LIST_STEP_MESSAGES = _method(_STEPS, "ListStepMessages", v1.ListStepMessagesRequest, v1.ListStepMessagesResponse)
UPDATE_STEP_FEEDBACK = _method(_STEPS, "UpdateStepFeedback", v1.UpdateStepFeedbackRequest, v1.Step)

CREATE_AGENT = _method(_AGENTS, "CreateAgent", v1.CreateAgentRequest, v1.Agent)
GET_AGENT = _method(_AGENTS, "GetAgent", v1.GetAgentRequest, v1.Agent)
LIST_AGENTS = _method(_AGENTS, "ListAgents", v1.ListAgentsRequest, v1.ListAgentsResponse)
COUNT_AGENTS = _method(_AGENTS, "CountAgents", v1.CountAgentsRequest, v1.CountAgentsResponse)
LIST_TAGS = _method(_AGENTS, "ListTags", v1.ListTagsRequest, v1.ListTagsResponse)
UPDATE_AGENT = _method(_AGENTS, "UpdateAgent", v1.UpdateAgentRequest, v1.Agent)
DELETE_AGENT = _method(_AGENTS, "DeleteAgent", v1.DeleteAgentRequest, v1.DeleteAgentResponse)
COMPILE_SYSTEM = _method(_AGENTS, "CompileSystem", v1.CompileSystemRequest, v1.CompileSystemResponse)

CREATE_CONVERSATION = _method(_CONVERSATIONS, "CreateConversation", v1.CreateConversationRequest, v1.Conversation)
GET_CONVERSATION = _method(_CONVERSATIONS, "GetConversation", v1.GetConversationRequest, v1.Conversation)
LIST_CONVERSATIONS = _method(
    _CONVERSATIONS, "ListConversations", v1.ListConversationsRequest, v1.ListConversationsResponse
)
UPDATE_CONVERSATION = _method(_CONVERSATIONS, "UpdateConversation", v1.UpdateConversationRequest, v1.Conversation)
DELETE_CONVERSATION = _method(
    _CONVERSATIONS, "DeleteConversation", v1.DeleteConversationRequest, v1.DeleteConversationResponse
)
FORK_CONVERSATION = _method(_CONVERSATIONS, "ForkConversation", v1.ForkConversationRequest, v1.Conversation)
GET_CONVERSATION_CONTEXT = _method(
    _CONVERSATIONS, "GetConversationContext", v1.GetConversationContextRequest, v1.ConversationContext
)
COMPACT_CONVERSATION = _method(
    _CONVERSATIONS, "CompactConversation", v1.CompactConversationRequest, v1.CompactConversationResponse
)
RESET_CONVERSATION = _method(
    _CONVERSATIONS, "ResetConversation", v1.ResetConversationRequest, v1.ResetConversationResponse
)
LIST_MESSAGES = _method(_CONVERSATIONS, "ListMessages", v1.ListMessagesRequest, v1.ListMessagesResponse)
GET_MESSAGE = _method(_CONVERSATIONS, "GetMessage", v1.GetMessageRequest, v1.GetMessageResponse)

CREATE_BLOCK = _method(_BLOCKS, "CreateBlock", v1.CreateBlockRequest, v1.Block)
GET_BLOCK = _method(_BLOCKS, "GetBlock", v1.GetBlockRequest, v1.Block)
LIST_BLOCKS = _method(_BLOCKS, "ListBlocks", v1.ListBlocksRequest, v1.ListBlocksResponse)
UPDATE_BLOCK = _method(_BLOCKS, "UpdateBlock", v1.UpdateBlockRequest, v1.Block)
DELETE_BLOCK = _method(_BLOCKS, "DeleteBlock", v1.DeleteBlockRequest, v1.DeleteBlockResponse)
CREATE_ENDPOINT = _method(_CALLBACKS, "CreateEndpoint", v1.CreateEndpointRequest, v1.CreateEndpointResponse)
GET_ENDPOINT = _method(_CALLBACKS, "GetEndpoint", v1.GetEndpointRequest, v1.CallbackEndpoint)
LIST_ENDPOINTS = _method(_CALLBACKS, "ListEndpoints", v1.ListEndpointsRequest, v1.ListEndpointsResponse)
UPDATE_ENDPOINT = _method(_CALLBACKS, "UpdateEndpoint", v1.UpdateEndpointRequest, v1.CallbackEndpoint)
DELETE_ENDPOINT = _method(_CALLBACKS, "DeleteEndpoint", v1.DeleteEndpointRequest, v1.DeleteEndpointResponse)
ROTATE_SECRET = _method(_CALLBACKS, "RotateSecret", v1.RotateSecretRequest, v1.RotateSecretResponse)
TEST_ENDPOINT = _method(_CALLBACKS, "TestEndpoint", v1.TestEndpointRequest, v1.TestEndpointResponse)
GET_DELIVERY = _method(_CALLBACKS, "GetDelivery", v1.GetDeliveryRequest, v1.Delivery)
LIST_DELIVERIES = _method(_CALLBACKS, "ListDeliveries", v1.ListDeliveriesRequest, v1.ListDeliveriesResponse)
REDELIVER = _method(_CALLBACKS, "Redeliver", v1.RedeliverRequest, v1.RedeliverResponse)
RECEIVE_DELIVERIES = _method(_CALLBACKS, "ReceiveDeliveries", v1.ReceiveDeliveriesRequest, v1.ReceiveDeliveriesResponse)

CREATE_FILE = _method(_FILES, "CreateFile", v1.CreateFileRequest, v1.File)
GET_FILE = _method(_FILES, "GetFile", v1.GetFileRequest, v1.GetFileResponse)
LIST_FILES = _method(_FILES, "ListFiles", v1.ListFilesRequest, v1.ListFilesResponse)
DELETE_FILE = _method(_FILES, "DeleteFile", v1.DeleteFileRequest, v1.DeleteFileResponse)
UPSERT_TOOL = _method(_TOOLS, "UpsertTool", v1.UpsertToolRequest, v1.Tool)
GET_TOOL = _method(_TOOLS, "GetTool", v1.GetToolRequest, v1.Tool)
LIST_TOOLS = _method(_TOOLS, "ListTools", v1.ListToolsRequest, v1.ListToolsResponse)
DELETE_TOOL = _method(_TOOLS, "DeleteTool", v1.DeleteToolRequest, v1.DeleteToolResponse)

LIST_MODELS = _method(_MODELS, "ListModels", v1.ListModelsRequest, v1.ListModelsResponse)
GET_SERVER_INFO = _method(_OPS, "GetServerInfo", v1.GetServerInfoRequest, v1.GetServerInfoResponse)
GET_QUEUE_STATS = _method(_OPS, "GetQueueStats", v1.GetQueueStatsRequest, v1.GetQueueStatsResponse)
PAUSE_DISPATCH = _method(_OPS, "PauseDispatch", v1.PauseDispatchRequest, v1.DispatchPause)
RESUME_DISPATCH = _method(_OPS, "ResumeDispatch", v1.ResumeDispatchRequest, v1.ResumeDispatchResponse)
LIST_AUDIT_ENTRIES = _method(_OPS, "ListAuditEntries", v1.ListAuditEntriesRequest, v1.ListAuditEntriesResponse)
LIST_DISPATCH_PAUSES = _method(_OPS, "ListDispatchPauses", v1.ListDispatchPausesRequest, v1.ListDispatchPausesResponse)

# grpc.health.v1, without its package: HealthCheckRequest is one string with number 1, HealthCheckResponse one enum
# with number 1, which on the wire is what these wrappers are.
CHECK_HEALTH = Method("/grpc.health.v1.Health/Check", StringValue, Int32Value, True)
HEALTH_SERVING = 1
