"""What agents have, as the API shows it and is told of it: memory blocks and tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sendoff import v1
from sendoff_server.errors import BlockNotFound, InvalidRequest, ToolNotFound, Violation
from sendoff_server.gateway.asked import message_of
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.doors import TENANT
from sendoff_server.gateway.nouns.runs import USER
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.use_cases import UseCases

Json = dict[str, Any]

BASE_TOOLS = ("conversation_search", "memory_insert", "memory_replace")
_TOOL_TYPES = {
    v1.TOOL_TYPE_BUILT_IN: "letta_memory_core",
    v1.TOOL_TYPE_MCP: "external_mcp",
    v1.TOOL_TYPE_PYTHON: "custom",
    v1.TOOL_TYPE_CLIENT: "custom",
}


class ToolUnknown(RefusedHere):
    """A tool is named that does not exist."""

    reason = "TOOL_UNKNOWN"
    http_status = 400


async def new_blocks(use_cases: UseCases, body: Mapping[str, Any]) -> list[str]:
    """Make the blocks that come with an agent; their ids, behind those of blocks that there are."""
    block_ids = _texts(body, "block_ids")
    blocks = body.get("memory_blocks") or []
    if not isinstance(blocks, list) or not all(isinstance(each, dict) for each in blocks):
        raise InvalidRequest([Violation("memory_blocks", "must be a list of blocks")])
    for each in blocks:
        made = message_of(v1.Block, {name: value for name, value in each.items() if name in _BLOCK_MEMBERS})
        block_ids.append((await use_cases.blocks.create(TENANT, v1.CreateBlockRequest(block=made))).id)
    return block_ids


_BLOCK_MEMBERS = ("label", "value", "limit", "description", "read_only", "metadata", "tags")


async def tool_ids(use_cases: UseCases, body: Mapping[str, Any], *, base_tools: bool) -> list[str]:
    """The tools that a body names, by id and by name, and the base tools. Raises ToolUnknown."""
    found = _texts(body, "tool_ids")
    names = [*_texts(body, "tools"), *(BASE_TOOLS if base_tools else ())]
    if names:
        listed = await use_cases.tools.list(TENANT, v1.ListToolsRequest(names=names[:100], page_size=1_000))
        by_name = {tool.name: tool.id for tool in listed.tools}
        for name in names:
            if name not in by_name:
                raise ToolUnknown(f"there is no tool {name!r}; GET /v1/tools/ shows those there are")
            found.append(by_name[name])
    return list(dict.fromkeys(found))


def _texts(body: Mapping[str, Any], name: str) -> list[str]:
    told = body.get(name) or []
    if not isinstance(told, list) or not all(isinstance(each, str) for each in told):
        raise InvalidRequest([Violation(name, "must be a list of strings")])
    return list(told)


async def blocks_of(use_cases: UseCases, agent: v1.Agent) -> list[Json]:
    found = []
    for block_id in agent.block_ids:
        try:
            found.append(block_json(await use_cases.blocks.get(TENANT, v1.GetBlockRequest(block_id=block_id))))
        except BlockNotFound:
            continue  # deleted: the agent goes on without it
    return found


async def tools_of(use_cases: UseCases, agent: v1.Agent) -> list[Json]:
    found = []
    for tool_id in agent.tool_ids:
        try:
            found.append(tool_json(await use_cases.tools.get(TENANT, v1.GetToolRequest(tool_id=tool_id))))
        except ToolNotFound:
            continue  # deleted: the agent goes on without it
    return found


def block_json(block: v1.Block) -> Json:
    nothing = ("project_id", "template_name", "template_id", "base_template_id", "deployment_id", "entity_id", "hidden")
    return {
        "value": block.value,
        "limit": block.limit,
        "is_template": False,
        "preserve_on_migration": False,
        "label": block.label,
        "read_only": block.read_only,
        "description": block.description or None,
        "metadata": written(block.metadata) if block.HasField("metadata") else {},
        "id": block.id,
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "tags": list(block.tags),
        **dict.fromkeys(nothing),
    }


def tool_json(tool: v1.Tool) -> Json:
    parameters = json.loads(tool.json_schema.json) if tool.HasField("json_schema") else {"type": "object"}
    nothing = ("args_json_schema", "pip_requirements", "npm_requirements", "project_id")
    return {
        "id": tool.id,
        "tool_type": _TOOL_TYPES.get(tool.type, "custom"),
        "description": tool.description,
        "source_type": "python" if tool.type == v1.TOOL_TYPE_PYTHON else "json",
        "name": tool.name,
        "tags": list(tool.tags),
        "source_code": tool.source_code or None,
        "json_schema": {"name": tool.name, "description": tool.description, "parameters": parameters},
        "return_char_limit": tool.return_char_limit or 50_000,
        "default_requires_approval": tool.requires_approval,
        "enable_parallel_execution": tool.type != v1.TOOL_TYPE_BUILT_IN,
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "metadata_": {},
        **dict.fromkeys(nothing),
    }
