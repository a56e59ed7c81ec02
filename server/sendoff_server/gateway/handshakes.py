"""TLS in front of the REST door's connections.

The HTTP server knows a connection from the end of its handshake on, so that those who never finish one would be counted
nowhere. Here each is counted from its first moment, has a time, and is shown the certificate of that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from sendoff_server.tls.certificates import Certificates

HANDSHAKE_S = 10.0
"""So long a handshake may take."""
_GOODBYE_S = 5.0
"""So long who is closed has to say that he understood."""
_BREATH_S = 1.0
"""So long nobody is taken where the process may open no more files."""

_log = structlog.get_logger(__name__)


class Handshakes:
    """Takes connections, and hands each to the HTTP server once it is encrypted."""

    def __init__(
        self,
        certificates: Certificates,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        has_room: Callable[[int], bool],
    ) -> None:
        """`has_room` says whether one more may come, told how many handshakes are under way."""
        self._certificates = certificates
        self._make_protocol = make_protocol
        self._has_room = has_room
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def taking(self, listening: socket.socket) -> AsyncIterator[None]:
        """Take connections inside the block. On leaving it handshakes under way are cut; what is encrypted stays."""
        accepting = asyncio.create_task(self._accept_for_ever(listening), name="accept connections")
        try:
            yield
        finally:
            tasks = {accepting, *self._under_way}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept_for_ever(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except ConnectionError:  # gone again
                continue
            except OSError as error:
                _log.error("no connection can be taken", error=str(error))
                await asyncio.sleep(_BREATH_S)
                continue
            if not self._has_room(len(self._under_way)):
                connection.close()
                continue
            task = loop.create_task(self._shake(connection), name="handshake")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _shake(self, connection: socket.socket) -> None:
        # Who speaks no TLS, or shows no certificate that is trusted, is an error here, and has been told so by TLS.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._certificates.current.context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
