"""Rules of the requests of `AgentService`."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.limits import (
    MAX_AGENT_BLOCKS,
    MAX_AGENT_TOOLS,
    MAX_KEY_CHARACTERS,
    MAX_SEARCH_CHARACTERS,
    MAX_SYSTEM_BYTES,
)
from sendoff_server.validation.model_settings import (
    check_compaction_settings,
    check_model_settings,
    check_timezone,
)
from sendoff_server.validation.rules import (
    AGENT_ID,
    BLOCK_ID,
    TOOL_ID,
    check_choice,
    check_conversation_id,
    check_enum,
    check_id,
    check_items,
    check_length,
    check_no_control_characters,
    check_number,
    check_size,
    check_tags,
)
from sendoff_server.validation.secrets import check_secrets
from sendoff_server.validation.tool_rules import check_tool_rules
from sendoff_server.validation.unsupported import check_supported
from sendoff_server.validation.violations import Violations

UPDATABLE = (
    "name",
    "description",
    "model",
    "system",
    "tags",
    "metadata",
    "tool_ids",
    "block_ids",
    "tool_rules",
    "parallel_tool_calls",
    "model_settings",
    "context_window_limit",
    "compaction_settings",
    "message_buffer_autoclear",
    "timezone",
    "secrets",
)
"""What an update mask may name."""

_NAME_CHARACTERS = 255
_MAX_IDS = 100
_ORDERS = (
    "",
    *(f"{field}{way}" for field in ("create_time", "update_time", "last_run_time") for way in ("", " asc", " desc")),
)
_TAG_ORDERS = ("", "name", "name asc", "name desc")
_STOP_REASONS = frozenset(v1.StopReason.values()) - {0}
_DESCRIPTION_BYTES = 65_536


def check_create_agent(request: v1.CreateAgentRequest) -> None:
    found = Violations()
    if request.HasField("agent"):
        agent = request.agent
        _check_agent(found, agent)
        for name, is_set in {
            "id": agent.id,
            "etag": agent.etag,
            "create_time": agent.HasField("create_time"),
            "update_time": agent.HasField("update_time"),
        }.items():
            if is_set:
                found.add(f"agent.{name}", "is made by the server")
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    found.refuse()
    check_supported(request)


def check_get_agent(request: v1.GetAgentRequest) -> None:
    found = Violations()
    check_id(found, "agent_id", request.agent_id, AGENT_ID)
    found.refuse()


def check_list_agents(request: v1.ListAgentsRequest) -> None:
    found = Violations()
    _check_filter(found, request.filter)
    check_choice(found, "order_by", request.order_by, _ORDERS)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_count_agents(request: v1.CountAgentsRequest) -> None:
    found = Violations()
    _check_filter(found, request.filter)
    found.refuse()


def check_list_tags(request: v1.ListTagsRequest) -> None:
    found = Violations()
    check_length(found, "search", request.search, most=MAX_SEARCH_CHARACTERS)
    check_choice(found, "order_by", request.order_by, _TAG_ORDERS)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def _check_filter(found: Violations, wanted: v1.AgentFilter) -> None:
    check_length(found, "filter.name", wanted.name, most=_NAME_CHARACTERS)
    check_length(found, "filter.name_search", wanted.name_search, most=MAX_SEARCH_CHARACTERS)
    check_tags(found, "filter.tags", wanted.tags)
    for index, reason in enumerate(wanted.last_stop_reasons):
        check_enum(found, f"filter.last_stop_reasons[{index}]", reason, _STOP_REASONS)
    if check_items(found, "filter.agent_ids", len(wanted.agent_ids), most=_MAX_IDS):
        for index, agent_id in enumerate(wanted.agent_ids):
            check_id(found, f"filter.agent_ids[{index}]", agent_id, AGENT_ID)


def check_update_agent(request: v1.UpdateAgentRequest) -> None:
    """Output-only fields are let through, so that an agent that was read can be sent back changed."""
    found = Violations()
    check_id(found, "agent_id", request.agent_id, AGENT_ID)
    _check_agent(found, request.agent)
    if request.agent.id not in ("", request.agent_id):
        found.add("agent.id", "must be agent_id or empty")
    for index, path in enumerate(request.update_mask.paths):
        if path not in UPDATABLE:
            found.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(UPDATABLE)}")
    found.refuse()
    check_supported(request)


def check_delete_agent(request: v1.DeleteAgentRequest) -> None:
    found = Violations()
    check_id(found, "agent_id", request.agent_id, AGENT_ID)
    found.refuse()


def _check_agent(found: Violations, agent: v1.Agent) -> None:
    check_length(found, "agent.name", agent.name, most=_NAME_CHARACTERS)
    check_no_control_characters(found, "agent.name", agent.name)
    check_length(found, "agent.model", agent.model, most=255)
    check_size(found, "agent.system", agent.system, most=MAX_SYSTEM_BYTES)
    check_size(found, "agent.description", agent.description, most=_DESCRIPTION_BYTES)
    check_tags(found, "agent.tags", agent.tags)
    check_json_object(found, "agent.metadata", agent.metadata)
    if check_items(found, "agent.tool_ids", len(agent.tool_ids), most=MAX_AGENT_TOOLS):
        for index, tool_id in enumerate(agent.tool_ids):
            check_id(found, f"agent.tool_ids[{index}]", tool_id, TOOL_ID)
            if tool_id in agent.tool_ids[:index]:
                found.add(f"agent.tool_ids[{index}]", "stands there twice")
    _check_blocks(found, agent.block_ids)
    check_tool_rules(found, "agent.tool_rules", agent.tool_rules)
    _check_settings(found, agent)


def _check_settings(found: Violations, agent: v1.Agent) -> None:
    check_model_settings(found, "agent.model_settings", agent.model_settings)
    check_compaction_settings(found, "agent.compaction_settings", agent.compaction_settings)
    check_timezone(found, "agent.timezone", agent.timezone)
    check_secrets(found, "agent.secrets", agent.secrets)
    if agent.HasField("context_window_limit"):
        check_number(found, "agent.context_window_limit", agent.context_window_limit, least=1)


def _check_blocks(found: Violations, block_ids: Sequence[str]) -> None:
    """Whether they are there, and differ in their labels, is told where the store can be asked."""
    if check_items(found, "agent.block_ids", len(block_ids), most=MAX_AGENT_BLOCKS):
        for index, block_id in enumerate(block_ids):
            check_id(found, f"agent.block_ids[{index}]", block_id, BLOCK_ID)
            if block_id in block_ids[:index]:
                found.add(f"agent.block_ids[{index}]", "is named before, and each may be named once")


def check_compile_system(request: v1.CompileSystemRequest) -> None:
    found = Violations()
    check_id(found, "agent_id", request.agent_id, AGENT_ID)
    if request.HasField("conversation_id"):
        check_conversation_id(found, "conversation_id", request.conversation_id)
    found.refuse()
