"""Callers who go away, or do not read, hold up nobody and leave nothing behind; their runs go on to their end."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import types
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from sendoff_server import app
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script
from tests.gateway.raw import Raw, another_door, connected, post, until

_TIMES = 60
_SERVING = frozenset({"sendoff_server", "uvicorn", "starlette", "sse_starlette", "anyio", "asyncio", "_asyncio"})
"""Packages whose objects serve a caller."""
_CLEARED_LATER = (asyncio.TimerHandle,)
"""What the loop keeps of what is over, and clears many at once: timers that were cancelled."""
_AT_WORK = (types.CoroutineType, types.AsyncGeneratorType, types.GeneratorType, types.FrameType)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
async def running(serve: Serve, gate: HeldCalls) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0") as server:
        yield server


@pytest.fixture
async def door(running: app.Server) -> AsyncIterator[Door]:
    async with knocking(running) as opened:
        yield opened


def _watchers(server: app.Server) -> int:
    """Of all runs."""
    return sum(topic.watchers for topic in server.use_cases.runs._hub._topics.values())


@pytest.mark.parametrize("call", ["blocking", "stream", "tokens", "background", "resumed", "watch", "wait"])
async def test_callers_who_go_away_leave_nothing_behind_and_the_run_goes_on(
    running: app.Server, door: Door, gate: HeldCalls, call: str
) -> None:
    http = running.http
    assert http is not None
    agent_id = await door.agent()
    text = script(text="to the end")
    run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": text})
    await gate.held.get()
    asked = _request(call, agent_id, run["id"], text)
    tasks: list[int] = []
    early = 0
    for _ in range(_TIMES):
        async with connected(http.address) as caller:
            await caller.say(asked)
            await until(lambda: _watchers(running) == 1)
        await until(lambda: _watchers(running) == 0 and len(http.connections) == 1)
        tasks.append(len(asyncio.all_tasks()))
        if len(tasks) == _TIMES // 4:
            early = _serving()
    assert max(tasks) <= tasks[0] + 3, "tasks stay behind"
    await until(lambda: _serving() - early < _TIMES // 2)  # else memory stays behind
    gate.release(1)
    assert (await door.ended(run["id"]))["status"] == "completed"
    runs = await door.get("/v1/runs/", agent_id=agent_id)
    assert [each["id"] for each in runs if each["id"] == run["id"]], "the run of those who went away"


def _serving() -> int:
    """How many objects there are that can be about a caller. What libraries load late by themselves does not count."""
    gc.collect()
    return sum(map(_is_about_callers, gc.get_objects()))


def _is_about_callers(each: object) -> bool:
    package = str(type(each).__module__).partition(".")[0]
    return isinstance(each, _AT_WORK) or (package in _SERVING and not isinstance(each, _CLEARED_LATER))


def _request(call: str, agent_id: str, run_id: str, text: str) -> bytes:
    """What the same caller asks again and again: his repeats are the run that he began."""
    again = ("x-stainless-retry-count: 1", "x-stainless-read-timeout: 60")
    body: dict[str, object] = {"input": text}
    match call:
        case "blocking":
            return post(f"/v1/agents/{agent_id}/messages", json.dumps(body).encode(), *again)
        case "stream" | "tokens" | "background":
            body |= {"stream_tokens": call == "tokens", "background": call == "background"}
            return post(f"/v1/agents/{agent_id}/messages/stream", json.dumps(body).encode(), *again)
        case "resumed":
            return post(f"/v1/runs/{run_id}/stream", b"{}")
        case _:
            return f"GET /v1/runs/{run_id}:{call} HTTP/1.1\r\nhost: here\r\n\r\n".encode()


async def test_who_does_not_read_is_cut_and_delays_nobody(running: app.Server, door: Door, gate: HeldCalls) -> None:
    """Meanwhile the server holds for him one event, which is the whole answer at most."""
    agent_id = await door.agent()
    text = script(words=1_000_000, chunk_words=500)
    begin = post(f"/v1/agents/{agent_id}/messages/stream", json.dumps({"input": text, "stream_tokens": True}).encode())
    async with another_door(running, unread_s=1.0) as other, AsyncExitStack() as stack:
        async with connected(other.address) as first:
            await first.say(begin)
            run_id = (await door.get("/v1/runs/", agent_id=agent_id))[0]["id"] if await gate.held.get() else ""
        idle = [await stack.enter_async_context(_who_does_not_read(other.address, run_id)) for _ in range(8)]
        await until(lambda: _watchers(running) == len(idle))
        asking = {"input": text, "stream_tokens": True}
        again = {"x-stainless-retry-count": "1"}
        held: list[int] = []
        words = 0
        async with httpx.AsyncClient(base_url=f"http://{other.address}", timeout=20) as http:
            path = f"/v1/agents/{agent_id}/messages/stream"
            async with Door(http).stream(path, asking, **again) as events:
                gate.release(1)
                async for event in events:
                    held.append(max(map(_unsent, other.connections), default=0))  # the last one may be gone, all sent
                    if event.data != "[DONE]":
                        words += len(event.data.get("content", "").split())
        assert words == 1_000_000
        assert max(held) < 8_000_000, "more than the whole answer"
        await until(lambda: _watchers(running) == 0)
        for caller in idle:
            assert b"[DONE]" not in await caller.end()
    assert (await door.ended(run_id))["status"] == "completed"


def _unsent(connection: Any) -> int:
    return int(connection.transport.get_write_buffer_size())


@asynccontextmanager
async def _who_does_not_read(address: str, run_id: str) -> AsyncIterator[Raw]:
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1)
    try:
        caller = Raw(reader, writer)
        await caller.say(post(f"/v1/runs/{run_id}/stream", b"{}"))
        yield caller
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
