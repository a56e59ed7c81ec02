"""MCP servers as tools, over the MCP library's own server in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server import MCPServer

from sendoff import v1
from sendoff_server.clock import SystemClock
from sendoff_server.tools.mcp.config import from_json
from sendoff_server.tools.mcp.link import Dial
from sendoff_server.tools.mcp.servers import McpServers
from sendoff_server.tools.mcp.session import opened
from tests.fixtures.mcp_over_http import make_server
from tests.fixtures.mcp_servers import Listened, calling, fault, running, told, tool_named


@asynccontextmanager
async def in_process(server: MCPServer, listener: Listened | None = None, **entry: object) -> AsyncIterator[McpServers]:
    configs = from_json(json.dumps({"mcpServers": {"in": {"command": "x", **entry}}}), {})

    def dial(name: str) -> Dial:
        return lambda hooks: opened(server, name, configs[name], configs.keys(), hooks)

    servers = McpServers(configs, SystemClock(), listener, dial)
    async with servers.running():
        yield servers


async def test_tools_are_listed_with_their_effects_and_called() -> None:
    async with in_process(make_server()) as servers:
        effects = {tool.name: v1.ToolEffect.Name(tool.effect) for tool in (await servers.tools()).tools}
        assert await told(servers, "in_add", a=2, b=3) == "5"
        assert "the disk is full" in await fault(servers, "in_fail")
        assert "did not answer within 0.05 s" in await fault(servers, "in_hang", timeout_s=0.05)
        assert await told(servers, "in_add", a=3, b=3) == "6"

    assert effects["in_add"] == "TOOL_EFFECT_READ_ONLY"
    assert effects["in_key"] == "TOOL_EFFECT_IDEMPOTENT"
    assert effects["in_fail"] == "TOOL_EFFECT_ONCE"


async def test_arguments_that_do_not_fit_are_an_error_that_the_model_can_act_on() -> None:
    async with in_process(make_server()) as servers:
        assert "valid integer" in await fault(servers, "in_add", a="two", b=3)


async def test_the_configured_time_limit_holds_where_the_tool_has_none() -> None:
    async with in_process(make_server(), timeout_s=0.05) as servers:
        hang = await tool_named(servers, "in_hang")
        assert hang.timeout.ToMilliseconds() == 50
        hang.ClearField("timeout")
        assert "within 0.05 s" in (await servers.call(calling(hang))).content.text


async def test_a_change_is_heard_of_by_whoever_keeps_the_tools() -> None:
    listened = Listened()
    async with in_process(make_server(), listened) as servers:
        await told(servers, "in_grow")
        await listened.heard("in", "in_grown")


async def test_a_tool_that_is_not_allowed_cannot_be_called_by_its_id_either() -> None:
    async with in_process(make_server()) as servers:
        add = await tool_named(servers, "in_add")
    async with in_process(make_server(), tools=["fail"]) as servers:
        result = await servers.call(calling(add, a=1, b=1))

    assert result.is_error
    assert "has no tool 'in_add' any more" in result.content.text


async def test_a_tool_of_a_server_that_is_configured_no_more_says_so() -> None:
    async with running({}) as servers:
        result = await servers.call(calling(v1.Tool(name="gone_a", mcp_server="gone")))
        assert await servers.tools() == ([], [])

    assert result.is_error
    assert "no MCP server 'gone' any more" in result.content.text


def test_without_a_call_nothing_of_the_library_is_loaded() -> None:
    program = "import sys, sendoff_server.app; sys.exit(bool({'mcp', 'mcp_types'} & sys.modules.keys()))"

    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
