"""Agents and tags over gRPC: narrowed down, ordered, counted, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sendoff import AsyncClient, v1
from tests.faults.caller import Caller, calling, refused, script
from tests.fixtures.server import Serve


@pytest.fixture
async def caller(serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def make(caller: Caller, name: str, *tags: str) -> str:
    agent = v1.Agent(name=name, tags=tags, model="scripted/script")
    return (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id


async def pages(caller: Caller, **fields: Any) -> list[v1.ListAgentsResponse]:
    request, found = v1.ListAgentsRequest(**fields), []
    while True:
        found.append(await caller.agents.ListAgents(request))
        if not found[-1].next_page_token:
            return found
        request.page_token = found[-1].next_page_token


@pytest.mark.parametrize("page_size", [1, 2, 3, 50])
async def test_each_page_tells_the_last_runs_of_its_agents(caller: Caller, page_size: int) -> None:
    one, two, idle = [await make(caller, name) for name in ("one", "two", "idle")]
    runs = {}
    for agent in (two, one):
        for text in ("first", "second"):
            runs[agent] = await caller.ended((await caller.send(agent, script(text=text))).id)

    orders = {"": [idle, two, one], "last_run_time desc": [one, two, idle], "last_run_time": [idle, two, one]}
    for order_by, expected in orders.items():
        found = await pages(caller, order_by=order_by, page_size=page_size)
        assert [agent.id for page in found for agent in page.agents] == expected
        for page in found:
            told = {each.agent_id: each for each in page.last_runs}
            assert set(told) == {agent.id for agent in page.agents} - {idle}
            for agent, last in told.items():
                run = runs[agent]
                assert (last.run_id, last.complete_time, last.stop_reason) == (
                    run.id,
                    run.complete_time,
                    run.stop_reason,
                )
                assert last.duration.ToNanoseconds() == run.total_duration_ns


async def test_a_token_belongs_to_its_order_and_its_filter(caller: Caller) -> None:
    for number in range(3):
        await make(caller, f"agent {number}")
    token = (await caller.agents.ListAgents(v1.ListAgentsRequest(page_size=1))).next_page_token
    for fields in ({"order_by": "update_time"}, {"filter": v1.AgentFilter(name_search="agent")}):
        request = v1.ListAgentsRequest(page_size=1, page_token=token, **fields)
        assert (await refused(caller.agents.ListAgents(request))).reason == "INVALID_REQUEST"


async def test_agents_are_counted_and_tags_listed_through_our_client(client: AsyncClient) -> None:
    for name, *tags in (("one", "b", "a"), ("two", "b"), ("three", "é" * 255, "é" * 254)):
        await client.create_agent(name=name, tags=tags)
    await client.create_block(label="human", tags=["c"])

    assert await client.count_agents() == 3
    assert await client.count_agents(tags=["b"], name_search="O") == 2
    assert [each.name async for each in client.agents(tags=["b"], order_by="create_time")] == ["one", "two"]
    everything = ["a", "b", "c", "é" * 254, "é" * 255]
    for page_size in (1, 2, 5, 6):
        assert [tag async for tag in client.tags(page_size=page_size)] == everything
        assert [tag async for tag in client.tags(order_by="name desc", page_size=page_size)] == everything[::-1]
    assert [tag async for tag in client.tags("É", page_size=1)] == everything[3:]
