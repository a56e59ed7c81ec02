"""What MCP servers offer is kept for all tenants, is there before a server answers, and follows what it says."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sendoff import v1
from tests.unit.toolbox.keeping import OTHER, TENANT, Toolbox, of_mcp


@pytest.fixture
def toolbox() -> Toolbox:
    return Toolbox()


async def test_what_a_server_offers_is_there_for_every_tenant(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("pay", description="Pays.")])
    for tenant in (TENANT, OTHER):
        tool = await toolbox.get(of_mcp("pay").id, tenant=tenant)
        assert (tool.name, tool.description, tool.mcp_server) == ("s_pay", "Pays.", "s")
        assert tool.etag
        assert tool.HasField("create_time")


async def test_what_is_offered_again_as_it_was_is_not_written_again(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    before, writes = await toolbox.get(of_mcp("pay").id), toolbox.store.writes
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    assert (await toolbox.get(of_mcp("pay").id), toolbox.store.writes) == (before, writes)


async def test_a_tool_that_its_server_changes_keeps_its_time_and_gets_another_etag(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("pay")])
    before = await toolbox.get(of_mcp("pay").id)
    await toolbox.server_tools.listed("s", [of_mcp("pay", description="new")])
    after = await toolbox.get(of_mcp("pay").id)
    assert (after.description, after.create_time) == ("new", before.create_time)
    assert after.etag != before.etag


async def test_what_a_server_does_not_offer_any_more_is_gone_and_what_others_offer_stays(toolbox: Toolbox) -> None:
    await toolbox.server_tools.listed("s", [of_mcp("a"), of_mcp("b")])
    await toolbox.server_tools.listed("r", [of_mcp("a", "r")])
    await toolbox.server_tools.listed("s", [of_mcp("b")])
    assert await toolbox.names(types=[v1.TOOL_TYPE_MCP]) == ["r_a", "s_b"]
    assert len(toolbox.store.rows) == 2


async def test_after_a_restart_tools_are_there_before_their_server_answers(toolbox: Toolbox) -> None:
    for server in ("s", "r"):
        await toolbox.server_tools.listed(server, [of_mcp(f"t{number:03}", server) for number in range(250)])
    restarted = Toolbox(store=toolbox.store)
    await restarted.server_tools.load({"s", "new"})
    names = await restarted.names(types=[v1.TOOL_TYPE_MCP])
    assert names == [f"s_t{number:03}" for number in range(250)]
    assert {tool.mcp_server for tool in toolbox.store.rows.values()} == {"s"}


async def test_what_a_server_has_offered_to_another_replica_only_can_be_named_here(toolbox: Toolbox) -> None:
    other = Toolbox(store=toolbox.store)
    toolbox.store.is_alone = False
    await other.server_tools.load({"s", "r"})
    await toolbox.server_tools.load({"s"})
    await other.server_tools.listed("s", [of_mcp("pay")])
    await other.server_tools.listed("r", [of_mcp("pay", "r")])
    assert await toolbox.get(of_mcp("pay").id) == await other.get(of_mcp("pay").id)
    assert await toolbox.directory.find(TENANT, of_mcp("pay", "r").id) is None, "we do not know its server"


async def test_a_tool_with_the_name_of_a_built_in_one_is_left_out_and_told_of(toolbox: Toolbox) -> None:
    with capture_logs() as logs:
        await toolbox.server_tools.listed("memory", [of_mcp("insert", "memory"), of_mcp("b", "memory")])
    assert await toolbox.names(names=["memory_insert", "memory_b"]) == ["memory_b", "memory_insert"]
    assert [line["tool"] for line in logs] == ["memory_insert"]


async def test_of_two_tools_of_one_name_one_is_left_out_and_told_of(toolbox: Toolbox) -> None:
    twin = of_mcp("a", "r")
    twin.name = "s_a"
    await toolbox.server_tools.listed("s", [of_mcp("a")])
    with capture_logs() as logs:
        await toolbox.server_tools.listed("r", [twin])
    assert (await toolbox.tools(names=["s_a"]))[0].id == of_mcp("a").id
    assert [line["server"] for line in logs] == ["r"]
