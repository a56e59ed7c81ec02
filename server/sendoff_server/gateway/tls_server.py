"""The HTTP server of the REST door where it is encrypted."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any, cast

import uvicorn

from sendoff_server.gateway.connection import SPARE_CONNECTIONS, Limits
from sendoff_server.gateway.handshakes import Handshakes
from sendoff_server.gateway.listening import QuietServer
from sendoff_server.tls.certificates import Certificates


class TlsServer(QuietServer):
    """Has handshakes counted and timed before the connections are its own."""

    def __init__(self, config: uvicorn.Config, certificates: Certificates, limits: Limits) -> None:
        super().__init__(config)
        self._limits = limits
        self._taking = AsyncExitStack()
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
        self.servers = []
        for each in sockets:
            await self._taking.enter_async_context(self._handshakes.taking(each))
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._taking.aclose()
        await super().shutdown(sockets)
