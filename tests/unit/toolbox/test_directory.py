"""The directory has what the store has, also when it does not ask; and what an agent may name is checked once, here."""

from __future__ import annotations

import asyncio

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.errors import InvalidRequest, ToolNotFound
from sendoff_server.toolbox.directory import ToolDirectory
from tests.unit.toolbox.keeping import OTHER, TENANT, Toolbox, built_in, client_tool, of_mcp


@pytest.fixture
def toolbox() -> Toolbox:
    return Toolbox()


async def test_an_agent_has_the_tools_that_it_names_in_its_order_without_those_that_are_gone(toolbox: Toolbox) -> None:
    a, b = await toolbox.put(client_tool("a")), await toolbox.put(client_tool("b"))
    made = built_in("memory_insert")
    agent = v1.Agent(tool_ids=[made.id, b.id, ids.derive("tool", "gone"), a.id])
    assert list(await toolbox.directory.tools_of(TENANT, agent)) == [made, b, a]
    assert list(await toolbox.directory.tools_of(OTHER, agent)) == [made]
    await toolbox.service.delete(TENANT, v1.DeleteToolRequest(tool_id=b.id))
    assert list(await toolbox.directory.tools_of(TENANT, agent)) == [made, a]


async def test_of_two_tools_that_have_one_name_by_now_an_agent_has_the_first(toolbox: Toolbox) -> None:
    own = await toolbox.put(client_tool("s_pay"))
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    agent = v1.Agent(tool_ids=[own.id, of_mcp("pay").id])
    assert list(await toolbox.directory.tools_of(TENANT, agent)) == [own]


async def test_tools_are_read_once_also_those_that_there_are_none_of(toolbox: Toolbox) -> None:
    own = await toolbox.put(client_tool("a"))
    agent = v1.Agent(tool_ids=[own.id, built_in("memory_insert").id, ids.derive("tool", "gone")])
    await toolbox.directory.tools_of(TENANT, agent)
    reads = toolbox.store.reads
    await toolbox.directory.tools_of(TENANT, agent)
    assert toolbox.store.reads == reads


async def test_where_others_write_too_the_store_is_asked_each_time(toolbox: Toolbox) -> None:
    own = await toolbox.put(client_tool("a"))
    toolbox.store.is_alone = False
    changed = v1.Tool()
    changed.CopyFrom(own)
    changed.description = "by another process"
    toolbox.store.rows[TENANT, own.id] = changed
    assert await toolbox.directory.find(TENANT, own.id) == changed


async def test_a_directory_remembers_no_more_than_its_bound(toolbox: Toolbox) -> None:
    directory = ToolDirectory(toolbox.store.as_store, toolbox.server_tools, max_bytes=10_000)
    for number in range(100):
        await directory.find(TENANT, ids.derive("tool", number))
    assert 0 < len(directory._remembered) <= 50
    assert directory._size <= 10_000


async def test_a_caller_who_goes_away_leaves_no_lie_behind(toolbox: Toolbox) -> None:
    own = await toolbox.put(client_tool("a"))
    toolbox.store.hold = asyncio.Event()
    toolbox.store.entered.clear()
    putting = asyncio.create_task(toolbox.put(client_tool("a", description="new")))
    await toolbox.store.entered.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    toolbox.store.hold.set()
    await asyncio.gather(*toolbox.directory._writing)
    found = await toolbox.directory.find(TENANT, own.id)
    assert found is not None
    assert found.description == "new"


async def test_an_agent_may_name_tools_that_there_are_and_no_two_of_one_name(toolbox: Toolbox) -> None:
    own = await toolbox.put(client_tool("s_pay"))
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    made, gone = built_in("memory_insert").id, ids.derive("tool", "gone")
    check = toolbox.directory.check
    await check(TENANT, [own.id, made])
    with pytest.raises(ToolNotFound):
        await check(TENANT, [made, gone])
    with pytest.raises(ToolNotFound):
        await check(OTHER, [own.id])
    with pytest.raises(InvalidRequest) as refusal:
        await check(TENANT, [own.id, made, of_mcp("pay").id])
    assert [violation.field for violation in refusal.value.violations] == ["agent.tool_ids[2]"]


async def test_an_agent_may_go_on_naming_what_is_gone(toolbox: Toolbox) -> None:
    made, gone = built_in("memory_insert").id, ids.derive("tool", "gone")
    await toolbox.directory.check(TENANT, [gone], [gone])
    await toolbox.directory.check(TENANT, [gone, made], [gone])
