"""TLS in front of the REST door's connections.

The HTTP server knows a connection from the end of its handshake on, so that those who never finish one would be counted
nowhere. Here each is counted from its first moment, has a time, and is shown the certificate of that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sendoff_server.tls.certificates import Certificates

HANDSHAKE_S = 10.0
"""So long a handshake may take."""
_GOODBYE_S = 5.0
"""So long who is closed has to say that he understood."""


class Handshakes:
    """Makes what takes new connections, and has those that are under way."""

    def __init__(
        self,
        certificates: Certificates,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        has_room: Callable[[int], bool],
        most_s: float = HANDSHAKE_S,
    ) -> None:
        """`has_room` says whether one more may come, told how many handshakes are under way."""
        self._certificates = certificates
        self._make_protocol = make_protocol
        self._has_room = has_room
        self._most_s = most_s
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def arrival(self) -> asyncio.Protocol:
        """What a new connection is given to."""
        return _Arrival(self)

    def begin(self, transport: asyncio.Transport, arrival: _Arrival) -> None:
        if not self._has_room(len(self._under_way)):
            transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._shake(transport, arrival), name="handshake")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _shake(self, raw: asyncio.Transport, arrival: _Arrival) -> None:
        """Encrypt the connection, then hand it to the HTTP server."""
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                raw,
                arrival,
                self._certificates.current.context,
                server_side=True,
                ssl_handshake_timeout=self._most_s,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError:  # as TLS itself and its time-out are: whoever speaks no TLS, or shows no certificate of ours
            raw.abort()
        except BaseException:
            raw.abort()
            raise
        else:
            if encrypted is not None and not arrival.is_lost:
                arrival.hand_over(encrypted, self._make_protocol())

    async def cut(self) -> None:
        """End those that are under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


class _Arrival(asyncio.Protocol):
    """A connection until its handshake is done. What comes at once behind it is kept for who takes over."""

    def __init__(self, handshakes: Handshakes) -> None:
        self._handshakes = handshakes
        self._early = bytearray()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._handshakes.begin(transport, self)

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    def hand_over(self, encrypted: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        encrypted.set_protocol(protocol)
        protocol.connection_made(encrypted)
        if self._early:
            protocol.data_received(bytes(self._early))
            self._early.clear()
