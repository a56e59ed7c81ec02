"""Builds the requests of the contract from what a caller says in Python."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from sendoff import methods, v1
from sendoff.methods import Call, Method, Req, Resp

Input: TypeAlias = "str | v1.Content | Sequence[v1.MessageCreate | v1.InputMessage]"
"""What to work on: text, content with parts, or whole messages."""


class SendOptions(TypedDict, total=False):
    """How to work on a message; all are optional, and None is as if it were not given.

    See CreateMessageAsyncRequest.
    """

    conversation_id: str | None
    """Unset: the agent's own conversation."""
    request_id: str | None
    """Names this request: sent again, it is the same run. Unset: a new UUID."""
    override_model: str | None
    override_system: str | None
    max_steps: int | None
    callback_url: str | None
    """Where the server POSTs when the run has ended."""
    callback: v1.CallbackOptions | None
    """Of which events `callback_url` is told, with what, and signed by whom. Unset: of the end, as Letta does."""
    metadata: Mapping[str, Any] | None
    """Anything that JSON can hold."""
    labels: Mapping[str, str] | None
    retention_s: float | None
    """How long the run is kept once it has ended. Unset: as long as the server keeps runs."""
    when_busy: v1.WhenBusy.ValueType | None
    when_pending: v1.WhenPending.ValueType | None
    start_time: Timestamp | None
    """The run is not started before."""
    priority: int | None
    """1 to 5, 1 first."""
    fairness_key: str | None
    """Whom the run shares slots as."""
    client_tools: Sequence[v1.ClientTool] | None
    """Tools that run here."""
    limits: v1.Limits | None
    include_return_message_types: Sequence[v1.MessageType.ValueType] | None
    """Empty: none; unset: all."""
    validate_only: bool


class AgentFields(TypedDict, total=False):
    """What an agent has and a caller may set."""

    name: str
    model: str
    system: str
    description: str
    tags: Sequence[str]
    tool_ids: Sequence[str]
    parallel_tool_calls: bool
    """Whether one answer may call several tools."""
    tool_rules: Sequence[v1.ToolRule]
    block_ids: Sequence[str]
    """Its memory blocks, in the order in which the model is told of them."""
    metadata: Mapping[str, Any]
    model_settings: v1.ModelSettings
    """How its model is called."""
    context_window_limit: int
    """Most tokens of its contexts, if that is less than the model's window."""
    compaction_settings: v1.CompactionSettings
    message_buffer_autoclear: bool
    """Whether it is shown nothing of earlier turns."""
    timezone: str
    """In which it is told times, as the IANA database names it."""
    secrets: Mapping[str, str]
    """Environment variables of its Python tools."""


class BlockFields(TypedDict, total=False):
    """What a memory block has and a caller may set."""

    label: str
    """Names it to the model; unique among the blocks of an agent."""
    value: str
    limit: int
    """Most characters of the value; 0: the server's default."""
    description: str
    """What it is for, told to the model."""
    read_only: bool
    """Whether memory tools may not change it."""
    tags: Sequence[str]
    metadata: Mapping[str, Any]


class ConversationFields(TypedDict, total=False):
    """What a conversation has and a caller may set. None is as if it were not given; in an update it takes away."""

    summary: str | None
    description: str | None
    model: str | None
    """Wins over the agent's."""
    archived: bool | None
    hidden: bool | None
    """Left out of lists, but for those that ask for what is hidden."""
    labels: Mapping[str, str] | None
    metadata: Mapping[str, Any] | None
    model_settings: v1.ModelSettings | None
    """How the model is called; wins over the agent's, field by field."""
    context_window_limit: int | None
    """Wins over the agent's."""


class ConversationFilters(TypedDict, total=False):
    """Which conversations to list, in which order. None is as if it were not given. See ListConversationsRequest."""

    order_by: str
    """"last_message_time desc", for example; unset: the newest first."""
    summary_search: str | None
    archived: bool | None
    show_hidden: bool
    after_conversation_id: str | None
    page_size: int


