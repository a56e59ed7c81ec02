"""A line between servers and PostgreSQL that can be silenced, or cut, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.fixtures.listening import stop

_MUCH = 65_536


class Line:
    """Passes on what both sides say while it is open."""

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._folder = dict(parse_qsl(self._parts.query)).get("host")
        self._open = asyncio.Event()
        self._open.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def dsn(self) -> str:
        """Of the same database, through the line."""
        user = self._parts.netloc.rpartition("@")[0] or "postgres"
        return f"postgresql://{user}@127.0.0.1:{self.port}{self._parts.path}"

    def silence(self) -> None:
        """Keep connections and take new ones, but pass nothing on."""
        self._open.clear()

    def restore(self) -> None:
        """Pass on what has come meanwhile, and whatever comes now."""
        self._open.set()

    def reroute(self) -> None:
        """Connections that are there stay silent for ever, those that come now are sound."""
        self._open = asyncio.Event()
        self._open.set()

    def cut(self) -> None:
        """End all connections."""
        for each in self._ends:
            each.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        upstream, downstream = await self._connected()
        ends = {writer, downstream}
        self._ends |= ends
        ways = [asyncio.create_task(each) for each in self._passing(reader, downstream)]
        ways += [asyncio.create_task(each) for each in self._passing(upstream, writer)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ends -= ends
            for way in ways:
                way.cancel()
            for each in ends:
                each.transport.abort()

    def _passing(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> list[Coroutine[Any, Any, None]]:
        """In silence it goes on hearing, to know when one side has gone."""
        said: asyncio.Queue[bytes] = asyncio.Queue()
        return [_hear(source, said), _tell(said, sink, self._open)]

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._folder is not None:
            return await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.5432")
        return await asyncio.open_connection(self._parts.hostname, self._parts.port or 5432)


async def _hear(source: asyncio.StreamReader, said: asyncio.Queue[bytes]) -> None:
    with suppress(ConnectionError):
        while data := await source.read(_MUCH):
            said.put_nowait(data)


async def _tell(said: asyncio.Queue[bytes], sink: asyncio.StreamWriter, way_is_open: asyncio.Event) -> None:
    with suppress(ConnectionError):
        while True:
            data = await said.get()
            await way_is_open.wait()
            sink.write(data)
            await sink.drain()


@asynccontextmanager
async def line_to(dsn: str, kind: type[Line] = Line) -> AsyncIterator[Line]:
    """A line to the PostgreSQL of the tests."""
    line = kind(dsn)
    async with asyncio.TaskGroup() as group:
        carried: set[asyncio.Task[None]] = set()

        def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            carrying = group.create_task(line.carry(reader, writer))
            carrying.add_done_callback(lambda _: writer.transport.abort())  # also if it never began
            carried.add(carrying)

        async with await asyncio.start_server(taken, "127.0.0.1", 0) as listening:
            line.port = listening.sockets[0].getsockname()[1]
            try:
                yield line
            finally:
                await stop(listening)
        for each in carried:
            each.cancel()
