"""Keeps one MCP server connected, for as long as somebody wants it.

One task owns the connection and leaves it where it entered it; calls run in the tasks of those who call. Nothing is
connected before it is first wanted. A connection that ends, because the server crashed for example, is opened again
when it is next wanted: at once the first time, and after a failure not before a pause that grows; whoever comes within
the pause is told the failure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.tools.mcp.config import ServerConfig
from sendoff_server.tools.mcp.failures import NotSent, ServerFailed
from sendoff_server.tools.mcp.listing import Offer
from sendoff_server.tools.port import ToolListener, ToolResult

CONNECT_TIMEOUT_S = 60.0
"""For starting, which may mean installing, shaking hands and listing; and for listing again."""
LOOK_AGAIN_S = 300.0
"""How often the list is fetched without being told that it changed: telling is a hint, and may get lost."""
MAX_CALLS = 16
"""Calls under way at one server; more wait, which counts as their time."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
_KEPT_LINES = 10

_log = structlog.get_logger(__name__)


class Session(Protocol):
    """A connection that stands."""

    async def list(self) -> Offer:
        """What the server offers now. Raises ServerFailed."""
        ...

    async def call(self, tool: str, arguments: Mapping[str, Any], key: str | None) -> ToolResult:
        """Call by the server's own name of the tool, with an idempotency key if it takes one. Raises NotSent and
        ConnectionLost; all else that goes wrong is a result."""
        ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a connection tells about itself, as it happens."""

    ended: Callable[[], None]
    """It is of no use any more."""
    changed: Callable[[], None]
    """The server has other tools than before."""
    told: Callable[[str], None]
    """The server wrote a line to its standard error."""


Dial = Callable[[Hooks], AbstractAsyncContextManager[Session]]
"""Opens a connection to the server; entered and left by one task."""


@dataclass(eq=False)
class _Connection:
    """One life of the connection, from the first who wants it to its end."""

    session: asyncio.Future[Session]
    signal: asyncio.Future[None]
    over: bool = False
    calls: int = 0
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))

    def end(self) -> None:
        self.over = True
        self.look()

    def look(self) -> None:
        """Have the list fetched again: it may have changed, and it shows whether the server still lives."""
        if not self.signal.done():
            self.signal.set_result(None)


class Link:
    """One server. `run` is its task; all else may be called from any other."""

    def __init__(
        self, name: str, config: ServerConfig, dial: Dial, clock: Clock, listener: ToolListener | None = None
    ) -> None:
        self.name = name
        self.config = config
        self.offer = Offer({})
        """What it offered when it last answered."""
        self.failure = ""
        """Why it does not answer; empty if it does, or has not been asked."""
        self.last_words: Sequence[str] = ()
        """The last lines that it wrote to its standard error before it failed."""
        self._dial = dial
        self._clock = clock
        self._listener = listener
        self._told: Sequence[v1.Tool] | None = None
        self._wanted = asyncio.Event()
        self._connection: _Connection | None = None
        self._slots = asyncio.Semaphore(MAX_CALLS)
        self._failures = 0
        self._retry_at = 0.0
        self._stopped = False

    async def call(self, tool: str, arguments: Mapping[str, Any], key: str | None) -> ToolResult:
        """Call a tool by the server's own name. Raises ServerFailed; a call that was cancelled leaves the connection
        to the others."""
        async with self._slots:
            try:
                return await self._call(tool, arguments, key)
            except NotSent:
                return await self._call(tool, arguments, key)

    async def fresh_offer(self) -> Offer:
        """What it offers, once it is connected; a connection that stands is not asked again. Raises ServerFailed."""
        await self._session()
        return self.offer

    async def run(self) -> None:
        """Connect whenever that is wanted, until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                if self._connection is not None:
                    await self._live(self._connection)
        finally:
            self._stopped = True
            if self._connection is not None and not self._connection.session.done():
                self._fail(self._connection, "the server is stopping")

    async def _session(self) -> tuple[_Connection, Session]:
        if self._stopped:
            raise ServerFailed("the server is stopping")
        connection = self._connection
        if connection is None or connection.over:
            if self._clock.monotonic() < self._retry_at:
                raise ServerFailed(self.failure)
            loop = asyncio.get_running_loop()
            connection = self._connection = _Connection(loop.create_future(), loop.create_future())
            self._wanted.set()
        return connection, await asyncio.shield(connection.session)

    async def _call(self, tool: str, arguments: Mapping[str, Any], key: str | None) -> ToolResult:
        connection, session = await self._session()
        if tool not in self.offer.tools:
            raise ServerFailed(f"it has no tool {tool!r} any more")
        connection.calls += 1
        try:
            return await session.call(tool, arguments, key)
        except NotSent:
            connection.end()
            raise
        except (ServerFailed, asyncio.CancelledError):
            connection.look()  # it may be more than this one call that is lost
            raise
        finally:
            connection.calls -= 1

    async def _live(self, connection: _Connection) -> None:
        """Open the connection, and stay with it to its end."""
        hooks = Hooks(connection.end, connection.look, lambda line: self._heard(connection, line))
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    session = await stack.enter_async_context(self._dial(hooks))
                    await self._list(session)
                self._stands(connection, session)
                await self._stay(connection, session)
            self._fail(connection, "the connection ended")
        except Exception as error:
            self._fail(connection, self._reason(error))

    def _stands(self, connection: _Connection, session: Session) -> None:
        self.failure, self._failures, self._retry_at = "", 0, 0.0
        _log.info("MCP server answers", server=self.name, tools=len(self.offer.tools))
        connection.session.set_result(session)

    async def _stay(self, connection: _Connection, session: Session) -> None:
        while not connection.over:
            await self._clock.wait(connection.signal, LOOK_AGAIN_S)
            if connection.over:
                break
            connection.signal = asyncio.get_running_loop().create_future()
            await self._look(connection, session)

    async def _look(self, connection: _Connection, session: Session) -> None:
        """Fetch the list again. A server that cannot give it, with no call under way that may keep it busy, is given
        up."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._list(session)
        except (ServerFailed, TimeoutError) as error:
            if connection.calls == 0:
                connection.end()
            _log.warning("MCP server does not list its tools", server=self.name, reason=self._reason(error))

    async def _list(self, session: Session) -> None:
        offer = await session.list()
        for fault in offer.faults:
            if fault not in self.offer.faults:
                _log.warning("MCP server's tools", server=self.name, fault=self.config.blotted(fault))
        self.offer = offer
        await self._tell(list(offer.tools.values()))

    async def _tell(self, tools: Sequence[v1.Tool]) -> None:
        if self._listener is None or tools == self._told:
            return
        try:
            await self._listener.listed(self.name, tools)
        except Exception:  # the list is told again with the next look; the server's tools work without it
            _log.exception("tools of MCP server could not be kept", server=self.name)
        else:
            self._told = tools

    def _fail(self, connection: _Connection, reason: str) -> None:
        connection.over = True
        if connection.session.done():  # it had stood: nobody waits, and the next who wants it need not wait either
            _log.warning("connection to MCP server ended", server=self.name, reason=reason)
            return
        self.failure, self.last_words = reason, tuple(connection.stderr)
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * float(2**self._failures))
        self._failures = min(self._failures + 1, 10)
        self._retry_at = self._clock.monotonic() + pause_s
        connection.session.set_exception(ServerFailed(reason))
        connection.session.exception()  # seen: whoever waited for it may have been cancelled
        _log.warning("MCP server does not answer", server=self.name, reason=reason, again_in_s=pause_s)

    def _heard(self, connection: _Connection, line: str) -> None:
        line = self.config.blotted(line)
        connection.stderr.append(line)
        _log.debug("MCP server says", server=self.name, line=line)

    def _reason(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, TimeoutError):
            return f"it did not answer within {CONNECT_TIMEOUT_S:.0f} s"
        if isinstance(error, OSError):
            return f"it cannot be started: {error.strerror or error}"
        return self.config.blotted(str(error) or type(error).__name__)
