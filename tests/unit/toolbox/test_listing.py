"""Lists of tools: every tool once, by name, whatever the pages."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import AgentNotFound, InvalidRequest
from tests.unit.toolbox.keeping import OTHER, TENANT, Toolbox, built_in, client_tool, of_mcp, python_tool


@pytest.fixture
async def toolbox() -> Toolbox:
    toolbox = Toolbox()
    for tool in (client_tool("a"), python_tool("d"), client_tool("n"), client_tool("s_pay"), client_tool("z")):
        await toolbox.put(tool)
    await toolbox.put(client_tool("other's"[:5]), tenant=OTHER)
    await toolbox.server_tools.listed("s", [of_mcp("pay"), of_mcp("buy")])
    await toolbox.put(v1.Tool(id=of_mcp("buy").id, requires_approval=True))
    return toolbox


ALL = ["a", "conversation_search", "d", "memory_insert", "n", "s_buy", "s_pay", "s_pay", "z"]


@pytest.mark.parametrize("page_size", [0, 1, 2, 3, 4, 5, 8, 9, 10])
async def test_all_tools_come_once_by_name_whatever_the_size_of_pages(toolbox: Toolbox, page_size: int) -> None:
    tools = await toolbox.tools(page_size=page_size)
    assert [tool.name for tool in tools] == ALL
    assert len({tool.id for tool in tools}) == len(ALL)
    assert [tool.name for tool in tools if tool.requires_approval] == ["s_buy"]


async def test_pages_of_large_tools_are_shorter_and_miss_none() -> None:
    toolbox = Toolbox()
    for number in range(150):
        await toolbox.put(client_tool(f"c{number:03}", description="x" * 65_000))
    names = await toolbox.names(page_size=1_000)
    assert names == sorted([f"c{number:03}" for number in range(150)] + ["conversation_search", "memory_insert"])


@pytest.mark.parametrize("page_size", [0, 1, 2, 3, 4, 5, 8, 9, 10])
@pytest.mark.parametrize("of_agent", [False, True])
async def test_all_tools_come_once_by_time_whatever_the_size_of_pages(
    toolbox: Toolbox, page_size: int, of_agent: bool
) -> None:
    everything = await toolbox.tools()
    asked: dict[str, str] = {}
    if of_agent:
        unlike = {tool.name: tool.id for tool in everything}
        everything = [tool for tool in everything if tool.id in unlike.values()]  # no two of an agent have one name
        toolbox.agents.agent.tool_ids.extend(unlike.values())
        asked = {"agent_id": toolbox.agents.agent.id}
    oldest_first = sorted(everything, key=lambda tool: (nanoseconds(tool.create_time), tool.id))
    assert {tool.name for tool in oldest_first[:2]} == {"conversation_search", "memory_insert"}
    assert await toolbox.tools(page_size=page_size, order_by="create_time", **asked) == oldest_first
    assert await toolbox.tools(page_size=page_size, order_by="create_time desc", **asked) == oldest_first[::-1]


@pytest.mark.parametrize("page_size", [0, 1])
async def test_tools_are_found_by_id_and_by_a_part_of_their_name(toolbox: Toolbox, page_size: int) -> None:
    by_name = {tool.name: tool.id for tool in await toolbox.tools()}
    wanted = [by_name["z"], by_name["a"], by_name["s_buy"], by_name["memory_insert"], ids.derive("tool", "nobody's")]
    found = await toolbox.names(page_size=page_size, tool_ids=wanted)
    assert found == ["a", "memory_insert", "s_buy", "z"]
    assert await toolbox.names(page_size=page_size, tool_ids=wanted, names=["z", "n"]) == ["z"]
    assert await toolbox.names(page_size=page_size, name_search="S_") == ["s_buy", "s_pay", "s_pay"]


@pytest.mark.parametrize("page_size", [0, 1, 2])
async def test_tools_are_found_by_type_and_by_name(toolbox: Toolbox, page_size: int) -> None:
    async def names(**fields: object) -> list[str]:
        return await toolbox.names(page_size=page_size, **fields)

    assert await names(types=[v1.TOOL_TYPE_CLIENT]) == ["a", "n", "s_pay", "z"]
    assert await names(types=[v1.TOOL_TYPE_PYTHON, v1.TOOL_TYPE_MCP]) == ["d", "s_buy", "s_pay"]
    assert await names(types=[v1.TOOL_TYPE_BUILT_IN]) == ["conversation_search", "memory_insert"]
    assert await names(names=["z", "s_pay", "memory_insert", "none", "z"]) == [
        "memory_insert",
        "s_pay",
        "s_pay",
        "z",
    ]
    assert await names(names=["s_pay", "a"], types=[v1.TOOL_TYPE_MCP]) == ["s_pay"]


@pytest.mark.parametrize("page_size", [0, 1])
async def test_the_tools_of_an_agent_are_listed_by_name(toolbox: Toolbox, page_size: int) -> None:
    own = (await toolbox.tools(names=["n"]))[0]
    agent = toolbox.agents.agent
    agent.tool_ids.extend([own.id, of_mcp("buy").id, built_in("memory_insert").id, ids.derive("tool", "gone")])
    assert await toolbox.names(agent_id=agent.id, page_size=page_size) == ["memory_insert", "n", "s_buy"]
    assert await toolbox.names(agent_id=agent.id, types=[v1.TOOL_TYPE_MCP]) == ["s_buy"]
    with pytest.raises(AgentNotFound):
        await toolbox.names(agent_id=ids.derive("agent", "none"))


async def test_a_token_of_another_list_is_refused(toolbox: Toolbox) -> None:
    page = await toolbox.service.list(TENANT, v1.ListToolsRequest(page_size=1))
    with pytest.raises(InvalidRequest):
        await toolbox.service.list(TENANT, v1.ListToolsRequest(names=["a"], page_token=page.next_page_token))


async def test_servers_that_do_not_answer_are_told_where_their_tools_are_asked_for(toolbox: Toolbox) -> None:
    toolbox.silent = ["s"]
    assert (await toolbox.service.list(TENANT, v1.ListToolsRequest())).silent_mcp_servers == ["s"]
    others = v1.ListToolsRequest(types=[v1.TOOL_TYPE_CLIENT])
    assert (await toolbox.service.list(TENANT, others)).silent_mcp_servers == []
