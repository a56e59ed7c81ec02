"""As memory runs out: watchers are sent away with a place to go on from, then new runs; what works goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import httpx
import pytest

from sendoff import AsyncClient, RetryPolicy, v1
from sendoff_server import admission_parts, app
from sendoff_server.admission.memory_guard import Pressure
from tests.faults.caller import Caller, Stream, calling, patiently, refused, script
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

LIMIT_MB = 100


class Memory:
    """What the process is said to use."""

    def __init__(self) -> None:
        self.percent = 10

    def __call__(self) -> int:
        return self.percent * LIMIT_MB * 1024 * 1024 // 100


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    told = Memory()
    monkeypatch.setattr(admission_parts, "used_bytes", told)
    return told


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
async def server(memory: Memory, held: HeldCalls, serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(max_memory_mb=LIMIT_MB, http_address="127.0.0.1:0") as server:
        yield server


@pytest.fixture
async def caller(server: app.Server) -> AsyncIterator[Caller]:
    async with calling(server.grpc.address) as caller:
        yield caller


async def _pressed(server: app.Server, memory: Memory, percent: int, pressure: Pressure) -> None:
    """Wait until the server has noticed."""
    memory.percent = percent
    async with asyncio.timeout(30):
        while server.memory.pressure is not pressure:  # noqa: ASYNC110  # it looks by itself, and tells nobody
            await asyncio.sleep(0.02)


async def _end_of(stream: Stream) -> v1.StreamEnd:
    while isinstance(frame := await stream.read(), v1.WatchRunResponse):
        if frame.HasField("end"):
            return frame.end
    raise AssertionError("the stream has no end")


async def test_watchers_go_first_with_a_place_to_go_on_from_and_runs_are_still_accepted(
    server: app.Server, caller: Caller, memory: Memory, held: HeldCalls
) -> None:
    agent = await caller.agent()
    run = await caller.send(agent, script(text="Hi"))
    stream = caller.watch(run.id)
    await patiently(stream.read())
    await patiently(held.begun.get())
    await caller.changed(run.id, 1)
    memory.percent = 90
    end = await patiently(_end_of(stream))
    written = (await caller.get(run.id)).last_sequence
    assert (end.reason, end.resume_after_sequence) == (v1.StreamEnd.REASON_OVERLOADED, written)
    refusal = await refused(caller.watch(run.id).read())
    assert (refusal.code, refusal.reason, refusal.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED", 5)
    accepted = await caller.send(agent, script(text="Hi"))
    await _pressed(server, memory, 10, Pressure.NONE)
    held.release(2)
    assert (await caller.ended(accepted.id)).status == v1.RUN_STATUS_COMPLETED


async def test_then_new_runs_are_refused_over_both_doors_while_those_under_way_end(
    server: app.Server, caller: Caller, memory: Memory, held: HeldCalls
) -> None:
    assert server.http is not None
    agent = await caller.agent()
    run = await caller.send(agent, script(text="Hi"))
    await patiently(held.begun.get())
    await _pressed(server, memory, 96, Pressure.NO_ACCEPTS)
    refusal = await refused(caller.send(agent, script(text="Hi")))
    assert (refusal.code, refusal.reason, refusal.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED", 5)
    async with httpx.AsyncClient(base_url=f"http://{server.http.address}") as rest:
        for path in ("messages/async", "messages", "messages/stream"):
            answer = await rest.post(f"/v1/agents/{agent}/{path}", json={"input": "Hi"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    held.release()
    async with asyncio.timeout(30):
        while (await caller.get(run.id)).status != v1.RUN_STATUS_COMPLETED:  # noqa: ASYNC110  # waiting is refused
            await asyncio.sleep(0.02)
    await _pressed(server, memory, 10, Pressure.NONE)
    await caller.send(agent, script(text="Hi"))
    held.release()


async def test_a_blocking_call_that_was_accepted_gets_its_answer_whatever_memory_there_is(
    server: app.Server, caller: Caller, memory: Memory, held: HeldCalls
) -> None:
    assert server.http is not None
    agent = await caller.agent("scripted/echo")
    async with httpx.AsyncClient(base_url=f"http://{server.http.address}", timeout=30) as rest:
        calling_it = asyncio.create_task(rest.post(f"/v1/agents/{agent}/messages", json={"input": "Hi"}))
        await patiently(held.begun.get())
        await _pressed(server, memory, 96, Pressure.NO_ACCEPTS)
        held.release()
        answer = await patiently(calling_it)
    assert answer.status_code == 200
    assert answer.json()["stop_reason"]["stop_reason"] == "end_turn"


async def test_a_stream_over_rest_tells_that_it_was_cut_and_can_be_resumed(
    server: app.Server, caller: Caller, memory: Memory, held: HeldCalls
) -> None:
    assert server.http is not None
    agent = await caller.agent("scripted/echo")
    async with AsyncExitStack() as stack:
        rest = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{server.http.address}", timeout=30))
        said = {"input": "Hi", "background": True, "streaming": True}
        stream = await stack.enter_async_context(rest.stream("POST", f"/v1/agents/{agent}/messages", json=said))
        await patiently(held.begun.get())
        memory.percent = 90
        told = await patiently(stream.aread())
    assert b'"stream_incomplete"' in told
    assert b"OVERLOADED" in told or b"resume the stream" in told
    await _pressed(server, memory, 10, Pressure.NONE)
    held.release()


async def test_the_client_goes_on_with_its_watch_once_there_is_memory_again(
    server: app.Server, memory: Memory, held: HeldCalls
) -> None:
    patience = RetryPolicy(max_attempts=1_000, max_backoff_s=0.05)
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.02)

    async with AsyncClient(server.grpc.address, reconnect=patience, sleep=sleep) as client:
        agent = await client.create_agent(name="subject", model="scripted/echo")
        run = await client.send(agent.id, "Hi")
        seen: list[int] = []

        async def watch() -> None:
            async for event in client.watch(run.id):
                assert isinstance(event, v1.RunEvent)
                seen.append(event.sequence)

        watching = asyncio.create_task(watch())
        await patiently(held.begun.get())
        await _pressed(server, memory, 90, Pressure.NO_WATCHERS)
        async with asyncio.timeout(30):
            while not pauses:  # noqa: ASYNC110  # until it was sent away once more
                await asyncio.sleep(0.02)
        await _pressed(server, memory, 10, Pressure.NONE)
        held.release()
        await patiently(watching)
    assert seen == list(range(1, len(seen) + 1))
    assert any(each >= 5 for each in pauses), "the client came back before it was told to"
