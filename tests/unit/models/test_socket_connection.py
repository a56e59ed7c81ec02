"""The way to llama.cpp's server on a Unix socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic_ai.settings import ModelSettings

from sendoff_server.models.library import socket_connection, stream
from sendoff_server.models.port import Answer
from tests.fixtures.fake_providers import Reply, chat_events
from tests.unit.models.asking import call, text_of


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a server that is too busy to close a connection before the next request is there, and closes it then."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
    body = "".join(chat_events(Reply())).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    await reader.read(1)
    writer.close()


async def test_a_call_does_not_break_because_the_server_closes_the_connection_of_the_last(tmp_path: Path) -> None:
    path = str(tmp_path / "model.sock")
    server = await asyncio.start_unix_server(answer_once, path)
    connection = socket_connection("local", "key", 30.0, path, ModelSettings())
    try:
        for _ in range(3):
            items = [item async for item in stream(connection, connection.model("small"), call("Hello"))]
            assert isinstance(items[-1], Answer)
            assert text_of(items[-1]) == "Hello there"
    finally:
        await connection.aclose()
        server.close()
