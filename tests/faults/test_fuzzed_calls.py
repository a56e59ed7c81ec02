"""Whatever comes over the wire, the server answers for what is wrong with it: it never fails, ends or grows.

A real server process; SENDOFF_FUZZ_CALLS says how many made-up requests each method and body gets, beside the worst of
all; SENDOFF_FUZZ_SEED makes others.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import grpc
import httpx
import psutil
import pytest
from hpack import Decoder
from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame

from sendoff import AsyncClient
from tests.faults.frames import Frames, connected, message
from tests.faults.wire_fuzz import methods, path, requests
from tests.fixtures.server import ServerProcess

CALLS = int(os.environ.get("SENDOFF_FUZZ_CALLS", "6"))
SEED = int(os.environ.get("SENDOFF_FUZZ_SEED", "1"))
FAULTS_OF_OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED}
LONGEST_S = 5.0
"""Streams and waits that were asked for rightly are ended by then."""
MOST_MB = 64
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """It logs no error, whatever it is sent, and grows by no more than caches do."""
    process = ServerProcess(tmp_path_factory.mktemp("data"))
    process.http_address = "127.0.0.1:0"
    await process.start("--max-request-bytes", "1000000")
    before_mb = memory_mb(process)
    yield process
    assert memory_mb(process) - before_mb < MOST_MB
    assert [line for line in process.log if json.loads(line)["level"] == "error"] == []
    assert await process.stop() == 0


def memory_mb(server: ServerProcess) -> float:
    return float(psutil.Process(server.pid).memory_info().rss) / 2**20


@pytest.mark.parametrize("method", list(methods()), ids=path)
async def test_any_bytes_are_answered_for_what_they_are(method: Any, server: ServerProcess) -> None:
    chance = Random(f"{SEED} {method.full_name}")
    async with grpc.aio.insecure_channel(server.address) as channel:
        kind: Any = channel.stream_stream if method.client_streaming else channel.unary_stream
        call = kind(path(method))
        asked = [[each] if method.client_streaming else each for each in requests(method, chance, CALLS)]
        codes = await asyncio.gather(*(_code(call, each) for each in asked))
    assert not FAULTS_OF_OURS & set(codes), dict(zip(codes, asked, strict=True))
    assert grpc.StatusCode.INVALID_ARGUMENT in codes


async def _code(call: Any, request: Any) -> grpc.StatusCode:
    """How a call ended, or would go on."""
    under_way = call(iter(request) if isinstance(request, list) else request, timeout=LONGEST_S)
    try:
        async for _ in under_way:
            under_way.cancel()
            return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


METADATA: dict[str, list[tuple[bytes, bytes]]] = {
    "no UTF-8": [(b"authorization", b"Bearer \xff\xfe")],
    "two of them": [(b"authorization", b"Bearer sk-1"), (b"authorization", b"Bearer sk-2")],
    "nothing in it": [(b"authorization", b"")],
    "another scheme": [(b"authorization", b"Basic " + 4_000 * b"QQ")],
    "two keys of one request": [(b"idempotency-key", b"a"), (b"idempotency-key", b"b")],
    "a key of bytes": [(b"idempotency-key", b"\xc3\x28")],
    "far too much": [(f"x-{number}".encode(), 1_000 * b"v") for number in range(60)],
    "a trace of nonsense": [(b"traceparent", b"00-xyz-1-zz"), (b"tracestate", 600 * b"=,")],
}


NO_METADATA: dict[str, list[tuple[bytes, bytes]]] = {
    "bytes that are not base64": [(b"x-bin", b"!!!")],
    "a deadline of nonsense": [(b"grpc-timeout", b"soon")],
    "a negative deadline": [(b"grpc-timeout", b"-1S")],
    "an unknown compression": [(b"grpc-encoding", b"middle-out")],
    "a name of letters that are not allowed": [(b"X Y", b"z")],
}
"""What gRPC refuses by itself, with INTERNAL as its protocol has it for headers that are damaged."""


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA.keys())
async def test_any_metadata_is_answered(metadata: list[tuple[bytes, bytes]], server: ServerProcess) -> None:
    assert await _told(server, metadata) not in {str(code.value[0]) for code in FAULTS_OF_OURS}


@pytest.mark.parametrize("metadata", NO_METADATA.values(), ids=NO_METADATA.keys())
async def test_what_is_no_metadata_is_refused_and_others_are_served(
    metadata: list[tuple[bytes, bytes]], server: ServerProcess
) -> None:
    assert await _told(server, metadata) != "0"


async def _told(server: ServerProcess, metadata: list[tuple[bytes, bytes]]) -> str:
    """How a call with it ends; others are served after it."""
    async with connected(server.address) as frames:
        await frames.say(frames.headers(1, extra=metadata), message(1))
        told = await _ended(frames)
    async with AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
        await client.server_info()
    return told


async def _ended(frames: Frames) -> str:
    """The status that a call was ended with; "reset" if it was cut short, by its stream or its connection."""
    decoder: Any = Decoder()
    async with asyncio.timeout(PATIENCE_S):
        async for frame in frames.heard():
            if isinstance(frame, RstStreamFrame | GoAwayFrame):
                break
            if isinstance(frame, HeadersFrame):
                told = dict(decoder.decode(frame.data))
                if "grpc-status" in told:
                    return str(told["grpc-status"])
    return "reset"


BODIES: dict[str, bytes] = {
    "empty": b"",
    "NUL": b"\0",
    "no UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a mark in front": b"\xef\xbb\xbf{}",
    "deep lists": b"[" * 100_000,
    "deep members": b'{"a":' * 50_000,
    "a number without end": b'{"limits": ' + b"9" * 20_000 + b"}",
    "a tiny number": b'{"temperature": 1e-999999}',
    "a huge exponent": b'{"input": "x", "metadata": {"a": 1e999999999}}',
    "the same member twice": b'{"input": "x", "input": ["y"], "name": 1, "name": null}',
    "NUL in a text": b'{"input": "\\u0000", "name": "\\u0000", "label": "\\u0000"}',
    "half a character": b'{"name": "\\ud800", "input": "\\udc00"}',
    "a list of everything": b"[null, true, 1, 1.5, {}, []]",
    "a text": b'"{}"',
    "comments": b"{/* */}",
    "two documents": b"{}{}",
    "not ended": b'{"input": "x"',
}
HEADERS: dict[str, dict[str, str]] = {
    "JSON": {"content-type": "application/json"},
    "compressed, it says": {"content-type": "application/json", "content-encoding": "gzip"},
    "in UTF-7, it says": {"content-type": "application/json; charset=utf-7"},
    "a form": {"content-type": "application/x-www-form-urlencoded"},
}
PATHS = (
    "/v1/agents/",
    "/v1/conversations/",
    "/v1/blocks/",
    "/v1/tools/",
    "/v1/callback-endpoints",
    "/v1/agents/agent-00000000-0000-4000-8000-000000000000/messages",
    "/v1/agents/agent-00000000-0000-4000-8000-000000000000/messages/async",
    "/v1/agents/agent-00000000-0000-4000-8000-000000000000/messages/stream",
    "/v1/dispatch:resume",
)


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
async def test_any_body_is_answered_for_what_it_is(headers: dict[str, str], server: ServerProcess) -> None:
    chance = Random(SEED)
    async with httpx.AsyncClient(base_url=f"http://{server.http_address}", timeout=PATIENCE_S) as http:
        for place in PATHS if headers == HEADERS["JSON"] else PATHS[:2]:
            made_up = {f"bytes {number}": chance.randbytes(chance.randrange(300)) for number in range(CALLS)}
            for name, body in {**BODIES, **made_up}.items():
                answer = await http.post(place, content=body, headers=headers)
                assert answer.status_code < 500, (place, name, answer.text)


CHUNKS: dict[str, bytes] = {
    "no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "a negative number": b"-1\r\n\r\n0\r\n\r\n",
    "more than any number": b"f" * 40 + b"\r\nabc",
    "an endless extension": b"1;" + b"x" * 70_000 + b"\r\na\r\n0\r\n\r\n",
    "trailers without end": b"0\r\n" + 2_000 * b"x: y\r\n" + b"\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS.keys())
async def test_chunks_of_nonsense_are_refused_and_others_are_served(chunks: bytes, server: ServerProcess) -> None:
    host, _, port = server.http_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"POST /v1/agents/ HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    writer.write(head + chunks)
    async with asyncio.timeout(PATIENCE_S):
        told = await reader.read(65_536)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    assert told.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4")) or told == b""
    async with httpx.AsyncClient(base_url=f"http://{server.http_address}", timeout=PATIENCE_S) as http:
        assert (await http.get("/v1/health/")).status_code == 200
