"""Calls in bytes: nothing here knows messages, so nothing is lost or mended on the way.

Channels are grpc.aio's, whose types have no word for calls in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import grpc
import grpc.aio

from tests.evolution.exchanges import DETAILS, TOLD_HEADERS, Exchange

PATIENCE_S = 60.0


Reply = Callable[[bytes], bytes]


async def ask(channel: Any, method: str, request: bytes, *, streams: bool = False) -> Exchange:
    """Make a call with one request to its end, whether one response comes or a stream of them."""
    made = Exchange(method, [request])
    if streams:
        await _ended(_listen(channel.unary_stream("/" + method)(request), made), made)
    else:
        await _ended(_one(channel.unary_unary("/" + method)(request), made), made)
    return made


async def converse(channel: Any, method: str, first: bytes, replies: Sequence[Reply]) -> Exchange:
    """Send the first request, take a response for each of the replies, answer them in order, and stop asking."""
    made = Exchange(method, [first])
    await _ended(_converse(channel, replies, made), made)
    return made


async def _ended(call: Coroutine[Any, Any, None], made: Exchange) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await call
    except grpc.aio.AioRpcError as error:
        made.code = error.code().name
        made.details = _details(error)


async def _one(call: Any, made: Exchange) -> None:
    made.headers = _told(await call.initial_metadata())
    made.responses = [await call]


async def _listen(call: Any, made: Exchange) -> None:
    made.headers = _told(await call.initial_metadata())
    made.responses = [response async for response in call]


async def _converse(channel: Any, replies: Sequence[Reply], made: Exchange) -> None:
    answered = asyncio.Event()

    async def asked() -> AsyncIterator[bytes]:
        yield made.requests[0]
        await answered.wait()
        for request in made.requests[1:]:
            yield request

    call: Any = channel.stream_stream("/" + made.method)(asked())
    made.responses = [await call.read() for _ in replies]
    made.requests += [reply(response) for reply, response in zip(replies, made.responses, strict=True)]
    answered.set()
    while (response := await call.read()) is not grpc.aio.EOF:
        made.responses.append(response)


def _told(metadata: Any) -> dict[str, str]:
    return {name: value for name, value in metadata if name in TOLD_HEADERS}


def _details(error: grpc.aio.AioRpcError) -> bytes:
    found = [value for name, value in error.trailing_metadata() or () if name == DETAILS]
    return bytes(found[0]) if found else b""  # type: ignore[arg-type]  # bytes for -bin
