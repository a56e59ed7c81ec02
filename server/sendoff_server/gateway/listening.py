"""How HTTP is served: by a server that leaves signals alone, on a socket of ours."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

_BACKLOG = 2_048


class QuietServer(uvicorn.Server):
    """Leaves signals to those who own the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.began = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.listen(sockets or [])
        self.began.set()

    async def listen(self, sockets: list[socket.socket]) -> None:
        await super().startup(sockets)

    async def begin(self, address: str, *, shares_port: bool = False) -> str:
        """Listen there, host:port, and serve; the address with the port that was taken in place of port 0.

        Raises OSError where that is not possible.
        """
        host, _, port = address.rpartition(":")
        listening = _listening(host.strip("[]"), int(port), shares_port)
        self._serving = asyncio.create_task(self.serve(sockets=[listening]), name=f"serve HTTP at {address}")
        await self.began.wait()
        return f"{host}:{listening.getsockname()[1]}"

    async def end(self) -> None:
        """Take no new requests, and let those under way end, for up to the grace."""
        if self._serving is not None:
            self.should_exit = True
            await self._serving


def _listening(host: str, port: int, shares_port: bool) -> socket.socket:
    """`shares_port` with other processes. Raises OSError."""
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
