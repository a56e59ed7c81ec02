"""Tools as they are now, at hand without asking the store each time.

Every step of an agent needs its tools. A directory remembers the rows of tenants asked for lately, also that there is
none, and every change that is made in this process goes through it; where other processes write to the store, which it
tells, nothing is remembered.

A row whose type is the server's holds what a tenant has set of a tool that the server makes; it means nothing while
the server does not make that tool.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sendoff import v1
from sendoff_server.errors import InvalidRequest, ToolNotFound, Violation
from sendoff_server.store.port import Store
from sendoff_server.toolbox.server_tools import ServerTools

MAX_BYTES = 16 * 1024 * 1024
"""Of all rows that are remembered."""
SERVER_TYPES = frozenset({v1.TOOL_TYPE_BUILT_IN, v1.TOOL_TYPE_MCP})

_ENTRY_BYTES = 200
"""What an entry takes beside the row."""

T = TypeVar("T")


class ToolDirectory:
    """Finds tools, and changes those of tenants."""

    def __init__(self, store: Store, server_tools: ServerTools, *, max_bytes: int = MAX_BYTES) -> None:
        self._store = store
        self.server_tools = server_tools
        self._max_bytes = max_bytes
        self._remembered: OrderedDict[tuple[str, str], tuple[v1.Tool | None, int]] = OrderedDict()
        self._size = 0
        self._changes = 0
        self._writing: set[asyncio.Task[Any]] = set()

    # ---- find ----

    async def tools_of(self, tenant: str, agent: v1.Agent) -> Sequence[v1.Tool]:
        """The tools that an agent may call, in its order. Those that are gone are passed over, and of two that have one
        name by now the second: a model could not tell them apart. Raises StoreFailed."""
        found: dict[str, v1.Tool] = {}
        for tool_id in agent.tool_ids:
            tool = await self.find(tenant, tool_id)
            if tool is not None:
                found.setdefault(tool.name, tool)
        return list(found.values())

    async def check(self, tenant: str, wanted: Sequence[str], known: Sequence[str] = ()) -> None:
        """Whether an agent may name these tools. It may go on naming those that it named before, be they gone.

        Raises ToolNotFound, and InvalidRequest if two have one name."""
        if list(wanted) == list(known):
            return
        names: dict[str, int] = {}
        for index, tool_id in enumerate(wanted):
            tool = await self.find(tenant, tool_id)
            if tool is None:
                if tool_id not in known:
                    raise ToolNotFound(tool_id)
            elif names.setdefault(tool.name, index) != index:
                told = (
                    f"has the name {tool.name!r} as tool_ids[{names[tool.name]}] has; a model could not tell them apart"
                )
                raise InvalidRequest([Violation(f"agent.tool_ids[{index}]", told)])

    async def find(self, tenant: str, tool_id: str) -> v1.Tool | None:
        """The tool as this tenant has it; None if there is none. Raises StoreFailed."""
        made = self.server_tools.find(tool_id)
        row = await self.row(tenant, tool_id)
        if row is not None and row.type not in SERVER_TYPES:
            return row
        made = made or await self.server_tools.learn(tool_id)
        return made if made is None or row is None else laid_over(made, row)

    async def row(self, tenant: str, tool_id: str) -> v1.Tool | None:
        """What the tenant has put under that id."""
        key = (tenant, tool_id)
        if not self._store.is_alone:
            return await self._store.tool(*key)
        entry = self._remembered.get(key)
        if entry is not None:
            self._remembered.move_to_end(key)
            return entry[0]
        changes = self._changes
        row = await self._store.tool(*key)
        if changes == self._changes:  # else what was read may be older than what somebody changed meanwhile
            self._keep(key, row)
        return row

    # ---- change ----

    async def put(self, tenant: str, tool: v1.Tool, expected_etag: str | None) -> bool:
        """What the store's `put_tool` does. A caller who is cancelled does not stop what has begun."""
        writing = self._store.put_tool(tenant, tool, expected_etag)
        return await self._to_its_end((tenant, tool.id), writing, lambda written: tool if written else None)

    async def delete(self, tenant: str, tool_id: str) -> bool:
        """Whether it was there."""
        return await self._to_its_end((tenant, tool_id), self._store.delete_tool(tenant, tool_id), lambda _: None)

    async def _to_its_end(
        self, key: tuple[str, str], writing: Coroutine[Any, Any, T], known: Callable[[T], v1.Tool | None]
    ) -> T:
        """In a task of its own: else a caller who goes away would leave here what is not so in the store any more."""
        task = asyncio.create_task(self._written(key, writing, known), name="write tool")
        self._writing.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _written(
        self, key: tuple[str, str], writing: Coroutine[Any, Any, T], known: Callable[[T], v1.Tool | None]
    ) -> T:
        try:
            outcome = await writing
        finally:
            self._changes += 1
            self._drop(key)
        if (row := known(outcome)) is not None:
            self._keep(key, row)
        return outcome

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waits; if nobody does any more, it is not lost by accident

    def _keep(self, key: tuple[str, str], row: v1.Tool | None) -> None:
        self._drop(key)
        size = _ENTRY_BYTES + (row.ByteSize() if row else 0)
        self._remembered[key] = (row, size)
        self._size += size
        while self._size > self._max_bytes:
            self._drop(next(iter(self._remembered)))

    def _drop(self, key: tuple[str, str]) -> None:
        entry = self._remembered.pop(key, None)
        if entry is not None:
            self._size -= entry[1]


def laid_over(made: v1.Tool, row: v1.Tool) -> v1.Tool:
    """A tool of the server's with what a tenant has set of it. Its etag changes whenever either of them does."""
    tool = v1.Tool()
    tool.CopyFrom(made)
    tool.requires_approval = made.requires_approval or row.requires_approval
    tool.effect = row.effect or made.effect
    tool.return_char_limit = row.return_char_limit or made.return_char_limit
    tool.in_order = made.in_order or row.in_order
    if row.HasField("timeout"):
        tool.timeout.CopyFrom(row.timeout)
    if row.tags:
        del tool.tags[:]
        tool.tags.extend(row.tags)
    tool.update_time.CopyFrom(row.update_time)
    tool.etag = f"{row.etag}.{made.etag}"
    return tool
