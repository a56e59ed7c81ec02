"""A server that stops keeps nobody waiting for nothing: who waits is told when to come again, and finds his run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from sendoff_server import app
from sendoff_server.gateway.refusals import RESTART_S
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, ServerProcess
from tests.gateway.door import PATIENCE_S, Door, Event, fold, script
from tests.gateway.sdk import KINDS, connected

_LATE: dict[str, Any] = {"text": "late, but here", "first_delay_ms": 2_500}


@asynccontextmanager
async def _knocking(address: str) -> AsyncIterator[Door]:
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE_S) as http:
        yield Door(http)


# ---- a process ----


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.strict], ids=str)
async def test_a_blocking_call_outlives_a_restart(server_process: ServerProcess, kind: Any) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start("--drain-grace-s", "0.2")
    url = f"http://{server_process.http_address}"
    async with connected(url, kind, timeout=PATIENCE_S, max_retries=20) as sdk, _knocking(url[7:]) as door:
        agent_id = await sdk.agent()
        call = asyncio.create_task(sdk("agents.messages.create", agent_id, input=script(**_LATE)))
        await _run_of(door, agent_id)
        assert await server_process.stop() == 0
        await server_process.start()
        assert (await call).messages[-1].content == "late, but here"
        assert len(await sdk.all("runs.list", agent_id=agent_id)) == 1


async def test_a_stream_ends_with_an_error_and_goes_on_after_a_restart(server_process: ServerProcess) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start("--drain-grace-s", "0.2")
    async with _knocking(server_process.http_address) as door:
        agent_id = await door.agent()
        play = script(steps=[{"text": "at once", "tool_calls": [{"name": "nothing"}]}, _LATE])
        told: list[Event] = []
        body = {"input": play, "background": True}
        async with door.stream(f"/v1/agents/{agent_id}/messages/stream", body) as events:
            async for event in events:
                told.append(event)
                if event.data != "[DONE]" and event.data["message_type"] == "tool_return_message":
                    server_process.signal(signal.SIGTERM)
        assert (told[-2].name, told[-2].data["error_type"], told[-1].data) == ("error", "stream_incomplete", "[DONE]")
        assert await server_process.ended() == 0
        with pytest.raises(httpx.ConnectError):
            await door.http.get("/v1/health/")
    await server_process.start()
    async with _knocking(server_process.http_address) as door:
        path = f"/v1/runs/{told[0].data['run_id']}/stream"
        told = told[:-2]
        told += await door.events(path, {"starting_after": told[-1].id})
        assert fold(told) == fold(await door.events(path, {}))
        assert [event.id for event in told] == list(range(1, len(told) + 1))


async def test_a_second_signal_ends_it_at_once_whoever_waits(server_process: ServerProcess) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start("--drain-grace-s", "60")
    async with _knocking(server_process.http_address) as door:
        agent_id = await door.agent()
        body = {"input": script(text="x", hang=True)}
        async with door.stream(f"/v1/agents/{agent_id}/messages/stream", body) as events:
            await anext(events)
            server_process.signal(signal.SIGTERM)
            await server_process.logged("stopping")
            assert await server_process.stop() == 128 + signal.SIGTERM
            with pytest.raises(httpx.TransportError):
                await anext(events)


async def _run_of(door: Door, agent_id: str) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while not (runs := await door.get("/v1/runs/", agent_id=agent_id)):
            pass
    return str(runs[0]["id"])


# ---- in this process ----


async def test_what_ends_within_the_grace_is_answered_as_if_nothing_was(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = hold_calls(monkeypatch, HeldCalls())
    async with _stopping(serve, gate, drain_grace_s=30.0) as (door, agent_id, waiting):
        refused = await door.http.post(f"/v1/agents/{agent_id}/messages/async", json={"input": "Hi"})
        assert (refused.status_code, refused.json()["reason"]) == (503, "DRAINING")
        assert 30 - 5 < int(refused.headers["retry-after"]) <= 30 + RESTART_S
        gate.release(2)
        answered, streamed = await asyncio.gather(*waiting)
    assert (answered.status_code, answered.json()["messages"][-1]["content"]) == (200, "done in time")
    assert '"usage_statistics"' in streamed.text
    assert "event: error" not in streamed.text


async def test_what_does_not_is_told_when_to_come_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = hold_calls(monkeypatch, HeldCalls())
    async with _stopping(serve, gate, drain_grace_s=0.1) as (_, _, waiting):
        answered, streamed = await asyncio.gather(*waiting)
    assert (answered.status_code, answered.json()["reason"]) == (503, "DRAINING")
    assert int(answered.headers["retry-after"]) == RESTART_S
    assert '"stream_incomplete"' in streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")


@asynccontextmanager
async def _stopping(
    serve: Serve, gate: HeldCalls, *, drain_grace_s: float
) -> AsyncIterator[tuple[Door, str, list[asyncio.Task[httpx.Response]]]]:
    """A server that drains, with a blocking call and a stream whose runs are held."""
    stop, began = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def serving() -> None:
        async with serve(http_address="127.0.0.1:0", drain_grace_s=drain_grace_s) as server:
            began.set_result(server)
            await stop.wait()

    life = asyncio.create_task(serving())
    server: app.Server = await began
    assert server.http is not None
    async with _knocking(server.http.address) as door:
        agents = [await door.agent() for _ in range(2)]
        body = {"input": script(text="done in time")}
        waiting = [
            asyncio.create_task(door.http.post(f"/v1/agents/{agent_id}/{call}", json=body))
            for agent_id, call in zip(agents, ("messages", "messages/stream"), strict=True)
        ]
        for _ in waiting:
            await gate.held.get()
        stop.set()
        while server.use_cases.runs._drained_at is None:
            await door.get("/v1/health/")
        yield door, agents[0], waiting
    await life
