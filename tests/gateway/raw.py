"""Callers who speak to the REST door byte by byte, and a door whose patience a test chooses."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sendoff_server import app
from sendoff_server.access.doorway import Doorway
from sendoff_server.access.gate import Gate, OpenGate
from sendoff_server.gateway.connection import Limits
from sendoff_server.gateway.server import HttpServer
from sendoff_server.tls.certificates import Certificates

PATIENCE_S = 20.0
"""Nothing that a test waits for takes longer."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: str | bytes) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), headers, body)

    async def end(self) -> bytes:
        """What comes until the server ends the connection, whichever way."""
        told = b""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while data := await self.reader.read(65_536):
                    told += data
            except ConnectionError:
                pass
        return told


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what the HTTP server tells nobody."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(
    address: str, *, most_held_bytes: int = 65_536, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Raw]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=most_held_bytes, ssl=tls)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def another_door(
    server: app.Server,
    *,
    max_body_bytes: int = 65_536,
    gate: Gate | None = None,
    certificates: Certificates | None = None,
    **limits: Any,
) -> AsyncIterator[HttpServer]:
    """A second REST door of that server, with limits of its own."""
    door = HttpServer(
        "127.0.0.1:0",
        server.use_cases,
        Doorway(gate=gate or OpenGate(), max_request_bytes=max_body_bytes, certificates=certificates),
        limits=Limits(**limits),
    )
    async with door:
        yield door


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "host: here", f"content-length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body
