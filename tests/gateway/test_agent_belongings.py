"""What an agent has, over REST: its tools, which of them wait for an approval, and its memory blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import letta_client
import pytest

from sendoff import v1
from sendoff_server.access.principal import Principal, act_for
from sendoff_server.app import Server
from sendoff_server.errors import EtagMismatch
from sendoff_server.gateway.routes import agent_changes
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.use_cases import UseCases
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, url

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(params=EACH_WAY, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as client:
        yield client


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    async with knocking(server) as opened:
        yield opened


async def client_tool(server: Server, name: str) -> str:
    """A new tool's id."""
    tool = v1.Tool(name=name, type=v1.TOOL_TYPE_CLIENT)
    made = await server.use_cases.tools.upsert(DEFAULT_TENANT, v1.UpsertToolRequest(tool=tool))
    return made.id


def rules(agent: Any) -> list[tuple[str, str]]:
    return [(rule.tool_name, rule.type) for rule in agent.tool_rules]


# ---- tools ----


async def test_tools_are_attached_and_detached(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent()
    light, door_tool = await client_tool(server, "light"), await client_tool(server, "door")
    for tool in (light, door_tool, light):
        assert await sdk("agents.tools.attach", tool, agent_id=agent) is None
    assert [tool.name for tool in await sdk.all("agents.tools.list", agent)] == ["door", "light"]
    told = await sdk("agents.retrieve", agent, include=["agent.tools"])
    assert [tool.id for tool in told.tools] == [light, door_tool]

    assert await sdk("agents.tools.detach", light, agent_id=agent) is None
    assert await sdk("agents.tools.detach", light, agent_id=agent) is None
    assert [tool.id for tool in await sdk.all("agents.tools.list", agent)] == [door_tool]


async def test_iterating_over_an_agents_tools_gives_each_once(server: Server, sdk: Sdk) -> None:
    made = [await client_tool(server, f"tool-{number}") for number in range(12)]
    agent = await sdk.agent(tool_ids=made)

    assert len((await sdk("agents.tools.list", agent)).items) == 10
    assert [tool.id for tool in await sdk.all("agents.tools.list", agent, limit=5)] == made[::-1]
    assert [tool.id for tool in await sdk.all("agents.tools.list", agent, limit=5, order="asc")] == made
    page = await sdk("agents.tools.list", agent, limit=2, order="asc", before=made[4])
    assert [tool.id for tool in page.items] == made[2:4]


async def test_attaching_send_message_ends_runs_after_it(server: Server, sdk: Sdk) -> None:
    agent, tool = await sdk.agent(), await client_tool(server, "send_message")
    for _ in range(2):
        await sdk("agents.tools.attach", tool, agent_id=agent)
    assert rules(await sdk("agents.retrieve", agent)) == [("send_message", "exit_loop")]


async def test_an_approval_is_required_until_it_is_not(sdk: Sdk) -> None:
    agent = await sdk.agent()
    for name in ("light", "door", "light"):
        assert await sdk("agents.tools.update_approval", name, agent_id=agent, body_requires_approval=True) is None
    told = await sdk("agents.retrieve", agent)
    assert rules(told) == [("light", "requires_approval"), ("door", "requires_approval")]

    assert await sdk("agents.tools.update_approval", "light", agent_id=agent, body_requires_approval=False) is None
    assert rules(await sdk("agents.retrieve", agent)) == [("door", "requires_approval")]


async def test_changes_of_one_agent_at_the_same_time_are_all_made(server: Server, door: Door) -> None:
    agent = await door.agent(include_base_tools=False)
    tools = [await client_tool(server, f"tool-{number}") for number in range(20)]
    blocks = [(await door.post("/v1/blocks/", {"label": f"b{number}", "value": ""}))["id"] for number in range(20)]
    paths = [f"tools/attach/{tool}" for tool in tools]
    paths += [f"core-memory/blocks/attach/{block}" for block in blocks]
    paths += [f"tools/approval/tool-{number}?requires_approval=true" for number in range(20)]
    answers = await asyncio.gather(*(door.http.patch(f"/v1/agents/{agent}/{path}") for path in paths))

    assert {answer.status_code for answer in answers} == {200}
    told = await door.get(f"/v1/agents/{agent}", include=["agent.tools", "agent.blocks"])
    assert {tool["id"] for tool in told["tools"]} == set(tools)
    assert {block["id"] for block in told["blocks"]} == set(blocks)
    assert {rule["tool_name"] for rule in told["tool_rules"]} == {f"tool-{number}" for number in range(20)}


async def test_the_flag_of_an_approval_is_in_the_body_or_the_query(door: Door) -> None:
    agent = await door.agent()
    path = f"/v1/agents/{agent}/tools/approval/light"
    for body, query, status in (
        ({}, {}, 422),
        ({"requires_approval": "perhaps"}, {}, 422),
        (None, {"requires_approval": "perhaps"}, 422),
        ({"requires_approval": True}, {}, 200),
        ({"requires_approval": False}, {"requires_approval": "true"}, 200),
        (None, {"requires_approval": "true"}, 200),
    ):
        response = await door.http.patch(path, json=body, params=query)
        assert response.status_code == status, response.text
        assert status == 200 or "requires_approval" in response.json()["detail"]
        told = (await door.get(f"/v1/agents/{agent}"))["tool_rules"]
        required = (body or {}).get("requires_approval", "requires_approval" in query)
        assert bool(told) == (status == 200 and required is True)


async def test_a_name_that_no_tool_can_have_needs_no_approval(door: Door) -> None:
    agent = await door.agent()
    path = f"/v1/agents/{agent}/tools/approval/{'x' * 65}"
    refused = await door.http.patch(path, json={"requires_approval": True})
    assert refused.status_code == 422
    assert "tool_name" in refused.json()["detail"]
    assert (await door.http.patch(path, json={"requires_approval": False})).json() is None


class Overtaken:
    """Agents of which somebody else changes each before a change that was begun is made."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, tenant: str, request: v1.GetAgentRequest) -> v1.Agent:
        return v1.Agent(id=request.agent_id, etag=str(self.asked))

    async def update(self, tenant: str, request: v1.UpdateAgentRequest) -> v1.Agent:
        assert request.agent.etag == str(self.asked)
        self.asked += 1
        raise EtagMismatch(request.agent_id, request.agent.etag)


async def test_a_change_that_is_always_overtaken_is_given_up() -> None:
    act_for(Principal(DEFAULT_TENANT, None))
    agents = Overtaken()
    use_cases = cast(UseCases, SimpleNamespace(agents=agents))
    with pytest.raises(EtagMismatch):
        await agent_changes.changed(use_cases, f"agent-{NOBODY}", agent_changes.attach_block(f"block-{NOBODY}"))
    assert agents.asked == agent_changes.ATTEMPTS
    assert (await agent_changes.changed(use_cases, "agent", agent_changes.detach_block("block"))).id == "agent"


# ---- memory blocks ----


async def test_an_agents_blocks_are_read_and_changed_by_their_labels(sdk: Sdk) -> None:
    agent = await sdk.agent(memory_blocks=[{"label": "human", "value": "likes tea"}, {"label": "a/b", "value": "x"}])
    assert {block.label for block in await sdk.all("agents.blocks.list", agent)} == {"human", "a/b"}

    for label in ("human", "a/b"):
        block = await sdk("agents.blocks.update", label, agent_id=agent, value="likes coffee", description="who")
        read = await sdk("agents.blocks.retrieve", label, agent_id=agent)
        assert (read.id, read.value, read.description, read.label) == (block.id, "likes coffee", "who", label)
        assert (await sdk("blocks.retrieve", block.id)).value == "likes coffee"
    with pytest.raises(letta_client.NotFoundError, match=f"No block with label 'robot' found for agent '{agent}'"):
        await sdk("agents.blocks.retrieve", "robot", agent_id=agent)
    with pytest.raises(letta_client.NotFoundError, match="No block with label 'robot'"):
        await sdk("agents.blocks.update", "robot", agent_id=agent, value="x")


async def test_a_block_of_a_new_agent_that_is_none_is_refused_and_none_is_made(door: Door) -> None:
    blocks = [{"label": "good", "value": ""}, {"label": "bad", "value": {}}]
    refused = await door.http.post("/v1/agents/", json={"model": "scripted/script", "memory_blocks": blocks})
    assert refused.status_code == 422
    blocks = [{"label": "bad", "value": "x" * 6, "limit": 5}]
    refused = await door.http.post("/v1/agents/", json={"model": "scripted/script", "memory_blocks": blocks})
    assert refused.json()["detail"].startswith("memory_blocks[0].value: ")
    assert await door.get("/v1/blocks/") == []


async def test_blocks_are_attached_and_detached(sdk: Sdk) -> None:
    agent = await sdk.agent(memory_blocks=[{"label": "human", "value": "likes tea"}])
    block = await sdk("blocks.create", label="shared", value="for all")
    other = await sdk("blocks.create", label="shared", value="for all, too")
    for _ in range(2):
        told = await sdk("agents.blocks.attach", block.id, agent_id=agent)
        assert [each.label for each in told.blocks] == ["human", "shared"]
    with pytest.raises(letta_client.UnprocessableEntityError, match="block_ids"):
        await sdk("agents.blocks.attach", other.id, agent_id=agent)

    told = await sdk("agents.blocks.detach", block.id, agent_id=agent)
    assert [each.label for each in told.blocks] == ["human"]
    assert [each.label for each in await sdk.all("agents.blocks.list", agent, limit=1)] == ["human"]


# ---- what is not there ----

_CALLS = (
    ("GET", "tools"),
    ("PATCH", f"tools/detach/tool-{NOBODY}"),
    ("PATCH", "tools/approval/light"),
    ("GET", "core-memory/blocks"),
    ("GET", "core-memory/blocks/human"),
    ("PATCH", "core-memory/blocks/human"),
    ("PATCH", f"core-memory/blocks/detach/block-{NOBODY}"),
)


@pytest.mark.parametrize(("method", "path"), _CALLS)
async def test_an_agent_that_is_not_there_has_nothing(door: Door, method: str, path: str) -> None:
    body = {"requires_approval": True} if method == "PATCH" else None
    for agent, status in ((f"agent-{NOBODY}", 404), ("agent-1", 422), (f"AGENT-{NOBODY}", 422)):
        for end in ("", "/"):
            response = await door.http.request(method, f"/v1/agents/{agent}/{path}{end}", json=body)
            assert response.status_code == status, response.text
            assert "agent" in response.json()["detail"]


@pytest.mark.parametrize("path", ["tools/attach/tool-{}", "core-memory/blocks/attach/block-{}"])
async def test_what_is_not_there_is_not_attached(door: Door, path: str) -> None:
    agent = await door.agent()
    for thing, status in ((NOBODY, 404), ("1", 422)):
        response = await door.http.patch(f"/v1/agents/{agent}/{path.format(thing)}")
        assert response.status_code == status, response.text
        assert thing in response.json()["detail"]
