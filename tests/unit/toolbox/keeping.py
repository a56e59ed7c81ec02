"""A store of tools in a dict, as `store.port` wants it, tools to keep in it, and a reader of source code."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SystemClock, nanoseconds
from sendoff_server.errors import AgentNotFound
from sendoff_server.store.port import Store
from sendoff_server.toolbox.directory import ToolDirectory
from sendoff_server.toolbox.server_tools import ServerTools
from sendoff_server.toolbox.service import ToolService
from sendoff_server.tools.port import Described, Sources, Unfit

TENANT, OTHER = "t", "o"


class ToolStore:
    """What the toolbox asks of a store."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], v1.Tool] = {}
        self.is_alone = True
        self.reads = 0
        self.writes = 0
        self.hold: asyncio.Event | None = None
        """Writes wait for it before they do anything."""
        self.entered = asyncio.Event()

    @property
    def as_store(self) -> Store:
        return cast(Store, self)

    async def put_tool(self, tenant: str, tool: v1.Tool, expected_etag: str | None) -> bool:
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        stored = self.rows.get((tenant, tool.id))
        named = await self.tool_named(tenant, tool.name)
        if (stored.etag if stored else None) != expected_etag or (named is not None and named.id != tool.id):
            return False
        self.writes += 1
        self.rows[tenant, tool.id] = tool
        return True

    async def tool(self, tenant: str, tool_id: str) -> v1.Tool | None:
        self.reads += 1
        return self.rows.get((tenant, tool_id))

    async def tool_named(self, tenant: str, name: str) -> v1.Tool | None:
        return next((tool for (of, _), tool in self.rows.items() if of == tenant and tool.name == name), None)

    async def list_tools_by_time(
        self, tenant: str, after: tuple[int, str] | None, limit: int, *, newest_first: bool
    ) -> list[v1.Tool]:
        own = {(nanoseconds(row.create_time), row.id): row for (of, _), row in self.rows.items() if of == tenant}
        behind = sorted(place for place in own if after is None or (place < after if newest_first else place > after))
        return [own[place] for place in (behind[::-1] if newest_first else behind)[:limit]]

    async def list_tools(self, tenant: str, after_name: str, limit: int) -> list[v1.Tool]:
        found = [tool for (of, _), tool in self.rows.items() if of == tenant and tool.name > after_name]
        return sorted(found, key=lambda tool: tool.name)[:limit]

    async def delete_tool(self, tenant: str, tool_id: str) -> bool:
        return self.rows.pop((tenant, tool_id), None) is not None


class PythonReader(Sources):
    """Describes source code like "description|schema"; "unfit" is none of a tool, "nameless" does not tell
    its name. Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def describe(self, name: str, source_code: str) -> Described:
        self.asked.append((name, source_code))
        if source_code == "unfit":
            raise Unfit("it defines no public function")
        description, _, schema = source_code.partition("|")
        misfit = "" if schema else "*rest has no name"
        name = name or ("" if source_code == "nameless" else "only_function")
        return Described(name, description=description, json_schema=schema, misfit=misfit)


class Agents:
    """One agent of one tenant."""

    def __init__(self, *tool_ids: str) -> None:
        self.agent = v1.Agent(id=ids.derive("agent", 1), tool_ids=tool_ids)

    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        if (tenant, agent_id) != (TENANT, self.agent.id):
            raise AgentNotFound(agent_id)
        return self.agent


def built_in(name: str, **fields: Any) -> v1.Tool:
    given: dict[str, Any] = {
        "description": "d",
        "type": v1.TOOL_TYPE_BUILT_IN,
        "effect": v1.TOOL_EFFECT_READ_ONLY,
        "etag": "built",
    }
    return v1.Tool(id=ids.derive("tool", "built_in", name), name=name, **given | fields)


def of_mcp(name: str, server: str = "s", **fields: Any) -> v1.Tool:
    tool_id = ids.derive("tool", "mcp", server, name)
    return v1.Tool(id=tool_id, name=f"{server}_{name}", type=v1.TOOL_TYPE_MCP, mcp_server=server, **fields)


def client_tool(name: str, **fields: Any) -> v1.Tool:
    return v1.Tool(name=name, type=v1.TOOL_TYPE_CLIENT, **fields)


def python_tool(name: str, source: str = 'd|{"type": "object"}', **fields: Any) -> v1.Tool:
    return v1.Tool(name=name, type=v1.TOOL_TYPE_PYTHON, source_code=source, **fields)


def a_schema(**members: Any) -> v1.JsonObject:
    return v1.JsonObject(json=json.dumps({"type": "object"} | members))


class Toolbox:
    """The whole of it over a store of dicts, with two built-in tools."""

    def __init__(self, *, allows_python: bool = True, store: ToolStore | None = None) -> None:
        self.store = store or ToolStore()
        self.clock = SystemClock()
        self.server_tools = ServerTools(
            self.store.as_store, self.clock, [built_in("memory_insert"), built_in("conversation_search")]
        )
        self.directory = ToolDirectory(self.store.as_store, self.server_tools)
        self.python = PythonReader()
        self.agents = Agents()
        self.silent: list[str] = []
        self.service = ToolService(
            self.store.as_store,
            self.directory,
            self.agents,
            self.clock,
            python=self.python if allows_python else None,
            silent_servers=self._silent,
        )

    async def _silent(self) -> list[str]:
        return self.silent

    async def put(self, tool: v1.Tool, *, mask: list[str] | None = None, tenant: str = TENANT) -> v1.Tool:
        request = v1.UpsertToolRequest(tool=tool)
        if mask is not None:
            request.update_mask.paths.extend(mask)
            request.update_mask.SetInParent()
        return await self.service.upsert(tenant, request)

    async def get(self, tool_id: str, *, tenant: str = TENANT) -> v1.Tool:
        return await self.service.get(tenant, v1.GetToolRequest(tool_id=tool_id))

    async def names(self, **fields: Any) -> list[str]:
        """Of all tools that a list finds, page by page."""
        return [tool.name for tool in await self.tools(**fields)]

    async def tools(self, *, tenant: str = TENANT, **fields: Any) -> list[v1.Tool]:
        request = v1.ListToolsRequest(**fields)
        found: list[v1.Tool] = []
        while True:
            page = await self.service.list(tenant, request)
            assert len(page.tools) <= (request.page_size or 50)
            found += page.tools
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token
