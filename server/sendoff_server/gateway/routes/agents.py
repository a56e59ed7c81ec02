"""Agents: create, read, list, change, delete."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.errors import BlockNotFound, EtagMismatch, InvalidRequest, ModelNotFound, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, path_id
from sendoff_server.gateway.codec.paths import told_in_json
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.nouns import belongings
from sendoff_server.gateway.nouns.agent_settings import paths_of, read_agent
from sendoff_server.gateway.nouns.agents import Relations, agent_json
from sendoff_server.gateway.nouns.messages import message_json
from sendoff_server.gateway.nouns.results import messages_of
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.use_cases import UseCases
from sendoff_server.validation.violations import Violations

INCLUDES = (
    "agent.blocks",
    "agent.identities",
    "agent.managed_group",
    "agent.pending_approval",
    "agent.secrets",
    "agent.sources",
    "agent.tags",
    "agent.tools",
)
_PAGE = 100


class ModelMissing(RefusedHere):
    reason = "MODEL_MISSING"
    http_status = 400


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/: if the agent cannot be made, nothing that was made for it stays behind."""
    body = await body_of(request)
    wanted = await _wanted(use_cases, body, v1.Agent(), _handle(body, use_cases.models.default_handle))
    base_tools = body.get("include_base_tools") is not False
    wanted.tool_ids.extend(await belongings.tool_ids(use_cases, body, base_tools=base_tools))
    async with _blocks(use_cases, body) as block_ids:
        wanted.block_ids.extend(block_ids)
        with told_in_json(v1.Agent.DESCRIPTOR, "agent"):
            made = await use_cases.agents.create(TENANT, v1.CreateAgentRequest(agent=wanted))
    return answer(await _told(use_cases, made, frozenset(INCLUDES)))


@asynccontextmanager
async def _blocks(use_cases: UseCases, body: Mapping[str, Any]) -> AsyncIterator[list[str]]:
    """The ids of the agent's blocks. Those in the body are made first, and are gone again if the block fails."""
    block_ids = await belongings.new_blocks(use_cases, {"block_ids": body.get("block_ids")})
    blocks, made = body.get("memory_blocks") or [], list[str]()
    if not isinstance(blocks, list):
        raise InvalidRequest([Violation("memory_blocks", "must be a list of blocks")])
    try:
        for index, each in enumerate(blocks):
            with told_in_json(v1.Block.DESCRIPTOR, "block", f"memory_blocks[{index}]."):
                made += await belongings.new_blocks(use_cases, {"memory_blocks": [each]})
        yield [*block_ids, *made]
    except BaseException:
        await asyncio.shield(_deleted(use_cases, made))
        raise


async def _deleted(use_cases: UseCases, block_ids: Sequence[str]) -> None:
    for block_id in block_ids:
        with suppress(BlockNotFound):
            await use_cases.blocks.delete(TENANT, v1.DeleteBlockRequest(block_id=block_id))


def _handle(body: Mapping[str, Any], default: str = "") -> str:
    """The model's handle, also out of the deprecated llm_config; else the default one of the server, if it has one."""
    config = body.get("llm_config")
    told = body.get("model") or (config.get("handle") or config.get("model") if isinstance(config, dict) else None)
    told = told or default
    if not isinstance(told, str) or not re.fullmatch(r"[^/\s]+/\S+", told):
        raise ModelMissing("model must be set to a handle, provider/name; GET /v1/models/ shows those there are")
    return told


async def _wanted(use_cases: UseCases, body: Mapping[str, Any], current: v1.Agent, handle: str) -> v1.Agent:
    """What the body sets of an agent that has that model then. Raises ModelNotFound, InvalidRequest."""
    model, found = (await use_cases.models.find(handle)).info, Violations()
    wanted = read_agent(body, current, model, found)
    found.refuse()
    wanted.model = handle
    return wanted


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/{agent_id}"""
    agent_id = path_id(request, "agent_id", "agent")
    includes = _includes(Query(request))
    agent = await use_cases.agents.get(TENANT, v1.GetAgentRequest(agent_id=agent_id))
    return answer(await _told(use_cases, agent, includes))


def _includes(query: Query) -> frozenset[str]:
    told = query.texts("include", "include[]")
    wrong = [name for name in told if name not in INCLUDES]
    if wrong:
        raise InvalidRequest([Violation("include", f"must be one of {', '.join(INCLUDES)}")])
    query.checked()
    return frozenset(told)


async def _told(use_cases: UseCases, agent: v1.Agent, includes: frozenset[str]) -> dict[str, Any]:
    listed = v1.ListRunsRequest(agent_id=agent.id, active=False, page_size=1)
    ended = (await use_cases.runs.list(TENANT, listed)).runs
    relations = Relations(
        last_run=ended[0] if ended else None,
        tags="agent.tags" in includes,
        secrets="agent.secrets" in includes,
        model=await _model(use_cases, agent.model),
        blocks=await belongings.blocks_of(use_cases, agent) if "agent.blocks" in includes else (),
        tools=await belongings.tools_of(use_cases, agent) if "agent.tools" in includes else (),
        pending_approval=await _pending(use_cases, agent.id) if "agent.pending_approval" in includes else None,
    )
    return agent_json(agent, relations)


async def _pending(use_cases: UseCases, agent_id: str) -> dict[str, Any] | None:
    """The request that the agent's default conversation waits for an answer to."""
    wanted = v1.ListPendingActionsRequest(agent_id=agent_id, conversation_id="default", page_size=1)
    actions = (await use_cases.actions.list(TENANT, wanted)).actions
    if not actions:
        return None
    found = await messages_of(use_cases, actions[0].run_id)
    return next((message_json(each) for each in found if each.HasField("approval_request_message")), None)


