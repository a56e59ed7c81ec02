"""A caller who speaks HTTP/2 frame by frame, also such as no client sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INFO = "/sendoff.v1.OpsService/GetServerInfo"
CANCEL = 8
PATIENCE_S = 20.0

Text = str | bytes


class Frames:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = Encoder()
        self.said = bytearray()
        """All that was read."""

    async def say(self, *frames: Frame | bytes) -> bool:
        """Send them, and do not wait for ever where nobody reads; whether the other side took them."""
        self._writer.write(b"".join(each if isinstance(each, bytes) else each.serialize() for each in frames))
        try:
            async with asyncio.timeout(0.5):
                await self._writer.drain()
        except (TimeoutError, OSError):
            return False
        return not self._writer.is_closing()

    def headers(
        self, stream: int, path: str = INFO, extra: Sequence[tuple[str | bytes, str | bytes]] = ()
    ) -> HeadersFrame:
        told = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "here")]
        frame = HeadersFrame(stream, flags=["END_HEADERS"])
        frame.data = self._encoder.encode([*told, ("te", "trailers"), ("content-type", "application/grpc"), *extra])
        return frame

    async def heard(self) -> AsyncIterator[Frame]:
        """What the other side says, frame by frame, until it ends the connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame, length = Frame.parse_frame_header(memoryview(await self._reader.readexactly(9)))
                frame.parse_body(memoryview(await self._reader.readexactly(length)))
                yield frame

    async def ended(self) -> bytes:
        """Wait until the other side ends the connection; all that it said."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(OSError):
                while data := await self._reader.read(65_536):
                    self.said += data
        return bytes(self.said)


def message(stream: int, body: bytes = b"") -> DataFrame:
    return DataFrame(stream, b"\0" + len(body).to_bytes(4, "big") + body, flags=["END_STREAM"])


def status(headers: HeadersFrame, name: str) -> str | None:
    """What the first headers that come back say by that name."""
    told: Any = Decoder().decode(headers.data)
    return dict(told).get(name)


def reset(stream: int) -> RstStreamFrame:
    return RstStreamFrame(stream, error_code=CANCEL)


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Frames]:
    """A connection that has said hello."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    frames = Frames(reader, writer)
    try:
        await frames.say(PREFACE, SettingsFrame(0))
        yield frames
    finally:
        writer.transport.abort()
