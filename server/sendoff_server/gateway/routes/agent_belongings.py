"""What one agent has: its tools and which of them wait for an approval, and its memory blocks."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, flag, path_id
from sendoff_server.gateway.cursors import cursors_of, cut
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.blocks import block_json
from sendoff_server.gateway.nouns.tools import tool_json
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.gateway.routes import agent_changes
from sendoff_server.gateway.routes.agent_state import INCLUDES, told
from sendoff_server.gateway.routes.belongings import blocks_of, tools_of
from sendoff_server.gateway.routes.blocks import place_of_block, place_of_block_id, update_block
from sendoff_server.gateway.routes.tools import place_of_tool, place_of_tool_id
from sendoff_server.use_cases import UseCases

_TOOLS_PAGE = 10
_BLOCKS_PAGE = 50


class LabelUnknown(RefusedHere):
    """The agent has no block of that label."""

    reason = "BLOCK_NOT_FOUND"
    http_status = 404


async def _agent(use_cases: UseCases, request: Request) -> v1.Agent:
    wanted = v1.GetAgentRequest(agent_id=path_id(request, "agent_id", "agent"))
    return await use_cases.agents.get(acting().tenant, wanted)


# ---- tools ----


async def list_tools(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/{agent_id}/tools"""
    query = Query(request)
    cursors = cursors_of(query, "tool", _TOOLS_PAGE)
    query.checked()
    tools = await tools_of(use_cases, await _agent(use_cases, request))
    page = await cut(tools, cursors, place_of_tool, partial(place_of_tool_id, use_cases))
    return answer([tool_json(tool) for tool in page])


async def attach_tool(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}/tools/attach/{tool_id}: the agent may call the tool from its next run on"""
    agent_id, tool_id = path_id(request, "agent_id", "agent"), path_id(request, "tool_id", "tool")
    tool = await use_cases.tools.get(acting().tenant, v1.GetToolRequest(tool_id=tool_id))
    await agent_changes.changed(use_cases, agent_id, agent_changes.attach_tool(tool))
    return answer(None)


async def detach_tool(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}/tools/detach/{tool_id}: nothing happens if the agent does not have it"""
    agent_id, tool_id = path_id(request, "agent_id", "agent"), path_id(request, "tool_id", "tool")
    await agent_changes.changed(use_cases, agent_id, agent_changes.detach_tool(tool_id))
    return answer(None)


async def set_approval(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}/tools/approval/{tool_name}: whether calls wait for an approval; also of a tool that
    the agent does not have yet"""
    agent_id = path_id(request, "agent_id", "agent")
    required = await _requires_approval(request)
    change = agent_changes.require_approval(request.path_params["tool_name"], required=required)
    await agent_changes.changed(use_cases, agent_id, change)
    return answer(None)


async def _requires_approval(request: Request) -> bool:
    """The body's member, else the query's, which the SDK may send too."""
    body = await body_of(request)
    if body.get("requires_approval") is not None:
        return flag(body, "requires_approval", default=False)
    query = Query(request)
    told = query.flag("requires_approval")
    query.checked()
    if told is None:
        raise InvalidRequest([Violation("requires_approval", "must be true or false")])
    return told


# ---- memory blocks ----


async def list_blocks(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/{agent_id}/core-memory/blocks"""
    query = Query(request)
    cursors = cursors_of(query, "block", _BLOCKS_PAGE)
    query.checked()
    blocks = await blocks_of(use_cases, await _agent(use_cases, request))
    page = await cut(blocks, cursors, place_of_block, partial(place_of_block_id, use_cases))
    return answer([block_json(block) for block in page])


async def retrieve_block(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/{agent_id}/core-memory/blocks/{block_label}"""
    return answer(block_json(await _labelled(use_cases, request)))


async def change_block(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}/core-memory/blocks/{block_label}: members that are there are changed, for all agents
    that share the block"""
    block = await _labelled(use_cases, request)
    return answer(block_json(await update_block(use_cases, block.id, await body_of(request))))


async def _labelled(use_cases: UseCases, request: Request) -> v1.Block:
    agent = await _agent(use_cases, request)
    label = "/".join(request.path_params[name] for name in ("folder", "block_label") if name in request.path_params)
    for block in await blocks_of(use_cases, agent):
        if block.label == label:
            return block
    raise LabelUnknown(f"No block with label '{label}' found for agent '{agent.id}'")


async def attach_block(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}/core-memory/blocks/attach/{block_id}: steps that begin later see the block"""
    agent_id, block_id = path_id(request, "agent_id", "agent"), path_id(request, "block_id", "block")
    await use_cases.blocks.get(acting().tenant, v1.GetBlockRequest(block_id=block_id))
    agent = await agent_changes.changed(use_cases, agent_id, agent_changes.attach_block(block_id))
    return answer(await told(use_cases, agent, frozenset(INCLUDES)))


async def detach_block(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}/core-memory/blocks/detach/{block_id}: nothing happens if it is not there"""
    agent_id, block_id = path_id(request, "agent_id", "agent"), path_id(request, "block_id", "block")
    agent = await agent_changes.changed(use_cases, agent_id, agent_changes.detach_block(block_id))
    return answer(await told(use_cases, agent, frozenset(INCLUDES)))


TABLE: Table = (
    ("GET", "/v1/agents/{agent_id}/tools", list_tools),
    ("PATCH", "/v1/agents/{agent_id}/tools/attach/{tool_id}", attach_tool),
    ("PATCH", "/v1/agents/{agent_id}/tools/detach/{tool_id}", detach_tool),
    ("PATCH", "/v1/agents/{agent_id}/tools/approval/{tool_name}", set_approval),
    ("GET", "/v1/agents/{agent_id}/core-memory/blocks", list_blocks),
    ("GET", "/v1/agents/{agent_id}/core-memory/blocks/{block_label}", retrieve_block),
    ("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/{block_label}", change_block),
    ("GET", "/v1/agents/{agent_id}/core-memory/blocks/{folder}/{block_label}", retrieve_block),
    ("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/{folder}/{block_label}", change_block),
    ("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/attach/{block_id}", attach_block),
    ("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/detach/{block_id}", detach_block),
)
