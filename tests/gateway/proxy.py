"""A TCP proxy between a client and a server that breaks connections as planned, one fault for each, or all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.fixtures.listening import stop

_MUCH = 65_536


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one connection. Whatever is cut is cut on both sides."""

    request_bytes: int | None = None
    """So many bytes of what the client says get through, then the connection is cut."""
    answer_bytes: int | None = None
    """So many bytes of what the server says get through, then the connection is cut, or held."""
    holds: bool = False
    """Keep the connection open and silent, until the client gives up, rather than cut it."""
    resets: bool = False
    """Cut with a reset, not with an end."""


SOUND = Fault()
LOST_ANSWER = Fault(answer_bytes=0)
LATE_ANSWER = Fault(answer_bytes=0, holds=True)


class Proxy:
    """Connections take the plan's faults in the order in which they come; behind the plan all are sound."""

    def __init__(self, target: str, plan: Iterable[Fault]) -> None:
        self.lead_to(target)
        self._plan = list(plan)
        self.address = ""
        self.connections = 0
        self.begun: asyncio.Queue[Fault] = asyncio.Queue()
        """The fault of each connection whose first bytes have been passed on."""
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def left(self) -> int:
        """Faults that no connection has had yet."""
        return max(0, len(self._plan) - self.connections)

    def lead_to(self, target: str) -> None:
        """From the next connection on."""
        self._host, _, port = target.rpartition(":")
        self._port = int(port)

    def cut(self) -> None:
        """Reset every connection that there is, on both sides."""
        for writer in self._open:
            writer.transport.abort()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._plan[self.connections] if self.connections < len(self._plan) else SOUND
        self.connections += 1
        upstream, downstream = await asyncio.open_connection(self._host, self._port)
        ends = {writer, downstream}
        self._open |= ends
        asking = asyncio.create_task(self._ask(fault, reader, downstream))
        answering = asyncio.create_task(self._answer(fault, upstream, writer))
        try:
            await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= ends
            for task in (asking, answering):
                task.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            for each in ends:
                if fault.resets:
                    each.transport.abort()
                each.close()
            await asyncio.gather(writer.wait_closed(), downstream.wait_closed(), return_exceptions=True)

    async def _ask(self, fault: Fault, reader: asyncio.StreamReader, downstream: asyncio.StreamWriter) -> None:
        left, is_first = fault.request_bytes, True
        while data := await reader.read(_MUCH):
            downstream.write(data if left is None else data[:left])
            await downstream.drain()
            if is_first:
                self.begun.put_nowait(fault)
                is_first = False
            if left is not None and (left := left - len(data)) <= 0:
                return

    async def _answer(self, fault: Fault, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = fault.answer_bytes
        while data := await upstream.read(_MUCH):
            writer.write(data if left is None else data[:left])
            await writer.drain()
            if left is not None and (left := left - len(data)) < 0:
                break
        if fault.holds:
            await asyncio.Event().wait()


@asynccontextmanager
async def between(target: str, plan: Iterable[Fault]) -> AsyncIterator[Proxy]:
    """A proxy in front of that address."""
    proxy = Proxy(target, plan)
    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        proxy.address = f"{host}:{port}"
        try:
            yield proxy
        finally:
            await stop(listening)
