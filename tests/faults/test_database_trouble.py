"""PostgreSQL that is silent, slow, or not heard of: callers know soon, nothing is begun in doubt, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from sendoff import v1
from sendoff_server import app
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.postgres import connection, engine, reach
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import Caller, calling, patiently, refused, script
from tests.faults.gated import hold_calls
from tests.faults.line import Line, line_to
from tests.faults.run_log import check_log
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

BEAT_S, MUTE_S = 0.1, 0.6
"""In place of 2 s and 3 s."""
BOUND_S = 10.0
"""In which callers are told: what it takes on a busy machine. By the limits above it is about a second."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BEAT_S", BEAT_S)
    monkeypatch.setattr(engine, "MUTE_S", MUTE_S)
    monkeypatch.setattr(reach, "MUTE_S", MUTE_S)
    monkeypatch.setattr(reach, "WAIT_S", MUTE_S)
    monkeypatch.setattr(connection, "CONNECT_S", MUTE_S)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
async def line(postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr(engine, "pool", connection.pool)  # those that are kept for later must not be left in the dark
    async with line_to(postgres.dsn) as made:
        yield made


async def _becomes(server: app.Server, status: int) -> None:
    async with asyncio.timeout(BOUND_S), grpc.aio.insecure_channel(server.grpc.address) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        async for told in watch(health_pb2.HealthCheckRequest()):
            if told.status == status:
                return


async def _is_told_to_come_again(caller: Caller, agent: str) -> None:
    async with asyncio.timeout(BOUND_S):
        refusal = await refused(caller.send(agent, script(text="not now"), request_id="a key"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert refusal.retry_after_s is not None


@pytest.mark.parametrize("ends", ["answers again", "is cut", "answers new connections only"])
async def test_while_the_database_says_nothing_callers_are_told_soon_and_all_goes_on_afterwards(
    ends: str, serve: Serve, line: Line, gate: HeldCalls
) -> None:
    async with serve(database_url=line.dsn) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(text="an answer"))
        await patiently(gate.held.get())
        await _becomes(server, _SERVING)

        line.silence()
        accept = asyncio.create_task(_is_told_to_come_again(caller, agent))
        read = asyncio.create_task(refused(caller.messages(run.id)))
        gate.release(2)
        await _becomes(server, _NOT_SERVING)
        await accept
        async with asyncio.timeout(BOUND_S):
            assert (await read).code == grpc.StatusCode.UNAVAILABLE
        await _is_told_to_come_again(caller, agent)

        if ends == "answers new connections only":
            line.reroute()
        line.restore()
        if ends == "is cut":
            line.cut()
        await _becomes(server, _SERVING)
        ended = await caller.ended(run.id)
        assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 1)
        check_log(ended, await caller.log(run.id))
        again = await caller.send(agent, script(text="now"), request_id="a key")
        assert (await caller.ended(again.id)).status == v1.RUN_STATUS_COMPLETED


async def test_a_database_that_is_silent_at_the_start_ends_it_soon(serve: Serve, line: Line) -> None:
    line.silence()
    with pytest.raises(StoreFailed, match="TimeoutError"):
        async with asyncio.timeout(BOUND_S), serve(database_url=line.dsn):
            pass


async def test_hints_are_heard_again_after_the_silence_though_their_connection_stays_silent(line: Line) -> None:
    heard = asyncio.Event()
    async with engine.PostgresStore(line.dsn) as store, store.hints(lambda *_: heard.set()):
        await patiently(heard.wait())  # what it may have missed before
        heard.clear()
        line.silence()
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(StoreFailed):
                await store.beat()
        assert not heard.is_set()
        line.reroute()
        async with asyncio.timeout(BOUND_S):
            await heard.wait()


class Unheard(engine.PostgresStore):
    """A store that works, but for its beats for as long as a test wants."""

    def __init__(self, dsn: str, *, unheard: asyncio.Event, **options: Any) -> None:
        super().__init__(dsn, **options)
        self._unheard = unheard

    async def beat(self) -> None:
        if self._unheard.is_set():
            raise StoreFailed("nobody hears")
        await super().beat()


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    made.has("look")
    return made


async def test_a_replica_that_is_not_heard_of_begins_no_call_of_a_model_or_a_tool_until_it_is(
    serve: Serve, postgres: PostgresDatabase, gate: HeldCalls, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    unheard = asyncio.Event()
    monkeypatch.setattr(engine, "PostgresStore", partial(Unheard, unheard=unheard))
    monkeypatch.setattr(app, "SURE_S", 3 * BEAT_S)
    steps = [{"tool_calls": [{"name": "look"}]}, {"text": "seen"}]
    async with serve(database_url=postgres.dsn) as server, calling(server.grpc.address) as caller:
        running = await caller.send(await caller.agent(), script(steps=steps))
        await patiently(gate.held.get())
        unheard.set()
        await _becomes(server, _NOT_SERVING)
        await asyncio.sleep(4 * BEAT_S)  # its beats are only late until then

        gate.release()
        waiting = await caller.send(await caller.agent(), script(text="an answer"))
        await _has_event(caller, running, "tool_call_started")
        await _has_event(caller, waiting, "step_started")
        await asyncio.sleep(BEAT_S)
        assert (workshop.calls, gate.begun.qsize()) == ([], 1)

        unheard.clear()
        gate.release(3)
        for run in (running, waiting):
            ended = await caller.ended(run.id)
            assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 1)
        assert [call.tool.name for call in workshop.calls] == ["look"]


async def _has_event(caller: Caller, run: v1.Run, kind: str) -> None:
    async with asyncio.timeout(BOUND_S):
        while True:
            if kind in {event.WhichOneof("event") for event in await caller.log(run.id)}:
                return
            await asyncio.sleep(0.02)