class MessageFilters(TypedDict, total=False):
    """Which messages to list, and in which order. See ListMessagesRequest."""

    agent_id: str | None
    """With conversation_id "default": whose. With an empty one: all of this agent; without that too: of all agents."""
    order_by: str
    """"position" is oldest first; unset: newest first."""
    message_types: Sequence[v1.MessageType.ValueType]
    newer_than_message_id: str | None
    older_than_message_id: str | None
    use_assistant_message: bool | None
    """Show calls of the tool through which the agent speaks as what it says."""
    assistant_message_tool_name: str | None
    assistant_message_tool_kwarg: str | None
    page_size: int


class AuditFilters(TypedDict, total=False):
    """Which entries of the audit to list; all that are given must hold. See ListAuditEntriesRequest."""

    start_time: Timestamp | None
    end_time: Timestamp | None
    key_id: str
    method: str
    resource_id: str
    outcome: str
    page_size: int


class StepFilters(TypedDict, total=False):
    """Which steps to list; all that are given must hold. None is as if it were not given. See ListStepsRequest."""

    run_id: str
    agent_id: str | None
    model: str | None
    trace_ids: Sequence[str]
    tags: Sequence[str]
    """One of these."""
    feedback: v1.StepFeedback.ValueType
    has_feedback: bool | None
    started_from: Timestamp | None
    started_until: Timestamp | None
    order_by: str
    page_size: int


class AgentFilters(TypedDict, total=False):
    """Which agents; all that are given must hold. None is as if it were not given. See AgentFilter."""

    name: str | None
    name_search: str
    tags: Sequence[str]
    match_all_tags: bool
    last_stop_reasons: Sequence[v1.StopReason.ValueType]
    agent_ids: Sequence[str]


class BlockFilters(TypedDict, total=False):
    """Which blocks to list, and in which order; all that are given must hold. See ListBlocksRequest."""

    label_search: str
    value_search: str
    description_search: str
    tags: Sequence[str]
    match_all_tags: bool
    order_by: str


class ToolFilters(TypedDict, total=False):
    """Which tools to list, and in which order; all that are given must hold. See ListToolsRequest."""

    agent_id: str | None
    """Those that this agent names."""
    names: Sequence[str]
    types: Sequence[v1.ToolType.ValueType]
    tool_ids: Sequence[str]
    name_search: str
    order_by: str
    page_size: int


class RunFilters(TypedDict, total=False):
    """Which runs to list; all that are given must hold. None is as if it were not given. See ListRunsRequest."""

    agent_id: str | None
    agent_ids: Sequence[str]
    """One of these."""
    conversation_id: str | None
    statuses: Sequence[v1.RunStatus.ValueType]
    stop_reasons: Sequence[v1.StopReason.ValueType]
    background: bool | None
    active: bool | None
    request_id: str | None
    otid: str | None
    filter: str
    order_by: str
    page_size: int


def new_request_id() -> str:
    """A name for one request that no other has."""
    return str(uuid.uuid4())


def send(agent_id: str, input: Input, options: SendOptions) -> Call[v1.CreateMessageAsyncRequest, v1.Run]:
    """CreateMessageAsync, from its usual parts. The agent may be empty when a conversation is named."""
    request = v1.CreateMessageAsyncRequest(
        agent_id=agent_id,
        conversation_id=options.get("conversation_id"),
        request_id=options.get("request_id"),
        override_model=options.get("override_model"),
        override_system=options.get("override_system"),
        max_steps=options.get("max_steps"),
        callback_url=options.get("callback_url"),
        callback=options.get("callback"),
        labels=options.get("labels"),
        metadata=_json_object(options.get("metadata")),
        client_tools=options.get("client_tools"),
        limits=options.get("limits"),
        validate_only=options.get("validate_only", False),
    )
    _put_input(request, input)
    if (types := options.get("include_return_message_types")) is not None:
        request.include_return_message_types.CopyFrom(v1.MessageTypes(values=types))
    if (retention_s := options.get("retention_s")) is not None:
        request.scheduling.retention.FromNanoseconds(round(retention_s * 1e9))
    if (when_busy := options.get("when_busy")) is not None:
        request.scheduling.when_busy = when_busy
    if (when_pending := options.get("when_pending")) is not None:
        request.scheduling.when_pending = when_pending
    if (start_time := options.get("start_time")) is not None:
        request.scheduling.start_time.CopyFrom(start_time)
    if (priority := options.get("priority")) is not None:
        request.scheduling.priority = priority
    if (fairness_key := options.get("fairness_key")) is not None:
        request.scheduling.fairness_key = fairness_key
    return create_message_async(request)


