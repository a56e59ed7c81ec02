"""Lists of agents, tags and blocks, narrowed down, and a tool that is only made; through both clients."""

from __future__ import annotations

from typing import Any

import pytest

import sendoff
from sendoff import methods, v1
from tests.unit.client.scripted_server import AGENT_ID, UNAVAILABLE, Asker, ScriptedServer

FILTERS: dict[str, Any] = {
    "name": "clerk",
    "name_search": "cl",
    "tags": ["a", "b"],
    "match_all_tags": True,
    "last_stop_reasons": [v1.STOP_REASON_END_TURN],
    "agent_ids": [AGENT_ID],
}


async def test_agents_are_narrowed_down_on_every_page(asker: Asker, server: ScriptedServer) -> None:
    page = v1.ListAgentsResponse(agents=[v1.Agent(id=AGENT_ID)], next_page_token="next")
    server.plan(methods.LIST_AGENTS, page, v1.ListAgentsResponse())

    assert len(await asker.every("agents", order_by="update_time", page_size=1, **FILTERS)) == 1

    asked = v1.ListAgentsRequest(filter=v1.AgentFilter(**FILTERS), order_by="update_time", page_size=1)
    assert server.requests[0] == asked
    asked.page_token = "next"
    assert server.requests[1] == asked


async def test_agents_are_counted(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.COUNT_AGENTS, UNAVAILABLE, v1.CountAgentsResponse(count=7))

    assert await asker.call("count_agents", **FILTERS) == 7
    assert server.requests[-1] == v1.CountAgentsRequest(filter=v1.AgentFilter(**FILTERS))


async def test_tags_go_on_over_their_pages(asker: Asker, server: ScriptedServer) -> None:
    pages = [v1.ListTagsResponse(tags=["a", "b"], next_page_token="next"), v1.ListTagsResponse(tags=["c"])]
    server.plan(methods.LIST_TAGS, *pages)

    assert await asker.every("tags", "x", order_by="name desc", page_size=2) == ["a", "b", "c"]
    asked = v1.ListTagsRequest(search="x", order_by="name desc", page_size=2)
    assert server.requests[0] == asked
    asked.page_token = "next"
    assert server.requests[1] == asked


async def test_blocks_are_narrowed_down(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.LIST_BLOCKS, v1.ListBlocksResponse())
    filters: dict[str, Any] = {"value_search": "tea", "tags": ["a"], "match_all_tags": True, "order_by": "create_time"}

    assert await asker.every("blocks", label="human", **filters) == []
    assert server.requests == [v1.ListBlocksRequest(label="human", **filters)]


async def test_a_tool_that_is_only_made_is_not_made_again(asker: Asker, server: ScriptedServer) -> None:
    tool = v1.Tool(name="light", type=v1.TOOL_TYPE_CLIENT)
    server.plan(methods.UPSERT_TOOL, UNAVAILABLE, tool)

    with pytest.raises(sendoff.Unavailable):
        await asker.call("upsert_tool", tool, create_only=True)
    assert server.requests == [v1.UpsertToolRequest(tool=tool, create_only=True)]
