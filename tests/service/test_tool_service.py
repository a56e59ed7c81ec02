"""Tools over gRPC: put, read, listed, deleted, and named by agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server import app, ids
from tests.faults.caller import Caller, calling, refused
from tests.fixtures.server import Serve

UNKNOWN = ids.derive("tool", "nobody's")


@pytest.fixture
async def caller(server: app.Server) -> AsyncIterator[Caller]:
    async with calling(server.grpc.address) as connected:
        yield connected


async def put(caller: Caller, *, mask: list[str] | None = None, **fields: Any) -> v1.Tool:
    request = v1.UpsertToolRequest(tool=v1.Tool(**fields))
    if mask is not None:
        request.update_mask.CopyFrom(FieldMask(paths=mask))
    return await caller.tools.UpsertTool(request, timeout=30)


async def put_client(caller: Caller, name: str, **fields: Any) -> v1.Tool:
    return await put(caller, name=name, type=v1.TOOL_TYPE_CLIENT, **fields)


async def get(caller: Caller, tool_id: str) -> v1.Tool:
    return await caller.tools.GetTool(v1.GetToolRequest(tool_id=tool_id))


async def names(caller: Caller, **fields: Any) -> list[str]:
    page = await caller.tools.ListTools(v1.ListToolsRequest(**fields))
    return [tool.name for tool in page.tools]


def mcp_tool(name: str, **fields: Any) -> v1.Tool:
    return v1.Tool(id=ids.derive("tool", "mcp", "s", name), name=name, type=v1.TOOL_TYPE_MCP, mcp_server="s", **fields)


async def test_a_tool_is_put_read_listed_and_deleted(caller: Caller) -> None:
    schema = v1.JsonObject(json='{"type":"object","properties":{"z":{"type":"integer"},"a":{}}}')
    made = await put_client(caller, "light", description="Switches.", json_schema=schema, tags=["home"])
    assert await get(caller, made.id) == made
    assert (made.json_schema, made.effect) == (schema, v1.TOOL_EFFECT_ONCE)
    changed = await put(caller, id=made.id, description="Dims.", mask=["description"])
    assert (changed.description, list(changed.tags)) == ("Dims.", ["home"])
    assert await names(caller, types=[v1.TOOL_TYPE_CLIENT]) == ["light"]

    await caller.tools.DeleteTool(v1.DeleteToolRequest(tool_id=made.id))
    for call in (
        caller.tools.GetTool(v1.GetToolRequest(tool_id=made.id)),
        caller.tools.DeleteTool(v1.DeleteToolRequest(tool_id=made.id)),
        put(caller, id=made.id, mask=[]),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "TOOL_NOT_FOUND")
        assert refusal.metadata == {"tool_id": made.id}


async def test_tools_are_there_after_a_restart(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        made = await put_client(caller, "light")
    async with serve() as server, calling(server.grpc.address) as caller:
        assert await get(caller, made.id) == made


async def test_a_change_is_refused_when_somebody_else_was_quicker(caller: Caller) -> None:
    made = await put_client(caller, "light")
    await put_client(caller, "light", etag=made.etag, description="quick")
    refusal = await refused(put_client(caller, "light", etag=made.etag, description="late"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert (await get(caller, made.id)).description == "quick"


async def test_a_tool_that_is_put_many_times_at_once_is_one(caller: Caller) -> None:
    made = await asyncio.gather(*(put_client(caller, "light", description=str(number)) for number in range(10)))
    assert len({tool.id for tool in made}) == 1
    assert (await get(caller, made[0].id)).etag in {tool.etag for tool in made}


async def test_bad_tools_are_refused_with_every_field_that_is_wrong(caller: Caller) -> None:
    schema = v1.JsonObject(json='{"type":"array"}')
    refusal = await refused(put_client(caller, "a b", json_schema=schema, tags=["t" * 256]))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == ["tool.name", "tool.json_schema", "tool.tags[0]"]


# ---- Python ----

WEATHER = '''
import os
os.environ["MARK"] = "left by a tool"

def weather(city: str, days: int = 3) -> str:
    """Tell the weather.

    Args:
        city: Where.
    """
'''


async def test_a_python_tool_is_described_by_its_source_code_where_python_is_allowed(serve: Serve) -> None:
    async with serve(python_tools=True) as server, calling(server.grpc.address) as caller:
        made = await put(caller, name="weather", type=v1.TOOL_TYPE_PYTHON, source_code=WEATHER)
        info = server.grpc  # it still serves, whatever the source code did
        refusal = await refused(put(caller, name="w", type=v1.TOOL_TYPE_PYTHON, source_code="import os; os._exit(1)"))
    assert info.calls.ended["ToolService/UpsertTool", "OK"] == 1
    assert (made.description, made.effect) == ("Tell the weather.", v1.TOOL_EFFECT_ONCE)
    assert json.loads(made.json_schema.json)["properties"]["city"] == {"type": "string", "description": "Where."}
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["tool.source_code"])


async def test_a_python_tool_is_refused_where_python_is_not_allowed(caller: Caller) -> None:
    refusal = await refused(put(caller, name="weather", type=v1.TOOL_TYPE_PYTHON, source_code=WEATHER))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED_FEATURE")
    assert refusal.fields == ["tool.type"]
    assert await names(caller, types=[v1.TOOL_TYPE_PYTHON]) == []


# ---- tools that the server makes ----


async def test_a_tool_of_the_server_s_is_set_by_its_tenant_and_not_deleted(server: app.Server, caller: Caller) -> None:
    tool = mcp_tool("s_pay", description="Pays.")
    await server.parts.shed.directory.server_tools.listed("s", [tool])
    assert await names(caller, types=[v1.TOOL_TYPE_MCP]) == ["s_pay"]
    await put(caller, name="s_pay", requires_approval=True)
    changed = await get(caller, tool.id)
    assert (changed.requires_approval, changed.description, changed.mcp_server) == (True, "Pays.", "s")
    refusal = await refused(caller.tools.DeleteTool(v1.DeleteToolRequest(tool_id=tool.id)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOOL_IS_THE_SERVERS")
    refusal = await refused(put(caller, id=tool.id, description="Takes."))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["tool.description"])


# ---- agents ----


async def _agent(caller: Caller, *tool_ids: str, **fields: Any) -> v1.Agent:
    agent = v1.Agent(model="scripted/echo", tool_ids=tool_ids, **fields)
    return await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))


async def _changed(caller: Caller, agent: v1.Agent, *tool_ids: str, **fields: Any) -> v1.Agent:
    request = v1.UpdateAgentRequest(agent_id=agent.id, agent=v1.Agent(tool_ids=tool_ids, **fields))
    request.update_mask.paths.extend(["tool_ids", *fields])
    return await caller.agents.UpdateAgent(request)


async def test_an_agent_names_its_tools_and_they_are_listed(caller: Caller) -> None:
    light, lamp = await put_client(caller, "light"), await put_client(caller, "lamp")
    agent = await _agent(caller, light.id, parallel_tool_calls=False)
    assert (list(agent.tool_ids), agent.HasField("parallel_tool_calls")) == ([light.id], True)
    agent = await _changed(caller, agent, light.id, lamp.id, parallel_tool_calls=True)
    assert agent.parallel_tool_calls
    assert await names(caller, agent_id=agent.id) == ["lamp", "light"]
    await caller.tools.DeleteTool(v1.DeleteToolRequest(tool_id=light.id))
    assert await names(caller, agent_id=agent.id) == ["lamp"]
    assert list((await _changed(caller, agent, light.id, description="still")).tool_ids) == [light.id]


async def test_an_agent_cannot_name_tools_that_there_are_none_of_or_twice(caller: Caller) -> None:
    light = await put_client(caller, "light")
    agent = await _agent(caller, light.id)
    for call in (_agent(caller, light.id, UNKNOWN), _changed(caller, agent, light.id, UNKNOWN)):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "TOOL_NOT_FOUND")
        assert refusal.metadata == {"tool_id": UNKNOWN}
    for call in (_agent(caller, light.id, light.id), _changed(caller, agent, light.id, light.id)):
        refusal = await refused(call)
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["agent.tool_ids[1]"])
    assert list((await caller.agents.GetAgent(v1.GetAgentRequest(agent_id=agent.id))).tool_ids) == [light.id]


async def test_an_agent_cannot_have_two_tools_of_one_name(server: app.Server, caller: Caller) -> None:
    own = await put_client(caller, "s_pay")
    await server.parts.shed.directory.server_tools.listed("s", [mcp_tool("s_pay")])
    refusal = await refused(_agent(caller, own.id, mcp_tool("s_pay").id))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["agent.tool_ids[1]"])
