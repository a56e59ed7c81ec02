"""Where the server is looked at: metrics, and health for who keeps it running, at an address of their own.

It asks for no key, so it belongs inside. It answers while the server drains, and until all else has stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sendoff_server.gateway.connection import GuardedConnection, Limits
from sendoff_server.gateway.listening import QuietServer

Exposition = Callable[[], Awaitable[bytes]]

_STOP_GRACE_S = 1
_CONNECTIONS = 32


class MetricsAddressUnavailable(Exception):
    """The address can not be listened on."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"cannot listen on {address!r}: another process has the port, or the address is not of this machine; "
            "set another with SENDOFF_METRICS_ADDRESS or --metrics-address; `off` does without metrics"
        )


class MetricsDoor:
    """Serves while it is entered."""

    def __init__(self, address: str, exposition: Exposition, content_type: str, is_ready: Callable[[], bool]) -> None:
        self.address = address
        """host:port. Once entered, with the port that was taken in place of port 0."""
        config = uvicorn.Config(
            _application(exposition, content_type, is_ready),
            # What is built is all that the server asks for, and a class is only one way to build it.
            http=cast(Any, partial(GuardedConnection, limits=Limits(connections=_CONNECTIONS))),
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_STOP_GRACE_S,
            ws="none",
        )
        self._server = QuietServer(config)

    async def __aenter__(self) -> Self:
        """Listen and serve. Raises MetricsAddressUnavailable."""
        try:
            self.address = await self._server.begin(self.address)
        except OSError as error:
            raise MetricsAddressUnavailable(self.address) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.end()


def _application(exposition: Exposition, content_type: str, is_ready: Callable[[], bool]) -> Starlette:
    async def metrics(_: Request) -> Response:
        return Response(await exposition(), headers={"content-type": content_type})

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        return PlainTextResponse("ok\n") if is_ready() else PlainTextResponse("not ready\n", 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/livez", live), Route("/readyz", ready)])
