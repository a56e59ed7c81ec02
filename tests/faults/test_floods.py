"""Callers who flood a connection are cut or slowed, others are served meanwhile, and memory stays bounded.

Frames go to a real server process, whose memory is looked at from outside. SENDOFF_FLOOD says how many each flood has.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import psutil
import pytest
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame, PingFrame, SettingsFrame

from sendoff import AsyncClient
from tests.faults.frames import PREFACE, Frames, connected, message, reset
from tests.fixtures.server import ServerProcess

FRAMES = int(os.environ.get("SENDOFF_FLOOD", "10000"))
BATCH = 100
MOST_MB = 96
"""A flood may cost the server so much more than it had, whatever its size."""
PATIENCE_S = 60.0

Flood = Callable[[Frames], Awaitable[object]]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("data"))
    await process.start("--max-grpc-connections", "50")
    yield process
    await process.close()


def memory_mb(server: ServerProcess) -> float:
    return float(psutil.Process(server.pid).memory_info().rss) / 2**20


async def pings(frames: Frames) -> None:
    await _same(frames, PingFrame(0, opaque_data=b"12345678"))


async def settings(frames: Frames) -> None:
    await _same(frames, SettingsFrame(0))


async def continuations(frames: Frames) -> None:
    """A request whose headers never end."""
    begun: HeadersFrame = frames.headers(1)
    begun.flags.discard("END_HEADERS")
    await frames.say(begun)
    await _same(frames, ContinuationFrame(1))


async def endless_headers(frames: Frames) -> None:
    begun: HeadersFrame = frames.headers(1)
    begun.flags.discard("END_HEADERS")
    await frames.say(begun)
    for number in range(FRAMES // BATCH):
        fields = b"".join(b"\x00\x08x-%06d\x7f\x01" % (number * 100 + each) + 128 * b"v" for each in range(100))
        if not await frames.say(ContinuationFrame(1, fields)):
            return


async def resets(frames: Frames) -> None:
    """Requests that are taken back at once, so that there are never many."""
    for first in range(1, 2 * FRAMES, 2 * BATCH):
        streams = range(first, first + 2 * BATCH, 2)
        if not await frames.say(*(each for number in streams for each in _taken_back(frames, number))):
            return


def _taken_back(frames: Frames, stream: int) -> tuple[Frame, ...]:
    return frames.headers(stream), message(stream), reset(stream)


async def unfinished_requests(frames: Frames) -> None:
    for first in range(1, 2 * FRAMES, 2 * BATCH):
        if not await frames.say(*(frames.headers(stream) for stream in range(first, first + 2 * BATCH, 2))):
            return


async def _same(frames: Frames, frame: Frame) -> None:
    for _ in range(FRAMES // BATCH):
        if not await frames.say(BATCH * frame.serialize()):
            return


FLOODS = (pings, settings, continuations, endless_headers, resets, unfinished_requests)


@pytest.mark.parametrize("flood", FLOODS, ids=[flood.__name__ for flood in FLOODS])
async def test_a_flood_costs_others_nothing_and_little_memory(flood: Flood, server: ServerProcess) -> None:
    before_mb = memory_mb(server)
    async with asyncio.timeout(PATIENCE_S), AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
        async with connected(server.address) as frames:
            flooding = asyncio.ensure_future(flood(frames))
            while not flooding.done():
                await client.server_info()
            await flooding
            await client.server_info()
            grown_mb = memory_mb(server) - before_mb
        await client.server_info()

    assert grown_mb < MOST_MB


async def test_who_pings_without_need_is_told_and_cut(server: ServerProcess) -> None:
    async with connected(server.address) as frames:
        await frames.say(10 * PingFrame(0, opaque_data=b"12345678").serialize())
        assert b"too_many_pings" in await frames.ended()


async def test_connections_beyond_what_there_is_room_for_are_closed_and_later_ones_served(
    server: ServerProcess,
) -> None:
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
        made = [await stack.enter_async_context(connected(server.address)) for _ in range(60)]
        beyond = await asyncio.gather(*(frames.ended() for frames in made[50:]))
        assert all(said == b"" for said in beyond)
        await stack.aclose()
        async with AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
            await client.server_info()


async def test_who_never_finishes_saying_hello_is_cut(server: ServerProcess) -> None:
    await asyncio.gather(*(_cut(server.address, hello) for hello in (b"", PREFACE[:10], PREFACE)))


async def _cut(address: str, hello: bytes) -> None:
    """Return once who says that, and nothing more, is cut."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(hello)
    await Frames(reader, writer).ended()
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
