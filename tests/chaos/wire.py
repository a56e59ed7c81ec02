"""A TCP connection between two parties as the network is: it can be cut, and it can fall silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fixtures.listening import listening

_MUCH = 65_536


class Wire:
    """Everything that connects to `address` reaches the target."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._ends: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.address = ""

    def cut(self) -> None:
        """Reset all connections that there are, on both sides."""
        for end in self._ends:
            end.transport.abort()

    def silence(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        self._open.clear()

    def restore(self) -> None:
        self._open.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # nobody listens there
            await self._open.wait()
            upstream, downstream = await asyncio.open_connection(self._host, self._port)
            await self._join(reader, downstream, upstream, writer)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        downstream: asyncio.StreamWriter,
        upstream: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._ends |= {writer, downstream}
        try:
            await self._pass_on(reader, downstream, upstream, writer)
        finally:
            self._ends -= {writer, downstream}
            downstream.transport.abort()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        downstream: asyncio.StreamWriter,
        upstream: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Until one side ends: these protocols have no use for a connection that is open one way."""
        ways = [asyncio.create_task(self._pump(*way)) for way in ((reader, downstream), (upstream, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_MUCH):
            await self._open.wait()
            sink.write(data)
            await sink.drain()


@asynccontextmanager
async def wired(target: str) -> AsyncIterator[Wire]:
    """A wire to that address inside the block."""
    wire = Wire(target)
    async with listening(wire) as (host, port):
        wire.address = f"{host}:{port}"
        yield wire