def create_message_async(request: v1.CreateMessageAsyncRequest) -> Call[v1.CreateMessageAsyncRequest, v1.Run]:
    """CreateMessageAsync. A request without a request_id is copied and given one, so that it can be repeated."""
    if not request.HasField("request_id"):
        named = v1.CreateMessageAsyncRequest()
        named.CopyFrom(request)
        named.request_id = new_request_id()
        request = named
    return Call(methods.CREATE_MESSAGE_ASYNC, request, is_repeatable=True)


def get_run(run_id: str) -> Call[v1.GetRunRequest, v1.Run]:
    return _call(methods.GET_RUN, v1.GetRunRequest(run_id=run_id))


def explain_run(run_id: str) -> Call[v1.ExplainRunRequest, v1.ExplainRunResponse]:
    return _call(methods.EXPLAIN_RUN, v1.ExplainRunRequest(run_id=run_id))


def list_runs(filters: RunFilters) -> v1.ListRunsRequest:
    return v1.ListRunsRequest(**filters)


def cancel_run(run_id: str, *, rollback: bool, reason: str | None) -> Call[v1.CancelRunRequest, v1.Run]:
    return _call(methods.CANCEL_RUN, v1.CancelRunRequest(run_id=run_id, rollback=rollback, reason=reason))


def delete_run(run_id: str) -> Call[v1.DeleteRunRequest, v1.DeleteRunResponse]:
    return _call(methods.DELETE_RUN, v1.DeleteRunRequest(run_id=run_id))


def step_messages(step_id: str) -> Call[v1.ListStepMessagesRequest, v1.ListStepMessagesResponse]:
    return _call(methods.LIST_STEP_MESSAGES, v1.ListStepMessagesRequest(step_id=step_id))


def set_step_feedback(
    step_id: str, feedback: v1.StepFeedback.ValueType, tags: Sequence[str] | None
) -> Call[v1.UpdateStepFeedbackRequest, v1.Step]:
    request = v1.UpdateStepFeedbackRequest(step_id=step_id, feedback=feedback)
    if tags is not None:
        request.tags.CopyFrom(v1.StepTags(values=tags))
    return _call(methods.UPDATE_STEP_FEEDBACK, request)


def get_message(message_id: str) -> Call[v1.GetMessageRequest, v1.GetMessageResponse]:
    return _call(methods.GET_MESSAGE, v1.GetMessageRequest(message_id=message_id))


def get_step(step_id: str) -> Call[v1.GetStepRequest, v1.Step]:
    return _call(methods.GET_STEP, v1.GetStepRequest(step_id=step_id))


def create_agent(request_id: str | None, fields: AgentFields) -> Call[v1.CreateAgentRequest, v1.Agent]:
    """CreateAgent, with a request_id in any case."""
    request = v1.CreateAgentRequest(agent=_agent(fields), request_id=request_id or new_request_id())
    return Call(methods.CREATE_AGENT, request, is_repeatable=True)


def get_agent(agent_id: str) -> Call[v1.GetAgentRequest, v1.Agent]:
    return _call(methods.GET_AGENT, v1.GetAgentRequest(agent_id=agent_id))


def update_agent(agent_id: str, etag: str | None, fields: AgentFields) -> Call[v1.UpdateAgentRequest, v1.Agent]:
    """UpdateAgent of exactly the fields that are given, be they empty.

    With an etag it is not repeated: the repeat of an update that worked would be told that the agent has changed.
    """
    agent = _agent(fields)
    agent.etag = etag or ""
    request = v1.UpdateAgentRequest(agent_id=agent_id, agent=agent, update_mask=FieldMask(paths=sorted(fields)))
    return Call(methods.UPDATE_AGENT, request, is_repeatable=not etag)


