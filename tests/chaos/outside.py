"""The world that tools reach: an MCP server in this process that counts what is done to it, call by call."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import mcp_types
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

_KEY = "dev.sendoff/idempotency-key"
SERVER = "outside"
CHARGE, NOTE, RISKY = (f"{SERVER}_{name}" for name in ("charge", "note", "risky"))


class Ledger:
    """What was done, by job: the key of each call."""

    def __init__(self, chance: random.Random, longest_s: float) -> None:
        self.charged: dict[str, list[str]] = defaultdict(list)
        """By tools that may run once."""
        self.noted: dict[str, list[str]] = defaultdict(list)
        """By the tool that is idempotent."""
        self._chance = chance
        self._longest_s = longest_s

    async def enter(self, book: dict[str, list[str]], job: str, context: Context) -> str:
        """It is done as soon as it is asked for; the answer takes its time."""
        book[job].append(str(dict(context.request_context.meta or {}).get(_KEY)))
        await asyncio.sleep(self._chance.uniform(0, self._longest_s))
        return f"done {job}"


def _server(ledger: Ledger) -> MCPServer:
    server = MCPServer(SERVER, log_level="CRITICAL")

    @server.tool(structured_output=False)
    async def charge(job: str, context: Context) -> str:
        """Must not be done twice."""
        return await ledger.enter(ledger.charged, job, context)

    @server.tool(annotations=mcp_types.ToolAnnotations(idempotent_hint=True), structured_output=False)
    async def note(job: str, context: Context) -> str:
        """May be done again."""
        return await ledger.enter(ledger.noted, job, context)

    @server.tool(structured_output=False)
    async def risky(job: str, context: Context) -> str:
        """Must not be done twice, and not without being asked."""
        return await ledger.enter(ledger.charged, job, context)

    return server


@asynccontextmanager
async def serving(ledger: Ledger) -> AsyncIterator[dict[str, object]]:
    """Inside the block; gives the file by which servers find it."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = _server(ledger).streamable_http_app(json_response=True, stateless_http=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    try:
        yield {"mcpServers": {SERVER: {"url": url, "requires_approval": ["risky"]}}}
    finally:
        server.should_exit = True
        await running
