"""How HTTP is listened for: a server that leaves signals alone, and the socket that it is given."""

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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.listen(sockets or [])
        self.began.set()

    async def listen(self, sockets: list[socket.socket]) -> None:
        await super().startup(sockets)


def listen(host: str, port: int, *, shares_port: bool = False) -> socket.socket:
    """A socket that listens there; `shares_port` with other processes. Raises OSError."""
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
