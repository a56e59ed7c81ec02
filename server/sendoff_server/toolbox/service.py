"""What callers can do with tools. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from sendoff import v1
from sendoff_server import ids, validation
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import (
    EtagMismatch,
    InvalidRequest,
    ToolExists,
    ToolIsTheServers,
    ToolNotFound,
    Unsupported,
    Violation,
)
from sendoff_server.store.port import Store
from sendoff_server.toolbox import changes
from sendoff_server.toolbox.directory import SERVER_TYPES, ToolDirectory
from sendoff_server.toolbox.listing import page_of
from sendoff_server.tools.port import Described, Sources, Unfit

SilentServers = Callable[[], Awaitable[Sequence[str]]]
"""Names of the MCP servers that do not answer."""


class Agents(Protocol):
    """Where agents are found."""

    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        """Raises AgentNotFound."""
        ...


class ToolService:
    """The use cases of tools."""

    def __init__(
        self,
        store: Store,
        directory: ToolDirectory,
        agents: Agents,
        clock: Clock,
        *,
        python: Sources | None,
        silent_servers: SilentServers | None = None,
    ) -> None:
        """`python` reads the source code of PYTHON tools; None: they are not allowed."""
        self._store = store
        self._directory = directory
        self._agents = agents
        self._clock = clock
        self._python = python
        self._silent_servers = silent_servers

    async def get(self, tenant: str, request: v1.GetToolRequest) -> v1.Tool:
        validation.check_get_tool(request)
        return await self._found(tenant, request.tool_id)

    async def list(self, tenant: str, request: v1.ListToolsRequest) -> v1.ListToolsResponse:
        """MCP servers that do not answer are waited for, within a bound of theirs."""
        validation.check_list_tools(request)
        asks_for_mcp = not request.types or v1.TOOL_TYPE_MCP in request.types
        silent = await self._silent_servers() if self._silent_servers and asks_for_mcp else ()
        agent = await self._agents.find(tenant, request.agent_id) if request.HasField("agent_id") else None
        page = await page_of(self._store, self._directory, tenant, request, agent)
        page.silent_mcp_servers.extend(silent)
        return page

    async def delete(self, tenant: str, request: v1.DeleteToolRequest) -> v1.DeleteToolResponse:
        validation.check_delete_tool(request)
        tool = await self._found(tenant, request.tool_id)
        if tool.type in SERVER_TYPES:
            raise ToolIsTheServers(tool.id)
        if not await self._directory.delete(tenant, tool.id):
            raise ToolNotFound(tool.id)
        return v1.DeleteToolResponse()

    async def _found(self, tenant: str, tool_id: str) -> v1.Tool:
        tool = await self._directory.find(tenant, tool_id)
        if tool is None:
            raise ToolNotFound(tool_id)
        return tool

    # ---- upsert ----

    async def upsert(self, tenant: str, request: v1.UpsertToolRequest) -> v1.Tool:
        """Make or change a tool. A change made by somebody else meanwhile is not overwritten when the caller sent an
        etag; without one the fields of this request are put upon whatever is there.

        Description and schema of a PYTHON tool are made from its source code wherever they are empty; those that were
        made so are made again with new source code, unless the request sets them.
        """
        validation.check_upsert_tool(request)
        request = await self._named(request)
        while True:
            current = await self._current(tenant, request.tool)
            if current is not None and request.create_only:
                raise ToolExists(current.name, current.id)
            if request.tool.etag and (current is None or request.tool.etag != current.etag):
                raise EtagMismatch(request.tool.id or request.tool.name, request.tool.etag)
            made = self._directory.server_tools.find(current.id) if current is not None else None
            row = await self._directory.row(tenant, current.id) if current is not None else None
            if made is not None:
                changed = changes.override(made, row, request)
            else:
                changed = await self._described(current, changes.own(current, request), request)
            self._stamp(changed, row)
            if await self._directory.put(tenant, changed, row.etag if row is not None else None):
                return await self._found(tenant, changed.id)
            if current is not None:  # else the tool of that name was made meanwhile, and is now changed
                await self._check_name(tenant, changed)

    async def _named(self, request: v1.UpsertToolRequest) -> v1.UpsertToolRequest:
        """The request with the name of the tool; a PYTHON tool without one has that of its function. Raises
        Unsupported, InvalidRequest."""
        if request.tool.name or request.tool.id:
            return request
        described = await self._describe("", request.tool.source_code)
        if not described.name:
            raise InvalidRequest([Violation("tool.name", "must be set: the source code does not tell it")])
        named = v1.UpsertToolRequest()
        named.CopyFrom(request)
        named.tool.name = described.name
        validation.check_upsert_tool(named)
        return named

    async def _current(self, tenant: str, wanted: v1.Tool) -> v1.Tool | None:
        """The tool that the request means, as the tenant has it; None if it is to be made."""
        if wanted.id:
            return await self._found(tenant, wanted.id)
        named = await self._store.tool_named(tenant, wanted.name) or self._directory.server_tools.named(wanted.name)
        if named is None:
            return None
        current = await self._directory.find(tenant, named.id)
        if current is None and named.type in SERVER_TYPES:
            await self._directory.delete(tenant, named.id)  # what was set of a tool that the server makes no more
        return current

    async def _check_name(self, tenant: str, tool: v1.Tool) -> None:
        """After a refusal of the store: if the name was why, raise InvalidRequest; else somebody was quicker."""
        other = await self._store.tool_named(tenant, tool.name)
        if other is not None and other.id != tool.id:
            raise InvalidRequest([Violation("tool.name", f"is that of {other.id}; no two tools may have one name")])

    def _stamp(self, tool: v1.Tool, row: v1.Tool | None) -> None:
        now = timestamp(self._clock.now_ns())
        tool.id = tool.id or ids.new("tool")
        tool.create_time.CopyFrom(row.create_time if row is not None else now)
        tool.update_time.CopyFrom(now)
        tool.etag = ids.etag()

    # ---- Python ----

    async def _described(self, current: v1.Tool | None, changed: v1.Tool, request: v1.UpsertToolRequest) -> v1.Tool:
        """The tool with what its source code tells of it. Raises Unsupported, InvalidRequest."""
        if current is not None and changed.name != current.name:
            self._check_new_name(changed.name)
        if changed.type != v1.TOOL_TYPE_PYTHON:
            return changed
        python = self._allowed()
        if current is not None and changed.source_code != current.source_code:
            await self._forget_made(python, current, changed, request)
        if current is None or _needs_describing(current, changed):
            _fill(changed, await self._describe(changed.name, changed.source_code))
            validation.check_upsert_tool(v1.UpsertToolRequest(tool=changed))
        return changed

    async def _describe(self, name: str, source_code: str) -> Described:
        try:
            return await self._allowed().describe(name, source_code)
        except Unfit as unfit:
            raise InvalidRequest([Violation("tool.source_code", str(unfit))]) from None

    def _allowed(self) -> Sources:
        if self._python is None:
            told = "Python tools are not allowed on this server; its operator can set SENDOFF_PYTHON_TOOLS"
            raise Unsupported([Violation("tool.type", told)])
        return self._python

    def _check_new_name(self, name: str) -> None:
        if self._directory.server_tools.named(name) is not None:
            raise InvalidRequest([Violation("tool.name", f"{name!r} is that of a tool that the server makes")])

    async def _forget_made(
        self, python: Sources, current: v1.Tool, changed: v1.Tool, request: v1.UpsertToolRequest
    ) -> None:
        """Empty what was made from the source code before, unless the request sets it."""
        set_fields = (
            set(request.update_mask.paths) if request.HasField("update_mask") else {"description", "json_schema"}
        )
        if {"description", "json_schema"} <= set_fields:
            return
        try:
            before = await python.describe(current.name, current.source_code)
        except Unfit:
            return
        if "description" not in set_fields and current.description == before.description:
            changed.ClearField("description")
        if "json_schema" not in set_fields and current.json_schema.json == before.json_schema:
            changed.ClearField("json_schema")


def _needs_describing(current: v1.Tool, changed: v1.Tool) -> bool:
    is_same = (current.name, current.source_code) == (changed.name, changed.source_code)
    return not (is_same and changed.description and changed.json_schema.json)


def _fill(tool: v1.Tool, described: Described) -> None:
    tool.description = tool.description or described.description
    if not tool.json_schema.json:
        if not described.json_schema:
            told = f"no schema can be made of its signature, so json_schema must be set: {described.misfit}"
            raise InvalidRequest([Violation("tool.source_code", told)])
        tool.json_schema.json = described.json_schema
