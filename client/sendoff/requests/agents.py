"""Requests about agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import methods, v1
from sendoff.methods import Call
from sendoff.requests.json_text import json_object
from sendoff.requests.request_ids import new_request_id


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


class AgentFilters(TypedDict, total=False):
    """Which agents; all that are given must hold. None is as if it were not given. See AgentFilter."""

    name: str | None
    name_search: str
    tags: Sequence[str]
    match_all_tags: bool
    last_stop_reasons: Sequence[v1.StopReason.ValueType]
    agent_ids: Sequence[str]


def create_agent(request_id: str | None, fields: AgentFields) -> Call[v1.CreateAgentRequest, v1.Agent]:
    """CreateAgent, with a request_id in any case."""
    request = v1.CreateAgentRequest(agent=_agent(fields), request_id=request_id or new_request_id())
    return Call(methods.CREATE_AGENT, request, is_repeatable=True)


def get_agent(agent_id: str) -> Call[v1.GetAgentRequest, v1.Agent]:
    return methods.GET_AGENT.call(v1.GetAgentRequest(agent_id=agent_id))


def update_agent(agent_id: str, etag: str | None, fields: AgentFields) -> Call[v1.UpdateAgentRequest, v1.Agent]:
    """UpdateAgent of exactly the fields that are given, be they empty.

    With an etag it is not repeated: the repeat of an update that worked would be told that the agent has changed.
    """
    agent = _agent(fields)
    agent.etag = etag or ""
    request = v1.UpdateAgentRequest(agent_id=agent_id, agent=agent, update_mask=FieldMask(paths=sorted(fields)))
    return Call(methods.UPDATE_AGENT, request, is_repeatable=not etag)


def delete_agent(agent_id: str, *, cancel_runs: bool) -> Call[v1.DeleteAgentRequest, v1.DeleteAgentResponse]:
    return methods.DELETE_AGENT.call(v1.DeleteAgentRequest(agent_id=agent_id, cancel_runs=cancel_runs))


def count_agents(filters: AgentFilters) -> Call[v1.CountAgentsRequest, v1.CountAgentsResponse]:
    return methods.COUNT_AGENTS.call(v1.CountAgentsRequest(filter=v1.AgentFilter(**filters)))


def compile_system(
    agent_id: str, conversation_id: str | None
) -> Call[v1.CompileSystemRequest, v1.CompileSystemResponse]:
    return methods.COMPILE_SYSTEM.call(v1.CompileSystemRequest(agent_id=agent_id, conversation_id=conversation_id))


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
        metadata=json_object(fields.get("metadata")),
        model_settings=fields.get("model_settings"),
        context_window_limit=fields.get("context_window_limit"),
        compaction_settings=fields.get("compaction_settings"),
        message_buffer_autoclear=fields.get("message_buffer_autoclear", False),
        timezone=fields.get("timezone", ""),
        secrets=fields.get("secrets"),
    )