def delete_agent(agent_id: str, *, cancel_runs: bool) -> Call[v1.DeleteAgentRequest, v1.DeleteAgentResponse]:
    return _call(methods.DELETE_AGENT, v1.DeleteAgentRequest(agent_id=agent_id, cancel_runs=cancel_runs))


def create_file(data: bytes, media_type: str, name: str, request_id: str | None) -> Call[v1.CreateFileRequest, v1.File]:
    """CreateFile, with a request_id in any case."""
    file = v1.File(name=name, media_type=media_type)
    request = v1.CreateFileRequest(file=file, data=data, request_id=request_id or new_request_id())
    return Call(methods.CREATE_FILE, request, is_repeatable=True)


def get_file(file_id: str, *, include_data: bool) -> Call[v1.GetFileRequest, v1.GetFileResponse]:
    return _call(methods.GET_FILE, v1.GetFileRequest(file_id=file_id, include_data=include_data))


def delete_file(file_id: str) -> Call[v1.DeleteFileRequest, v1.DeleteFileResponse]:
    return _call(methods.DELETE_FILE, v1.DeleteFileRequest(file_id=file_id))


def create_conversation(
    agent_id: str, request_id: str | None, fields: ConversationFields
) -> Call[v1.CreateConversationRequest, v1.Conversation]:
    """CreateConversation, with a request_id in any case."""
    request = v1.CreateConversationRequest(
        agent_id=agent_id, conversation=_conversation(fields), request_id=request_id or new_request_id()
    )
    return Call(methods.CREATE_CONVERSATION, request, is_repeatable=True)


def fork_conversation(
    conversation_id: str,
    agent_id: str | None,
    at_message_id: str | None,
    request_id: str | None,
    fields: ConversationFields,
) -> Call[v1.ForkConversationRequest, v1.Conversation]:
    """ForkConversation, with a request_id in any case."""
    request = v1.ForkConversationRequest(
        conversation_id=conversation_id,
        agent_id=agent_id,
        at_message_id=at_message_id,
        conversation=_conversation(fields),
        request_id=request_id or new_request_id(),
    )
    return Call(methods.FORK_CONVERSATION, request, is_repeatable=True)


def get_conversation(conversation_id: str) -> Call[v1.GetConversationRequest, v1.Conversation]:
    return _call(methods.GET_CONVERSATION, v1.GetConversationRequest(conversation_id=conversation_id))


def update_conversation(
    conversation_id: str, etag: str | None, fields: ConversationFields
) -> Call[v1.UpdateConversationRequest, v1.Conversation]:
    """UpdateConversation of exactly the fields that are given. With an etag it is not repeated, as UpdateAgent."""
    conversation = _conversation(fields)
    conversation.etag = etag or ""
    request = v1.UpdateConversationRequest(
        conversation_id=conversation_id, conversation=conversation, update_mask=FieldMask(paths=sorted(fields))
    )
    return Call(methods.UPDATE_CONVERSATION, request, is_repeatable=not etag)


def delete_conversation(
    conversation_id: str, *, cancel_runs: bool
) -> Call[v1.DeleteConversationRequest, v1.DeleteConversationResponse]:
    request = v1.DeleteConversationRequest(conversation_id=conversation_id, cancel_runs=cancel_runs)
    return _call(methods.DELETE_CONVERSATION, request)


def get_conversation_context(
    conversation_id: str, agent_id: str | None
) -> Call[v1.GetConversationContextRequest, v1.ConversationContext]:
    request = v1.GetConversationContextRequest(conversation_id=conversation_id, agent_id=agent_id)
    return _call(methods.GET_CONVERSATION_CONTEXT, request)


def compact_conversation(
    conversation_id: str, agent_id: str | None, request_id: str | None
) -> Call[v1.CompactConversationRequest, v1.CompactConversationResponse]:
    """CompactConversation, with a request_id in any case."""
    request = v1.CompactConversationRequest(
        conversation_id=conversation_id, agent_id=agent_id, request_id=request_id or new_request_id()
    )
    return Call(methods.COMPACT_CONVERSATION, request, is_repeatable=True)


