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
from sendoff_server.access.principal import acting
from sendoff_server.errors import BlockNotFound, EtagMismatch, InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, path_id
from sendoff_server.gateway.codec.paths import told_in_json
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.agent_settings import paths_of, read_agent
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.gateway.routes import belongings
from sendoff_server.gateway.routes.agent_state import INCLUDES, includes_of, told
from sendoff_server.gateway.routes.context_ids import context_ids
from sendoff_server.use_cases import UseCases
from sendoff_server.validation.violations import Violations


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
            made = await use_cases.agents.create(acting().tenant, v1.CreateAgentRequest(agent=wanted))
    return answer(await told(use_cases, made, frozenset(INCLUDES)))


@asynccontextmanager
async def _blocks(use_cases: UseCases, body: Mapping[str, Any]) -> AsyncIterator[list[str]]:
    """The ids of the agent's blocks. Those in the body are made first, and are gone again if the block fails."""
    blocks, made = body.get("memory_blocks") or [], list[str]()
    if not isinstance(blocks, list) or not all(isinstance(each, dict) for each in blocks):
        raise InvalidRequest([Violation("memory_blocks", "must be a list of blocks")])
    try:
        for index, each in enumerate(blocks):
            made.append(await belongings.new_block(use_cases, each, f"memory_blocks[{index}]"))
        yield [*belongings.block_ids(body), *made]
    except BaseException:
        await asyncio.shield(_deleted(use_cases, made))
        raise


async def _deleted(use_cases: UseCases, block_ids: Sequence[str]) -> None:
    for block_id in block_ids:
        with suppress(BlockNotFound):
            await use_cases.blocks.delete(acting().tenant, v1.DeleteBlockRequest(block_id=block_id))


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
    includes = includes_of(Query(request))
    agent = await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
    state = await told(use_cases, agent, includes)
    return answer({**state, "message_ids": await context_ids(use_cases, agent_id, "default")})


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}: members that are there and not null are changed, lists and settings are replaced."""
    agent_id = path_id(request, "agent_id", "agent")
    body = await body_of(request)
    while True:
        with suppress(EtagMismatch):  # somebody else has changed it meanwhile
            changed = await _updated(use_cases, agent_id, body)
            return answer(await told(use_cases, changed, frozenset(INCLUDES)))


async def _updated(use_cases: UseCases, agent_id: str, body: Mapping[str, Any]) -> v1.Agent:
    """Raises EtagMismatch if what was there, and is put together with what is new, is not there any more."""
    current = await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
    names_model = body.get("model") is not None or body.get("llm_config") is not None
    wanted = await _wanted(use_cases, body, current, _handle(body) if names_model else current.model)
    paths = paths_of(body, wanted)
    if names_model and "model" not in paths:
        paths.append("model")
    if body.get("tool_ids") is not None or body.get("tools") is not None:
        wanted.tool_ids.extend(await belongings.tool_ids(use_cases, body, base_tools=False))
        paths.append("tool_ids")
    if body.get("block_ids") is not None:
        wanted.block_ids.extend(belongings.block_ids(body))
        paths.append("block_ids")
    if "model_settings" in paths or "metadata" in paths:
        wanted.etag = current.etag  # they were put upon what was there
    return await _changed(use_cases, agent_id, wanted, paths) if paths else current


async def _changed(use_cases: UseCases, agent_id: str, wanted: v1.Agent, paths: Sequence[str]) -> v1.Agent:
    changing = v1.UpdateAgentRequest(agent_id=agent_id, agent=wanted, update_mask=FieldMask(paths=paths))
    with told_in_json(v1.Agent.DESCRIPTOR, "agent"):
        return await use_cases.agents.update(acting().tenant, changing)


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/agents/{agent_id}, with its runs and messages"""
    agent_id = path_id(request, "agent_id", "agent")
    await use_cases.agents.delete(acting().tenant, v1.DeleteAgentRequest(agent_id=agent_id, cancel_runs=True))
    return answer({"message": f"Agent id={agent_id} successfully deleted"})


TABLE: Table = (
    ("POST", "/v1/agents/", create),
    ("GET", "/v1/agents/{agent_id}", retrieve),
    ("PATCH", "/v1/agents/{agent_id}", update),
    ("DELETE", "/v1/agents/{agent_id}", delete),
)