async def _model(use_cases: UseCases, handle: str) -> v1.Model:
    try:
        return (await use_cases.models.find(handle)).info
    except ModelNotFound:
        return v1.Model(handle=handle)


async def list_agents(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/: filtered first, then cut. An unknown cursor is ignored, as the reference does."""
    query = Query(request)
    limit, order = query.limit(50), query.choice("order", ("asc", "desc"), "desc")
    includes = _includes(query)
    agents = [agent for agent in await _all(use_cases) if _matches(agent, query)]
    if order == "asc":
        agents.reverse()
    ids = [agent.id for agent in agents]
    after, before = query.text("after"), query.text("before")
    first = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    page = agents[first:end]
    page = page[-limit:] if before in ids and after not in ids else page[:limit]
    return answer([await _told(use_cases, agent, includes) for agent in page])


async def _all(use_cases: UseCases) -> list[v1.Agent]:
    found: list[v1.Agent] = []
    wanted = v1.ListAgentsRequest(page_size=_PAGE)
    while True:
        page = await use_cases.agents.list(TENANT, wanted)
        found += page.agents
        if not page.next_page_token:
            return found
        wanted.page_token = page.next_page_token


def _matches(agent: v1.Agent, query: Query) -> bool:
    tags, wanted = set(agent.tags), set(query.texts("tags", "tags[]"))
    name, text = query.text("name"), query.text("query_text")
    in_tags = wanted <= tags if query.flag("match_all_tags") else not wanted or bool(wanted & tags)
    return in_tags and name in (None, agent.name) and (text or "").lower() in agent.name.lower()


async def count(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/count"""
    return answer(len(await _all(use_cases)))


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}: members that are there and not null are changed, lists and settings are replaced."""
    agent_id = path_id(request, "agent_id", "agent")
    body = await body_of(request)
    while True:
        with suppress(EtagMismatch):  # somebody else has changed it meanwhile
            changed = await _updated(use_cases, agent_id, body)
            return answer(await _told(use_cases, changed, frozenset(INCLUDES)))


async def _updated(use_cases: UseCases, agent_id: str, body: Mapping[str, Any]) -> v1.Agent:
    """Raises EtagMismatch if what was there, and is put together with what is new, is not there any more."""
    current = await use_cases.agents.get(TENANT, v1.GetAgentRequest(agent_id=agent_id))
    names_model = body.get("model") is not None or body.get("llm_config") is not None
    wanted = await _wanted(use_cases, body, current, _handle(body) if names_model else current.model)
    paths = paths_of(body, wanted)
    if names_model and "model" not in paths:
        paths.append("model")
    if body.get("tool_ids") is not None or body.get("tools") is not None:
        wanted.tool_ids.extend(await belongings.tool_ids(use_cases, body, base_tools=False))
        paths.append("tool_ids")
    if body.get("block_ids") is not None:
        wanted.block_ids.extend(await belongings.new_blocks(use_cases, {"block_ids": body["block_ids"]}))
        paths.append("block_ids")
    if "model_settings" in paths or "metadata" in paths:
        wanted.etag = current.etag  # they were put upon what was there
    return await _changed(use_cases, agent_id, wanted, paths) if paths else current


async def _changed(use_cases: UseCases, agent_id: str, wanted: v1.Agent, paths: Sequence[str]) -> v1.Agent:
    changing = v1.UpdateAgentRequest(agent_id=agent_id, agent=wanted, update_mask=FieldMask(paths=paths))
    with told_in_json(v1.Agent.DESCRIPTOR, "agent"):
        return await use_cases.agents.update(TENANT, changing)


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/agents/{agent_id}, with its runs and messages"""
    agent_id = path_id(request, "agent_id", "agent")
    await use_cases.agents.delete(TENANT, v1.DeleteAgentRequest(agent_id=agent_id, cancel_runs=True))
    return answer({"message": f"Agent id={agent_id} successfully deleted"})


TABLE: Table = (
    ("POST", "/v1/agents/", create),
    ("GET", "/v1/agents/", list_agents),
    ("GET", "/v1/agents/count", count),
    ("GET", "/v1/agents/{agent_id}", retrieve),
    ("PATCH", "/v1/agents/{agent_id}", update),
    ("DELETE", "/v1/agents/{agent_id}", delete),
)
