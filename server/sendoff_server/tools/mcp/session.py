"""One connection to an MCP server, in the words of our port: what speaks with the MCP library's client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any, NoReturn

import anyio
import mcp_types
from mcp import Client, MCPError
from mcp.client import IncomingMessage, InputRequiredRoundsExceededError
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from sendoff_server.tools.mcp import http, stdio
from sendoff_server.tools.mcp.config import HttpServer, ServerConfig, StdioServer
from sendoff_server.tools.mcp.content import tool_result
from sendoff_server.tools.mcp.failures import (
    LOST,
    MAX_MESSAGE_BYTES,
    NOT_SENT,
    TOO_LARGE,
    ConnectionLost,
    NotSent,
    ServerFailed,
)
from sendoff_server.tools.mcp.link import Hooks, Session
from sendoff_server.tools.mcp.listing import MAX_TOOLS, Offer, offer
from sendoff_server.tools.port import ToolResult, text_result

KEY_META = "dev.sendoff/idempotency-key"
"""Under this name of a request's `_meta` an idempotent call carries its key: the same for the same call made again."""

_LISTEN_AGAIN_S = 30.0
_MAX_ERROR_CHARS = 2_000


def connect(config: ServerConfig, hooks: Hooks) -> AbstractAsyncContextManager[Any]:
    """The way to a configured server, as the MCP library takes it."""
    if isinstance(config, StdioServer):
        return stdio.connect(config, ended=hooks.ended, told=hooks.told)
    assert isinstance(config, HttpServer)
    return http.connect(config)


@asynccontextmanager
async def opened(
    transport: Any, server: str, config: ServerConfig, servers: Collection[str], hooks: Hooks
) -> AsyncIterator[Session]:
    """Shake hands with a server. `transport` is what `Client` takes: of `connect`, or an `MCPServer` of this process.

    To be left by the task that entered it. Raises ServerFailed, OSError, and what the MCP library raises.
    """

    async def heard(message: IncomingMessage) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            hooks.changed()

    client = Client(
        transport,
        cache=None,
        message_handler=heard,
        client_info=mcp_types.Implementation(name="sendoff", version=version("sendoff")),
    )
    async with client, _listening(client, hooks.changed):
        yield McpSession(client, server, config, servers)


@asynccontextmanager
async def _listening(client: Client, changed: Callable[[], None]) -> AsyncIterator[None]:
    """Be told of changes inside the block. Servers of the older protocol tell unasked, see `heard`."""
    tools = client.server_capabilities.tools
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or tools is None or not tools.list_changed:
        yield
        return
    listening = asyncio.create_task(_listen(client, changed), name="listen to MCP server")
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.wait((listening,))


async def _listen(client: Client, changed: Callable[[], None]) -> None:
    """A stream that breaks off is opened again; until then, and in any case, the link looks from time to time."""
    while True:
        with suppress(MCPError, SubscriptionLost, ListenNotSupportedError):
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    changed()
        await asyncio.sleep(_LISTEN_AGAIN_S)
        changed()


class McpSession(Session):
    """A connection that stands. Used by many tasks at once."""

    def __init__(self, client: Client, server: str, config: ServerConfig, servers: Collection[str]) -> None:
        self._client = client
        self._server = server
        self._config = config
        self._servers = servers

    async def list(self) -> Offer:
        told: list[mcp_types.Tool] = []
        cursor: str | None = None
        try:
            while len(told) <= MAX_TOOLS:
                page = await self._client.list_tools(cursor=cursor)
                told += page.tools
                cursor = page.next_cursor
                if cursor is None or not page.tools:
                    break
        except ValidationError as error:
            raise ServerFailed(f"its list of tools is not MCP: {_first_fault(error)}") from None
        except MCPError as error:
            _fail(error)
        # Checking a schema takes a millisecond, and there may be many.
        return await asyncio.to_thread(offer, self._server, self._config, self._servers, told)

    async def call(self, tool: str, arguments: Mapping[str, Any], key: str | None) -> ToolResult:
        fault = _unsendable(arguments)
        if fault:
            return text_result(f"The arguments cannot be sent: {fault}.", is_error=True)
        meta: Any = {KEY_META: key} if key is not None else None
        try:
            return tool_result(await self._client.call_tool(tool, dict(arguments), meta=meta))
        except MCPError as error:
            return self._answered(error)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise ConnectionLost("the connection ended") from None
        except ValidationError as error:
            return self._useless(f"which is not MCP: {_first_fault(error)}")
        except (RuntimeError, InputRequiredRoundsExceededError) as error:  # not what its own schema says, for example
            return self._useless(f"which cannot be used: {self._cut(str(error))}")

    def _answered(self, error: MCPError) -> ToolResult:
        """An error of the protocol: the tool's own failure to begin, or that of the connection, which is raised."""
        if error.code == TOO_LARGE:
            told = f"the answer was larger than {MAX_MESSAGE_BYTES} bytes and was dropped; ask for less"
            return text_result(f"The MCP server {self._server!r} was called, but {told}.", is_error=True)
        if error.code in (NOT_SENT, LOST, mcp_types.CONNECTION_CLOSED):
            _fail(error)
        return text_result(
            f"The MCP server {self._server!r} answered with an error: {self._cut(error.message)}", is_error=True
        )

    def _useless(self, why: str) -> ToolResult:
        return text_result(f"The MCP server {self._server!r} gave an answer {why}", is_error=True)

    def _cut(self, text: str) -> str:
        return self._config.blotted(text)[:_MAX_ERROR_CHARS]


def _fail(error: MCPError) -> NoReturn:
    if error.code == NOT_SENT:
        raise NotSent(error.message) from None
    if error.code in (LOST, mcp_types.CONNECTION_CLOSED):
        raise ConnectionLost(error.message) from None
    raise ServerFailed(error.message) from None


def _unsendable(arguments: Mapping[str, Any]) -> str:
    """Why these arguments are not JSON in UTF-8; empty if they are. A model may write half of a surrogate pair."""
    try:
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"[:_MAX_ERROR_CHARS]
