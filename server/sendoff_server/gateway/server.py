"""The HTTP server of the REST door, in the same process and loop as the gRPC server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sendoff_server.access.doorway import Doorway
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import BodyRoom
from sendoff_server.gateway.connection import GuardedConnection, Limits
from sendoff_server.gateway.docs_page import describing
from sendoff_server.gateway.doors import routes
from sendoff_server.gateway.listening import QuietServer
from sendoff_server.gateway.routes import (
    agent_belongings,
    agent_lists,
    agents,
    audit,
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
from sendoff_server.gateway.tls_server import TlsServer
from sendoff_server.gateway.traced import Traced
from sendoff_server.meter import CallMeter
from sendoff_server.use_cases import UseCases

UNROUTED = "unrouted"
"""How requests are counted that have no route."""

_KEEP_ALIVE_S = 75
_STOP_GRACE_S = 5
_BODIES_AT_ONCE = 8
"""So many bodies of the largest size may be on their way at once, or more that are smaller."""
_TABLES = (
    agent_belongings.TABLE,
    agent_lists.TABLE,
    agents.TABLE,
    audit.TABLE,
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
        doorway: Doorway,
        *,
        limits: Limits | None = None,
        shares_port: bool = False,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`shares_port` with other processes of this server."""
        limits = limits or Limits()
        self._shares_port = shares_port
        self.address = address
        """host:port. Once entered, with the port that was taken in place of port 0."""
        self.keep_alive_s = _KEEP_ALIVE_S
        """How long a connection may stay open between two requests."""
        config = uvicorn.Config(
            application(use_cases, doorway, is_ready),
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
        certificates = doorway.certificates
        self._server = QuietServer(config) if certificates is None else TlsServer(config, certificates, limits)

    @property
    def connections(self) -> Collection[object]:
        """Those that are open."""
        return self._server.server_state.connections

    async def __aenter__(self) -> Self:
        """Listen and serve. Raises HttpAddressUnavailable."""
        try:
            self.address = await self._server.begin(self.address, shares_port=self._shares_port)
        except OSError as error:
            raise HttpAddressUnavailable(self.address) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no new requests, and let those under way end, for up to the grace; then cut who is left."""
        await self._server.end()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


def application(use_cases: UseCases, doorway: Doorway, is_ready: Callable[[], bool] = lambda: True) -> Starlette:
    """The door as an ASGI application. `is_ready` says whether balancers should send callers here."""
    found = routes(use_cases, doorway, *_TABLES, describing(_TABLES))
    if doorway.tracer.is_on:
        found = [Traced(route, doorway.tracer) for route in found]
    made = Starlette(routes=found, exception_handlers={HTTPException: partial(_unrouted, doorway.meter)})
    made.state.most_body_bytes = doorway.most_request_bytes
    made.state.is_ready = is_ready
    made.state.body_room = BodyRoom(doorway.max_request_bytes * _BODIES_AT_ONCE)
    return made


async def _unrouted(meter: CallMeter, _: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    meter.began(UNROUTED)
    meter.ended(UNROUTED, str(status), 0.0)
    told = {404: "Not Found", 405: "Method Not Allowed"}.get(status, "An unknown error occurred")
    return answer({"detail": told}, status)
