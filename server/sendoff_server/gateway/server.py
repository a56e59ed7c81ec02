"""The HTTP server of the REST door, in the same process and loop as the gRPC server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sendoff_server.access.gate import Gate
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import BodyRoom
from sendoff_server.gateway.connection import SPARE_CONNECTIONS, GuardedConnection, Limits
from sendoff_server.gateway.docs_page import describing
from sendoff_server.gateway.doors import routes
from sendoff_server.gateway.handshakes import Handshakes
from sendoff_server.gateway.routes import (
    agent_belongings,
    agent_lists,
    agents,
    blocks,
    callbacks,
    cancel,
    context,
    conversations,
    dispatch,
    facts,
    follow,
    messages,
    resuming,
    runs,
    sending,
    sending_async,
    steps,
    tools,
)
from sendoff_server.tls.certificates import Certificates
from sendoff_server.use_cases import UseCases

_KEEP_ALIVE_S = 75
_STOP_GRACE_S = 5
_BACKLOG = 2_048
_BODIES_AT_ONCE = 8
"""So many bodies of the largest size may be on their way at once, or more that are smaller."""
_TABLES = (
    agent_belongings.TABLE,
    agent_lists.TABLE,
    agents.TABLE,
    blocks.TABLE,
    callbacks.TABLE,
    cancel.TABLE,
    context.TABLE,
    conversations.TABLE,
    dispatch.TABLE,
    facts.TABLE,
    follow.TABLE,
    messages.TABLE,
    resuming.TABLE,
    runs.TABLE,
    sending.TABLE,
    sending_async.TABLE,
    tools.TABLE,
    steps.TABLE,
)


class HttpAddressUnavailable(Exception):
    """The address can not be listened on."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"cannot listen on {address!r}: another process has the port, or the address is not of this machine; "
            "set another with SENDOFF_HTTP_ADDRESS or --http-address; `off` does without the REST door"
        )


class HttpServer:
    """Serves while it is entered."""

    def __init__(
        self,
        address: str,
        use_cases: UseCases,
        gate: Gate,
        *,
        max_body_bytes: int,
        limits: Limits | None = None,
        shares_port: bool = False,
        is_ready: Callable[[], bool] = lambda: True,
        certificates: Certificates | None = None,
    ) -> None:
        """`shares_port` with other processes of this server. `certificates`: None, there is no TLS."""
        limits = limits or Limits()
        self._shares_port = shares_port
        self.address = address
        """host:port. Once entered, with the port that was taken in place of port 0."""
        self.keep_alive_s = _KEEP_ALIVE_S
        """How long a connection may stay open between two requests."""
        config = uvicorn.Config(
            application(use_cases, gate, max_body_bytes, is_ready),
            # What is built is all that the server asks for, and a class is only one way to build it.
            http=cast(Any, partial(GuardedConnection, limits=limits)),
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,  # below it whoever sends nonsense fills the log
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody's word is taken for who calls
            timeout_keep_alive=self.keep_alive_s,
            timeout_graceful_shutdown=_STOP_GRACE_S,
            ws="none",
        )
        self._server = _Server(config) if certificates is None else _TlsServer(config, certificates, limits)
        self._serving: asyncio.Task[None] | None = None

    @property
    def connections(self) -> Collection[object]:
        """Those that are open."""
        return self._server.server_state.connections

    async def __aenter__(self) -> Self:
        """Listen and serve. Raises HttpAddressUnavailable."""
        host, _, port = self.address.rpartition(":")
        try:
            listening = _listening(host.strip("[]"), int(port), self._shares_port)
        except OSError as error:
            raise HttpAddressUnavailable(self.address) from error
        self.address = f"{host}:{listening.getsockname()[1]}"
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]), name="serve HTTP")
        await self._server.began.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no new requests, and let those under way end, for up to the grace; then cut who is left."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()


class _Server(uvicorn.Server):
    """Leaves signals to those who own the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.began = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.listen(sockets or [])
        self.began.set()

    async def listen(self, sockets: list[socket.socket]) -> None:
        await super().startup(sockets)


class _TlsServer(_Server):
    """Has handshakes counted and timed before the connections are its own."""

    def __init__(self, config: uvicorn.Config, certificates: Certificates, limits: Limits) -> None:
        super().__init__(config)
        self._limits = limits
        self._handshakes = Handshakes(certificates, self._protocol, has_room=self._has_room)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = cast(Any, self.config.http_protocol_class)(
            config=self.config, server_state=self.server_state, app_state={}
        )
        return made

    def _has_room(self, handshakes: int) -> bool:
        most = self._limits.connections + SPARE_CONNECTIONS
        return handshakes + len(self.server_state.connections) < most

    async def listen(self, sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(self._handshakes.arrival, sock=each, backlog=self.config.backlog)
            for each in sockets
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self._handshakes.cut()
        await super().shutdown(sockets)


def _listening(host: str, port: int, shares_port: bool) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # Told that it is TCP, asyncio has answers sent at once; else they wait for the caller's word about the one before.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def application(
    use_cases: UseCases, gate: Gate, max_body_bytes: int, is_ready: Callable[[], bool] = lambda: True
) -> Starlette:
    """The door as an ASGI application. `is_ready` says whether balancers should send callers here."""
    made = Starlette(
        routes=routes(use_cases, gate, *_TABLES, describing(_TABLES)), exception_handlers={HTTPException: _unrouted}
    )
    made.state.max_body_bytes = max_body_bytes
    made.state.is_ready = is_ready
    made.state.body_room = BodyRoom(max_body_bytes * _BODIES_AT_ONCE)
    return made


async def _unrouted(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    told = {404: "Not Found", 405: "Method Not Allowed"}.get(status, "An unknown error occurred")
    return answer({"detail": told}, status)
