"""The tools that the server makes, for every tenant the same: built-in ones, and those that MCP servers offer.

What MCP servers offered is kept in the store under no tenant, so that agents have these tools from the start, whether
a server answers yet or not. A tool that its server does not offer any more is gone: agents that name it go on without
it, and have it again, under the same id and with what their tenant had set of it, should it come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import structlog

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import Clock, timestamp
from sendoff_server.store.port import Store

NOBODY = ""
"""The tenant of the server's own rows."""
_READ = 200

_log = structlog.get_logger(__name__)


class ServerTools:
    """All of them, in memory. Every process lists MCP servers itself; until it has, it goes by what others have
    written."""

    def __init__(self, store: Store, clock: Clock, built_in: Sequence[v1.Tool] = ()) -> None:
        """`built_in` come with id and etag."""
        self._store = store
        self._clock = clock
        self._built_in = {tool.name: tool for tool in built_in}
        self._tools = {tool.id: tool for tool in built_in}
        self._mcp_servers: Collection[str] = ()
        self._writing = asyncio.Lock()

    async def load(self, mcp_servers: Collection[str] = ()) -> None:
        """Read what these servers offered when they were last heard of; what others offered is deleted. To be called
        once, before anything is looked for. Raises StoreFailed."""
        self._mcp_servers = mcp_servers
        after = ""
        while rows := await self._store.list_tools(NOBODY, after, _READ):
            after = rows[-1].name
            for tool in rows:
                if tool.mcp_server in mcp_servers and tool.name not in self._built_in:
                    self._tools[tool.id] = tool
                else:
                    await self._store.delete_tool(NOBODY, tool.id)

    def find(self, tool_id: str) -> v1.Tool | None:
        return self._tools.get(tool_id)

    async def learn(self, tool_id: str) -> v1.Tool | None:
        """A tool that an MCP server of ours has offered to another process and not yet to this one; None if there is
        none. Raises StoreFailed."""
        row = None if self._store.is_alone else await self._store.tool(NOBODY, tool_id)
        if row is None or row.mcp_server not in self._mcp_servers or row.name in self._built_in:
            return None
        return self._tools.setdefault(tool_id, row)

    def named(self, name: str) -> v1.Tool | None:
        return next((tool for tool in self._tools.values() if tool.name == name), None)

    def by_name(self) -> list[v1.Tool]:
        """All, by name."""
        return sorted(self._tools.values(), key=lambda tool: tool.name)

    async def listed(self, server: str, tools: Sequence[v1.Tool]) -> None:
        """All that an MCP server offers now, without etags and times. Raises StoreFailed, and may then be called again
        with the same."""
        async with self._writing:
            gone = {tool.id for tool in self._tools.values() if tool.mcp_server == server}
            for tool in tools:
                if tool.name in self._built_in:
                    _log.warning("an MCP tool has the name of a built-in one and is left out", tool=tool.name)
                elif await self._keep(tool):
                    gone.discard(tool.id)
            for tool_id in gone:
                await self._store.delete_tool(NOBODY, tool_id)
                self._tools.pop(tool_id, None)

    async def _keep(self, tool: v1.Tool) -> bool:
        """Whether the tool is one of ours now."""
        while True:
            row = await self._store.tool(NOBODY, tool.id)
            if row is not None and _offered(row) == _offered(tool):
                self._tools[tool.id] = row
                return True
            written = self._stamped(tool, row)
            if await self._store.put_tool(NOBODY, written, row.etag if row else None):
                self._tools[tool.id] = written
                return True
            other = await self._store.tool_named(NOBODY, tool.name)
            if other is not None and other.id != tool.id:
                _log.warning("two MCP tools have one name; one is left out", tool=tool.name, server=tool.mcp_server)
                return False

    def _stamped(self, tool: v1.Tool, row: v1.Tool | None) -> v1.Tool:
        now = timestamp(self._clock.now_ns())
        stamped = _offered(tool)
        stamped.create_time.CopyFrom(row.create_time if row else now)
        stamped.update_time.CopyFrom(now)
        stamped.etag = ids.etag()
        return stamped


def _offered(tool: v1.Tool) -> v1.Tool:
    """A copy without what we add to it."""
    offered = v1.Tool()
    offered.CopyFrom(tool)
    offered.ClearField("etag")
    offered.ClearField("create_time")
    offered.ClearField("update_time")
    return offered
