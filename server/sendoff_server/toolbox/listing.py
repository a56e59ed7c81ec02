"""Pages of tools, by name: a tenant's own ones and those that the server makes, as one list."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator

from sendoff import v1
from sendoff_server.page_fit import MAX_PAGE_BYTES
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page
from sendoff_server.store.port import Store
from sendoff_server.toolbox.directory import SERVER_TYPES, ToolDirectory

DEFAULT_PAGE = 50
_READ = 50
"""Rows that are read at once: each may be half a megabyte."""

Place = tuple[str, int]
"""Where a tool stands in the list: its name, and 0 for a tenant's own, 1 for one that the server makes."""


async def page_of(
    store: Store, directory: ToolDirectory, tenant: str, request: v1.ListToolsRequest, agent: v1.Agent | None
) -> v1.ListToolsResponse:
    """The page that a request asks for, of the agent's tools or of all. Raises InvalidRequest for a bad token."""
    page = Page(request, DEFAULT_PAGE)
    after = (page.after[1], page.after[0]) if page.after else ("", -1)
    if agent is not None:
        of_agent = [tool for tool in await directory.tools_of(tenant, agent) if _matches(tool, request)]
        found = sorted((tool for tool in of_agent if _place(tool) > after), key=_place)
    else:
        found = await _of_all(store, directory, tenant, request, after, page.enough)
    tools, token = page.of([(tool, _cursor(tool)) for tool in found])
    return v1.ListToolsResponse(tools=tools, next_page_token=token)


async def _of_all(
    store: Store, directory: ToolDirectory, tenant: str, request: v1.ListToolsRequest, after: Place, limit: int
) -> list[v1.Tool]:
    """Up to that many, or as many as fill a page by their size."""
    made = [tool for tool in directory.server_tools.by_name() if _place(tool) > after and _matches(tool, request)]
    found: list[v1.Tool] = []
    size = 0
    async for tool in _own(store, tenant, request, after):
        found.append(tool)
        size += tool.ByteSize()
        if len(found) == limit or size > MAX_PAGE_BYTES:
            # What the server makes and stands behind this tool belongs to a later page.
            made = [each for each in made if _place(each) < _place(tool)]
            break
    merged = heapq.merge(found, made, key=_place)
    return [await _as_seen(directory, tenant, tool) for tool, _ in zip(merged, range(limit), strict=False)]


async def _as_seen(directory: ToolDirectory, tenant: str, tool: v1.Tool) -> v1.Tool:
    return (await directory.find(tenant, tool.id) or tool) if tool.type in SERVER_TYPES else tool


async def _own(store: Store, tenant: str, request: v1.ListToolsRequest, after: Place) -> AsyncIterator[v1.Tool]:
    """The tenant's own tools behind that place which the request asks for, by name."""
    if request.names:
        for name in sorted(set(request.names)):
            tool = await store.tool_named(tenant, name)
            if tool is not None and _place(tool) > after and _is_own(tool, request):
                yield tool
        return
    name = after[0]
    while rows := await store.list_tools(tenant, name, _READ):
        name = rows[-1].name
        for tool in rows:
            if _is_own(tool, request):
                yield tool


def _is_own(tool: v1.Tool, request: v1.ListToolsRequest) -> bool:
    return tool.type not in SERVER_TYPES and _matches(tool, request)


def _matches(tool: v1.Tool, request: v1.ListToolsRequest) -> bool:
    of_name = not request.names or tool.name in request.names
    return of_name and (not request.types or tool.type in request.types)


def _cursor(tool: v1.Tool) -> Cursor:
    name, rank = _place(tool)
    return rank, name


def _place(tool: v1.Tool) -> Place:
    return tool.name, int(tool.type in SERVER_TYPES)