def reset_conversation(
    conversation_id: str, agent_id: str | None, request_id: str | None
) -> Call[v1.ResetConversationRequest, v1.ResetConversationResponse]:
    """ResetConversation, with a request_id in any case."""
    request = v1.ResetConversationRequest(
        conversation_id=conversation_id, agent_id=agent_id, request_id=request_id or new_request_id()
    )
    return Call(methods.RESET_CONVERSATION, request, is_repeatable=True)


def compile_system(
    agent_id: str, conversation_id: str | None
) -> Call[v1.CompileSystemRequest, v1.CompileSystemResponse]:
    return _call(methods.COMPILE_SYSTEM, v1.CompileSystemRequest(agent_id=agent_id, conversation_id=conversation_id))


def list_messages(conversation_id: str, filters: MessageFilters) -> v1.ListMessagesRequest:
    return v1.ListMessagesRequest(conversation_id=conversation_id, **filters)


def create_block(request_id: str | None, fields: BlockFields) -> Call[v1.CreateBlockRequest, v1.Block]:
    """CreateBlock, with a request_id in any case."""
    request = v1.CreateBlockRequest(block=_block(fields), request_id=request_id or new_request_id())
    return Call(methods.CREATE_BLOCK, request, is_repeatable=True)


def get_block(block_id: str) -> Call[v1.GetBlockRequest, v1.Block]:
    return _call(methods.GET_BLOCK, v1.GetBlockRequest(block_id=block_id))


def update_block(block_id: str, etag: str | None, fields: BlockFields) -> Call[v1.UpdateBlockRequest, v1.Block]:
    """UpdateBlock of exactly the fields that are given, be they empty. With an etag it is not repeated, as
    UpdateAgent."""
    block = _block(fields)
    block.etag = etag or ""
    request = v1.UpdateBlockRequest(block_id=block_id, block=block, update_mask=FieldMask(paths=sorted(fields)))
    return Call(methods.UPDATE_BLOCK, request, is_repeatable=not etag)


def delete_block(block_id: str) -> Call[v1.DeleteBlockRequest, v1.DeleteBlockResponse]:
    return _call(methods.DELETE_BLOCK, v1.DeleteBlockRequest(block_id=block_id))


def count_agents(filters: AgentFilters) -> Call[v1.CountAgentsRequest, v1.CountAgentsResponse]:
    return _call(methods.COUNT_AGENTS, v1.CountAgentsRequest(filter=v1.AgentFilter(**filters)))


def upsert_tool(
    tool: v1.Tool, fields: Sequence[str] | None, *, create_only: bool
) -> Call[v1.UpsertToolRequest, v1.Tool]:
    """UpsertTool of these fields, None for all. With an etag it is not repeated, as UpdateAgent; nor if it may only
    make: the repeat would find what it made."""
    mask = FieldMask(paths=fields) if fields is not None else None
    request = v1.UpsertToolRequest(tool=tool, update_mask=mask, create_only=create_only)
    return Call(methods.UPSERT_TOOL, request, is_repeatable=not (tool.etag or create_only))


def get_tool(tool_id: str) -> Call[v1.GetToolRequest, v1.Tool]:
    return _call(methods.GET_TOOL, v1.GetToolRequest(tool_id=tool_id))


def list_tools(filters: ToolFilters) -> v1.ListToolsRequest:
    return v1.ListToolsRequest(**filters)


def silent_mcp_servers() -> Call[v1.ListToolsRequest, v1.ListToolsResponse]:
    return _call(methods.LIST_TOOLS, v1.ListToolsRequest(types=[v1.TOOL_TYPE_MCP], page_size=1))


def delete_tool(tool_id: str) -> Call[v1.DeleteToolRequest, v1.DeleteToolResponse]:
    return _call(methods.DELETE_TOOL, v1.DeleteToolRequest(tool_id=tool_id))


def list_models() -> Call[v1.ListModelsRequest, v1.ListModelsResponse]:
    return _call(methods.LIST_MODELS, v1.ListModelsRequest())


def get_server_info() -> Call[v1.GetServerInfoRequest, v1.GetServerInfoResponse]:
    return _call(methods.GET_SERVER_INFO, v1.GetServerInfoRequest())


