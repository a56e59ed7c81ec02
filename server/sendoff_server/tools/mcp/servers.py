"""The operator's MCP servers, as tools."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.tools.mcp.config import ServerConfig
from sendoff_server.tools.mcp.failures import ConnectionLost, ServerFailed
from sendoff_server.tools.mcp.link import Dial, Hooks, Link, Session
from sendoff_server.tools.port import ListedServers, ListedTools, ToolCall, ToolListener, ToolResult, Tools, text_result

LIST_TIMEOUT_S = 5.0
"""How long those who list tools wait for a server that is not connected."""


class McpServers(Tools, ListedServers):
    """Calls tools of MCP servers, which are connected when they are first wanted."""

    def __init__(
        self,
        configs: Mapping[str, ServerConfig],
        clock: Clock,
        listener: ToolListener | None = None,
        dial: Callable[[str], Dial] | None = None,
    ) -> None:
        """`dial` gives the way to a server by its name; without it, the configured one is taken."""
        self._configs = configs
        self._links = {
            name: Link(name, config, dial(name) if dial else self._dial(name), clock, listener)
            for name, config in configs.items()
        }

    @property
    def links(self) -> Mapping[str, Link]:
        """The servers by name, for whoever tells their state."""
        return self._links

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve calls inside the block; on leaving it, end every connection and every process."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(link.run(), name=f"MCP server {name}") for name, link in self._links.items()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def call(self, call: ToolCall) -> ToolResult:
        name, timeout_s = call.tool.mcp_server, self._timeout_s(call.tool)
        if name not in self._links:
            return text_result(f"There is no MCP server {name!r} any more.", is_error=True)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self._call(self._links[name], call)
        except TimeoutError:
            if not limit.expired():
                raise
            told = f"The tool did not answer within {timeout_s:g} s. Whether it took effect is not known."
            return text_result(told, is_error=True)
        except ConnectionLost as failure:
            told = f"The MCP server {name!r} was lost while it was called: {failure}. Whether the call took effect"
            return text_result(f"{told} is not known.", is_error=True)
        except ServerFailed as failure:
            return text_result(f"The MCP server {name!r} cannot be called: {failure}.", is_error=True)

    async def tools(self) -> ListedTools:
        """The tools of all servers, and the names of those that do not answer. Their tools are as they were when they
        last did, since this process began. Connects to all that are not connected, and waits for none too long."""
        outcomes = await asyncio.gather(*(_answers(link) for link in self._links.values()))
        tools = [tool for link in self._links.values() for tool in link.offer.tools.values()]
        silent = [name for name, answers in zip(self._links, outcomes, strict=True) if not answers]
        return ListedTools(tools, silent)

    async def silent(self) -> Sequence[str]:
        """Names of the servers that do not answer; connects as `tools` does."""
        return (await self.tools()).silent

    async def _call(self, link: Link, call: ToolCall) -> ToolResult:
        offer = await link.fresh_offer()
        theirs = next((name for name, tool in offer.tools.items() if tool.id == call.tool.id), None)
        if theirs is None:
            raise ServerFailed(f"it has no tool {call.tool.name!r} any more")
        idempotent = call.tool.effect == v1.TOOL_EFFECT_IDEMPOTENT
        return await link.call(theirs, call.arguments, call.key if idempotent else None)

    def _timeout_s(self, tool: v1.Tool) -> float | None:
        """None: as long as the caller waits."""
        if tool.HasField("timeout"):
            return tool.timeout.ToTimedelta().total_seconds()
        config = self._configs.get(tool.mcp_server)
        return config.timeout_s if config else None

    def _dial(self, name: str) -> Dial:
        config = self._configs[name]

        @asynccontextmanager
        async def dial(hooks: Hooks) -> AsyncIterator[Session]:
            session = await asyncio.to_thread(importlib.import_module, f"{__package__}.session")
            opened: AbstractAsyncContextManager[Session] = session.opened(
                session.connect(config, hooks), name, config, self._configs.keys(), hooks
            )
            async with opened as connection:
                yield connection

        return dial


async def _answers(link: Link) -> bool:
    """Whether it is connected, or is so before long; it goes on connecting in any case."""
    try:
        async with asyncio.timeout(LIST_TIMEOUT_S):
            await link.fresh_offer()
    except (ServerFailed, TimeoutError):
        return False
    return True
