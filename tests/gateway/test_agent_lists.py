"""Lists of agents and of tags over REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import letta_client
import pytest

from sendoff_server.app import Server
from tests.faults.caller import script
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, url

NOBODY = "agent-00000000-0000-4000-8000-000000000000"


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


async def make(sdk: Sdk, name: str, *tags: str) -> str:
    made = await sdk("agents.create", name=name, model="scripted/script", tags=list(tags), include_base_tools=False)
    return str(made.id)


async def test_iterating_over_agents_gives_each_once_in_order(sdk: Sdk) -> None:
    made = [await make(sdk, f"agent {number}") for number in range(7)]

    async def found(**wanted: Any) -> list[str]:
        return [each.id for each in await sdk.all("agents.list", **wanted)]

    assert await found() == await found(limit=3) == await found(limit=3, order="desc") == made[::-1]
    assert await found(limit=3, order="asc") == await found(limit=3, ascending=True) == made
    assert await found(limit=2, after=made[3], before=made[0]) == [made[2], made[1]]
    page = await sdk("agents.list", limit=2, order="asc", before=made[4])
    assert [each.id for each in page.items] == [made[2], made[3]]
    assert await found(limit=4, after=NOBODY) == await found(limit=4, after="x") == made[::-1]


async def test_agents_are_narrowed_down(sdk: Sdk) -> None:
    clerk, chief = await make(sdk, "Clerk", "desk", "a"), await make(sdk, "chief clerk", "desk")

    async def found(**wanted: Any) -> list[str]:
        return [each.id for each in await sdk.all("agents.list", limit=1, **wanted)]

    assert await found(name="Clerk") == [clerk]
    assert await found(name="clerk") == []
    assert await found(query_text="CLERK") == await found(tags=["desk", "a"]) == [chief, clerk]
    assert await found(tags=["desk", "a"], match_all_tags=True) == [clerk]
    assert await found(tags=["other"]) == []
    assert await found(project_id="ignored", query_text="chief") == [chief]


async def test_agents_go_by_their_last_change_and_their_last_run(server: Server, sdk: Sdk) -> None:
    first, second, third = [await make(sdk, name) for name in ("first", "second", "third")]
    await sdk("agents.update", first, description="changed")
    ended = await sdk.run(server, second, script(text="done"))
    failed = await sdk.run(server, first, script(error={"kind": "rejected"}))

    async def found(**wanted: Any) -> list[str]:
        return [each.id for each in await sdk.all("agents.list", limit=1, **wanted)]

    assert await found(order_by="updated_at") == [first, third, second]
    assert await found(order_by="last_run_completion") == [first, second, third]
    assert await found(sort_by="last_run_completion", order="asc") == [third, second, first]
    assert await found(last_stop_reason="end_turn") == [second]
    assert await found(last_stop_reason=failed.stop_reason) == [first]
    assert await found(last_stop_reason="cancelled") == []

    told = {each.id: each for each in await sdk.all("agents.list")}
    assert (told[third].last_run_completion, told[third].last_stop_reason) == (None, None)
    assert told[second].last_stop_reason == "end_turn"
    assert told[second].last_run_completion == ended.completed_at
    assert told[second].last_run_duration_ms == ended.total_duration_ns // 1_000_000
    alone = await sdk("agents.retrieve", second)
    assert (alone.last_run_completion, alone.last_run_duration_ms) == (
        told[second].last_run_completion,
        told[second].last_run_duration_ms,
    )


async def test_listed_agents_are_told_with_what_is_asked_for(sdk: Sdk) -> None:
    agent = await make(sdk, "clerk", "desk")
    block = await sdk("blocks.create", label="human", value="likes tea")
    await sdk("agents.blocks.attach", block.id, agent_id=agent)

    (bare,) = await sdk.all("agents.list")
    assert (bare.tags, bare.blocks, bare.tools) == ([], [], [])
    (told,) = await sdk.all("agents.list", include=["agent.blocks", "agent.tags", "agent.tools"])
    assert (told.tags, [each.value for each in told.blocks]) == (["desk"], ["likes tea"])
    with pytest.raises(letta_client.UnprocessableEntityError, match=r"include: must be one of agent\.blocks"):
        await sdk.all("agents.list", include=["blocks"])


async def test_tags_are_told_once_in_order(sdk: Sdk) -> None:
    await make(sdk, "one", "desk", "Alpha")
    await make(sdk, "two", "desk", "beta")
    await sdk("blocks.create", label="human", value="", tags=["guest", "beta"])

    assert await sdk("tags.list") == ["Alpha", "beta", "desk", "guest"]
    assert await sdk("tags.list", order="desc", limit=2) == ["guest", "desk"]
    assert await sdk("tags.list", after="beta", limit=1) == ["desk"]
    assert await sdk("tags.list", before="guest", limit=2) == ["beta", "desk"]
    assert await sdk("tags.list", before="Alpha", order="desc", limit=2) == ["desk", "beta"]
    assert await sdk("tags.list", after="Alpha", before="guest") == ["beta", "desk"]
    assert await sdk("tags.list", name="AL") == await sdk("tags.list", query_text="alp") == ["Alpha"]


# ---- raw ----


async def test_agents_are_counted(door: Door) -> None:
    assert await door.get("/v1/agents/count") == 0
    await asyncio.gather(*(door.agent(name=f"n{number}", tags=["t"] if number else []) for number in range(5)))
    assert await door.get("/v1/agents/count") == await door.get("/v1/agents/count/") == 5
    assert await door.get("/v1/agents/count", tags=["t"]) == 4
    assert await door.get("/v1/agents/count", query_text="N1") == 1


async def test_more_agents_than_a_page_of_the_contract_has_come_at_once(door: Door) -> None:
    made = [await door.agent(include_base_tools=False) for _ in range(105)]
    for order, expected in (("asc", made), ("desc", made[::-1])):
        told = await door.get("/v1/agents/", limit=104, order=order)
        assert [each["id"] for each in told] == expected[:104]
        told = await door.get("/v1/agents/", limit=103, order=order, before=expected[-1])
        assert [each["id"] for each in told] == expected[1:104]


@pytest.mark.parametrize("path", ["/v1/agents/", "/v1/agents", "/v1/tags/", "/v1/tags"])
async def test_queries_that_are_none_are_refused_with_the_name_of_their_fault(door: Door, path: str) -> None:
    both: list[dict[str, Any]] = [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"order": "up"}, {"order_by": "x"}]
    of_agents: list[dict[str, Any]] = [
        {"sort_by": "x"},
        {"match_all_tags": "perhaps"},
        {"ascending": "perhaps"},
        {"last_stop_reason": "tired"},
        {"query_text": "x" * 256},
        {"name": "x" * 256},
        {"tags": ["t"] * 65},
        {"tags": ["t" * 256]},
        {"include": "agent.everything"},
    ]
    of_tags = [{"name": "x" * 256}, {"after": "x" * 5_000}]
    for query in [*both, *(of_agents if "agents" in path else of_tags)]:
        response = await door.http.get(path, params=query)
        assert response.status_code == 422, (query, response.text)
        assert next(iter(query)) in response.json()["detail"]
