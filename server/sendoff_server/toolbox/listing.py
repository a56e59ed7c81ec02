"""Pages of tools: a tenant's own ones and those that the server makes, as one list, by name or by time of creation."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.page_fit import MAX_PAGE_BYTES
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page
from sendoff_server.store.port import Store
from sendoff_server.toolbox.directory import SERVER_TYPES, ToolDirectory

DEFAULT_PAGE = 50
_READ = 50
"""Rows that are read at once: each may be half a megabyte."""


class Order(ABC):
    """What a list goes by. A cursor is where a tool stands in it."""

    backwards = False

    @abstractmethod
    def place(self, tool: v1.Tool) -> Cursor: ...

    @abstractmethod
    async def rows(self, store: Store, tenant: str, after: Cursor | None, limit: int) -> Sequence[v1.Tool]:
        """The tenant's rows behind that place, in this order."""

    def key(self, tool: v1.Tool) -> tuple[object, ...]:
        """What the list is sorted by, upwards unless it goes backwards."""
        return self.place(tool)

    def follows(self, tool: v1.Tool, after: Cursor | None) -> bool:
        if after is None:
            return True
        return self.place(tool) < after if self.backwards else self.place(tool) > after


class ByName(Order):
    """Places are turned round: a name, and 0 for a tenant's own, 1 for one that the server makes."""

    def place(self, tool: v1.Tool) -> Cursor:
        return int(tool.type in SERVER_TYPES), tool.name

    def key(self, tool: v1.Tool) -> tuple[object, ...]:
        return self.place(tool)[::-1]

    def follows(self, tool: v1.Tool, after: Cursor | None) -> bool:
        return after is None or self.place(tool)[::-1] > after[::-1]

    async def rows(self, store: Store, tenant: str, after: Cursor | None, limit: int) -> Sequence[v1.Tool]:
        return await store.list_tools(tenant, after[1] if after else "", limit)


class ByTime(Order):
    """Built-in tools have no time, and are older than all others."""

    def __init__(self, *, newest_first: bool) -> None:
        self.backwards = newest_first

    def place(self, tool: v1.Tool) -> Cursor:
        return nanoseconds(tool.create_time), tool.id

    async def rows(self, store: Store, tenant: str, after: Cursor | None, limit: int) -> Sequence[v1.Tool]:
        return await store.list_tools_by_time(tenant, after, limit, newest_first=self.backwards)


def _order(request: v1.ListToolsRequest) -> Order:
    return ByName() if request.order_by in ("", "name") else ByTime(newest_first=request.order_by.endswith(" desc"))


async def page_of(
    store: Store, directory: ToolDirectory, tenant: str, request: v1.ListToolsRequest, agent: v1.Agent | None
) -> v1.ListToolsResponse:
    """The page that a request asks for, of the agent's tools or of all. Raises InvalidRequest for a bad token."""
    page, order = Page(request, DEFAULT_PAGE), _order(request)
    if agent is not None:
        of_agent = await directory.tools_of(tenant, agent)
        found = _sorted([tool for tool in of_agent if _matches(tool, request)], order, page.after)
    else:
        found = await _of_all(store, directory, tenant, request, order, page)
    tools, token = page.of([(tool, order.place(tool)) for tool in found])
    return v1.ListToolsResponse(tools=tools, next_page_token=token)


def _sorted(tools: Sequence[v1.Tool], order: Order, after: Cursor | None) -> list[v1.Tool]:
    """Those behind that place."""
    return sorted((tool for tool in tools if order.follows(tool, after)), key=order.key, reverse=order.backwards)


async def _of_all(
    store: Store, directory: ToolDirectory, tenant: str, request: v1.ListToolsRequest, order: Order, page: Page
) -> list[v1.Tool]:
    """Enough for the page, or as many as fill it by their size."""
    made = [tool for tool in directory.server_tools.by_name() if _matches(tool, request)]
    made = _sorted(made, order, page.after)
    found: list[v1.Tool] = []
    size = 0
    async for tool in _own(store, directory, tenant, request, order, page.after):
        found.append(tool)
        size += tool.ByteSize()
        if len(found) == page.enough or size > MAX_PAGE_BYTES:
            # What the server makes and stands behind this tool belongs to a later page.
            made = [each for each in made if order.follows(tool, order.place(each))]
            break
    merged = heapq.merge(found, made, key=order.key, reverse=order.backwards)
    return [await _as_seen(directory, tenant, tool) for tool, _ in zip(merged, range(page.enough), strict=False)]


async def _as_seen(directory: ToolDirectory, tenant: str, tool: v1.Tool) -> v1.Tool:
    return (await directory.find(tenant, tool.id) or tool) if tool.type in SERVER_TYPES else tool


async def _own(
    store: Store,
    directory: ToolDirectory,
    tenant: str,
    request: v1.ListToolsRequest,
    order: Order,
    after: Cursor | None,
) -> AsyncIterator[v1.Tool]:
    """The tenant's own tools behind that place which the request asks for, in order."""
    if request.names or request.tool_ids:
        named = [tool for tool in await _named(store, directory, tenant, request) if _is_own(tool, request)]
        for tool in _sorted(named, order, after):
            yield tool
        return
    while rows := await order.rows(store, tenant, after, _READ):
        after = order.place(rows[-1])
        for tool in rows:
            if _is_own(tool, request):
                yield tool


async def _named(
    store: Store, directory: ToolDirectory, tenant: str, request: v1.ListToolsRequest
) -> Sequence[v1.Tool]:
    """What the tenant has under the ids or the names that the request wants."""
    if request.tool_ids:
        rows = [await directory.row(tenant, tool_id) for tool_id in set(request.tool_ids)]
    else:
        rows = [await store.tool_named(tenant, name) for name in set(request.names)]
    return [row for row in rows if row is not None]


def _is_own(tool: v1.Tool, request: v1.ListToolsRequest) -> bool:
    return tool.type not in SERVER_TYPES and _matches(tool, request)


def _matches(tool: v1.Tool, request: v1.ListToolsRequest) -> bool:
    return (
        (not request.names or tool.name in request.names)
        and (not request.tool_ids or tool.id in request.tool_ids)
        and (not request.types or tool.type in request.types)
        and request.name_search.casefold() in tool.name.casefold()
    )
