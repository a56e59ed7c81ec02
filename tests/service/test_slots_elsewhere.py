"""Replicas that have room begin with what others have no room for, at once. No replica polls here."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.runs import scheduler
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import Caller, calling, patiently, script
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

AHEAD_S = 0.3


@pytest.fixture(autouse=True)
def _no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "POLL_S", 3_600.0)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


class Started:
    def __init__(self, serve: Serve, dsn: str) -> None:
        self._serve = serve
        self._dsn = dsn

    @asynccontextmanager
    async def replica(self, **settings: object) -> AsyncIterator[Caller]:
        async with (
            self._serve(database_url=self._dsn, **settings) as server,
            calling(server.grpc.address) as caller,
        ):
            yield caller


@pytest.fixture
def start(serve: Serve, postgres: PostgresDatabase, gate: HeldCalls) -> Started:
    return Started(serve, postgres.dsn)


async def _begun(gate: HeldCalls) -> str:
    return str((await patiently(gate.begun.get())).run_id)


async def test_what_one_has_no_slot_for_another_one_begins_with(start: Started, gate: HeldCalls) -> None:
    async with start.replica(max_running=1) as full, start.replica():
        runs = [await full.send(await full.agent(), script(text="x")) for _ in range(4)]
        assert {await _begun(gate) for _ in runs} == {run.id for run in runs}
        gate.release(4)
        assert {(await full.ended(run.id)).status for run in runs} == {v1.RUN_STATUS_COMPLETED}


async def test_who_gets_room_later_hears_of_lanes_that_waited_before(start: Started, gate: HeldCalls) -> None:
    async with start.replica(max_running=1) as one, start.replica(max_running=1) as two:
        held = [await caller.send(await caller.agent(), script(text="x")) for caller in (one, two)]
        assert {await _begun(gate) for _ in held} == {run.id for run in held}
        waits = [await one.send(await one.agent(), script(text="y")) for _ in range(2)]
        gate.release(2)
        assert {await _begun(gate) for _ in waits} == {run.id for run in waits}
        gate.release(2)
        assert {(await two.ended(run.id)).status for run in waits} == {v1.RUN_STATUS_COMPLETED}


async def test_a_replica_that_stops_has_others_go_on_at_once(start: Started, gate: HeldCalls) -> None:
    async with AsyncExitStack() as stack:
        stops = await stack.enter_async_context(start.replica(drain_grace_s=0))
        async with start.replica() as stays:
            run = await stops.send(await stops.agent(), script(text="x"))
            assert await _begun(gate) == run.id
            await stack.aclose()
            assert await _begun(gate) == run.id
            gate.release(2)
            assert (await stays.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


@pytest.mark.parametrize("is_full", [False, True])
async def test_a_run_starts_on_time_also_where_the_replica_that_accepted_it_is_full(
    start: Started, gate: HeldCalls, is_full: bool
) -> None:
    async with start.replica(max_running=1) as here, start.replica() as there:
        agents = [await here.agent() for _ in range(2)]
        if is_full:
            held = await here.send(agents[0], script(text="x"))
            assert await _begun(gate) == held.id
        wanted = Timestamp()
        wanted.FromNanoseconds(time.time_ns() + int(AHEAD_S * 1e9))
        run = await here.send(agents[1], script(text="y"), scheduling=v1.Scheduling(start_time=wanted))
        assert await _begun(gate) == run.id
        gate.release(2)
        late_ns = (await there.ended(run.id)).start_time.ToNanoseconds() - wanted.ToNanoseconds()
        assert 0 <= late_ns < 1e9, "and not when somebody would have looked"