def get_queue_stats(fairness_key: str | None) -> Call[v1.GetQueueStatsRequest, v1.GetQueueStatsResponse]:
    return _call(methods.GET_QUEUE_STATS, v1.GetQueueStatsRequest(fairness_key=fairness_key))


def pause_dispatch(
    agent_id: str | None, fairness_key: str | None, reason: str
) -> Call[v1.PauseDispatchRequest, v1.DispatchPause]:
    request = v1.PauseDispatchRequest(agent_id=agent_id, fairness_key=fairness_key, reason=reason)
    return _call(methods.PAUSE_DISPATCH, request)


def resume_dispatch(
    agent_id: str | None, fairness_key: str | None
) -> Call[v1.ResumeDispatchRequest, v1.ResumeDispatchResponse]:
    return _call(methods.RESUME_DISPATCH, v1.ResumeDispatchRequest(agent_id=agent_id, fairness_key=fairness_key))


def list_dispatch_pauses() -> Call[v1.ListDispatchPausesRequest, v1.ListDispatchPausesResponse]:
    return _call(methods.LIST_DISPATCH_PAUSES, v1.ListDispatchPausesRequest())


def check_health(service: str) -> Call[StringValue, Int32Value]:
    return _call(methods.CHECK_HEALTH, StringValue(value=service))


def _call(method: Method[Req, Resp], request: Req) -> Call[Req, Resp]:
    return Call(method, request, method.is_idempotent)


def _put_input(request: v1.CreateMessageAsyncRequest, input: Input) -> None:
    if isinstance(input, str):
        request.input.text = input
    elif isinstance(input, v1.Content):
        request.input.CopyFrom(input)
    else:
        # Copied whole, so that an empty list is sent as such, and refused.
        request.messages.CopyFrom(v1.InputMessages(messages=map(_input_message, input)))


def _input_message(message: v1.MessageCreate | v1.InputMessage) -> v1.InputMessage:
    return message if isinstance(message, v1.InputMessage) else v1.InputMessage(message=message)


def _agent(fields: AgentFields) -> v1.Agent:
    return v1.Agent(
        name=fields.get("name", ""),
        model=fields.get("model", ""),
        system=fields.get("system", ""),
        description=fields.get("description", ""),
        tags=fields.get("tags", ()),
        tool_ids=fields.get("tool_ids", ()),
        parallel_tool_calls=fields.get("parallel_tool_calls"),
        tool_rules=fields.get("tool_rules", ()),
        block_ids=fields.get("block_ids", ()),
        metadata=_json_object(fields.get("metadata")),
        model_settings=fields.get("model_settings"),
        context_window_limit=fields.get("context_window_limit"),
        compaction_settings=fields.get("compaction_settings"),
        message_buffer_autoclear=fields.get("message_buffer_autoclear", False),
        timezone=fields.get("timezone", ""),
        secrets=fields.get("secrets"),
    )


def _block(fields: BlockFields) -> v1.Block:
    return v1.Block(
        label=fields.get("label", ""),
        value=fields.get("value", ""),
        limit=fields.get("limit", 0),
        description=fields.get("description", ""),
        read_only=fields.get("read_only", False),
        tags=fields.get("tags", ()),
        metadata=_json_object(fields.get("metadata")),
    )


def _conversation(fields: ConversationFields) -> v1.Conversation:
    return v1.Conversation(
        summary=fields.get("summary"),
        description=fields.get("description"),
        model=fields.get("model"),
        archived=bool(fields.get("archived")),
        hidden=bool(fields.get("hidden")),
        labels=fields.get("labels"),
        metadata=_json_object(fields.get("metadata")),
        model_settings=fields.get("model_settings"),
        context_window_limit=fields.get("context_window_limit"),
    )


def _json_object(value: Mapping[str, Any] | None) -> v1.JsonObject | None:
    """As text. Raises TypeError or ValueError for what JSON cannot hold."""
    if value is None:
        return None
    return v1.JsonObject(json=json.dumps(dict(value), ensure_ascii=False, allow_nan=False))
