"""Tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import ToolFilters


class ToolCalls(Caller):
    """Of the blocking client."""

    def upsert_tool(
        self,
        tool: v1.Tool,
        *,
        fields: Sequence[str] | None = None,
        create_only: bool = False,
        timeout_s: float | None = None,
    ) -> v1.Tool:
        """Make a tool, or change the one of its id, else of its name; an agent may call it once `tool_ids` of the agent
        names it. `fields`: which of an existing one to change; unset: all that can be. With an etag in `tool` only if
        nobody has changed it since; with `create_only` one that exists is left alone, and ToolExists raised."""
        return self._call(requests.upsert_tool(tool, fields, create_only=create_only), timeout_s)

    def get_tool(self, tool_id: str, *, timeout_s: float | None = None) -> v1.Tool:
        """A tool as it is now."""
        return self._call(requests.get_tool(tool_id), timeout_s)

    def tools(self, **filters: Unpack[ToolFilters]) -> Iterator[v1.Tool]:
        """Tools, by name unless order_by says otherwise, those that the server makes among them; further pages are
        fetched as they are needed."""
        return self._pages(paging.tools(filters))

    def silent_mcp_servers(self, *, timeout_s: float | None = None) -> list[str]:
        """MCP servers that do not answer; their tools are listed as they were when they last did."""
        return list(self._call(requests.silent_mcp_servers(), timeout_s).silent_mcp_servers)

    def delete_tool(self, tool_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a tool; agents that name it go on without it. Never repeated by itself, as `delete_agent`."""
        self._call(requests.delete_tool(tool_id), timeout_s)


class AsyncToolCalls(AsyncCaller):
    """As ToolCalls, of the asyncio client."""

    async def upsert_tool(
        self,
        tool: v1.Tool,
        *,
        fields: Sequence[str] | None = None,
        create_only: bool = False,
        timeout_s: float | None = None,
    ) -> v1.Tool:
        """Make a tool, or change the one of its id, else of its name; an agent may call it once `tool_ids` of the agent
        names it. `fields`: which of an existing one to change; unset: all that can be. With an etag in `tool` only if
        nobody has changed it since; with `create_only` one that exists is left alone, and ToolExists raised."""
        return await self._call(requests.upsert_tool(tool, fields, create_only=create_only), timeout_s)

    async def get_tool(self, tool_id: str, *, timeout_s: float | None = None) -> v1.Tool:
        """A tool as it is now."""
        return await self._call(requests.get_tool(tool_id), timeout_s)

    def tools(self, **filters: Unpack[ToolFilters]) -> AsyncIterator[v1.Tool]:
        """Tools, by name unless order_by says otherwise, those that the server makes among them; further pages are
        fetched as they are needed."""
        return self._pages(paging.tools(filters))

    async def silent_mcp_servers(self, *, timeout_s: float | None = None) -> list[str]:
        """MCP servers that do not answer; their tools are listed as they were when they last did."""
        return list((await self._call(requests.silent_mcp_servers(), timeout_s)).silent_mcp_servers)

    async def delete_tool(self, tool_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a tool; agents that name it go on without it. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_tool(tool_id), timeout_s)
