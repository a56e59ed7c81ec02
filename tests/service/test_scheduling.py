"""When runs start and before which others, by a clock that the test moves and a model that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import app
from sendoff_server.clock import SECOND_NS
from sendoff_server.runs import scheduler
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.items import Claim
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused, request, script, seconds
from tests.faults.gated import hold_calls
from tests.fixtures.clock import ManualClock
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

POLL_S = 2.0
Start = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(gate: HeldCalls, settings: Settings, clock: ManualClock) -> Start:
    """Starts servers on one database and this clock."""

    @asynccontextmanager
    async def started(**changes: Any) -> AsyncIterator[Caller]:
        changed = settings.model_copy(update={"drain_grace_s": 0, **changes})
        async with (
            app.running(changed, ProviderSettings.model_construct(), clock) as server,
            calling(server.grpc.address) as caller,
        ):
            yield caller

    return started


def in_s(clock: ManualClock, span_s: float) -> v1.Scheduling:
    at = Timestamp()
    at.FromNanoseconds(clock.now_ns() + int(span_s * SECOND_NS))
    return v1.Scheduling(start_time=at)


class HeldClaim:
    """Holds the answer to the first claim of a server that starts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        claim = SqliteStore.claim

        async def held(engine: SqliteStore, limit: int) -> list[Claim]:
            claims = await claim(engine, limit)
            self.asked.set()
            await self.go_on.wait()
            return claims

        monkeypatch.setattr(SqliteStore, "claim", held)


async def test_what_is_accepted_while_a_server_looks_for_leftovers_begins_in_the_same_moment(
    monkeypatch: pytest.MonkeyPatch, start: Start, gate: HeldCalls
) -> None:
    claim = HeldClaim(monkeypatch)
    async with start() as caller:
        await claim.asked.wait()
        sent = await caller.send(await caller.agent(), script(text="at once"))
        claim.go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            assert (await gate.begun.get()).run_id == sent.id


async def begun(gate: HeldCalls, clock: ManualClock) -> str:
    """The next run whose model is called, while time goes on."""
    task = asyncio.ensure_future(gate.begun.get())
    for _ in range(400):
        if task.done():
            return task.result().run_id
        await clock.advance(0.05)
        await asyncio.wait((task,), timeout=0.01)
    raise AssertionError("no run has begun")


async def ended(caller: Caller, clock: ManualClock, run: v1.Run) -> v1.Run:
    """The run once it has ended, while time goes on."""
    task = asyncio.ensure_future(caller.ended(run.id))
    while not task.done():
        await clock.advance(0.01)
        await asyncio.wait((task,), timeout=0.01)
    return await task


# ---- start_time ----


async def test_a_run_starts_when_its_time_has_come_and_tells_until_then_when_that_is(
    start: Start, gate: HeldCalls, clock: ManualClock
) -> None:
    async with start() as caller:
        agent, wanted = await caller.agent(), in_s(clock, 3_600)
        run = await caller.send(agent, script(text="later"), scheduling=wanted)
        told = await caller.get(run.id)
        assert (told.status, told.phase) == (v1.RUN_STATUS_CREATED, v1.RUN_PHASE_SCHEDULED)
        assert told.wait == v1.WaitInfo(reason="START_TIME", earliest_start_time=wanted.start_time)
        await clock.advance(3_590)
        assert (await caller.get(run.id)).wait.reason == "START_TIME"
        assert gate.begun.empty()

        await clock.advance(10 + POLL_S)
        assert await begun(gate, clock) == run.id
        gate.release()
        done = await ended(caller, clock, run)
        assert done.status == v1.RUN_STATUS_COMPLETED
        assert done.start_time.ToNanoseconds() >= wanted.start_time.ToNanoseconds()


async def test_a_run_starts_on_time_and_not_when_somebody_looks(
    start: Start, gate: HeldCalls, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "POLL_S", 1_000_000.0)
    async with start() as caller:
        later = await caller.send(await caller.agent(), script(text="2"), scheduling=in_s(clock, 500))
        first = await caller.send(await caller.agent(), script(text="1"), scheduling=in_s(clock, 100))
        for run, span_s in ((first, 100), (later, 400)):
            await clock.advance(span_s - 0.1)
            assert gate.begun.empty()
            assert await begun(gate, clock) == run.id
            gate.release()
            await ended(caller, clock, run)


async def test_a_start_time_is_kept_while_no_server_runs(start: Start, gate: HeldCalls, clock: ManualClock) -> None:
    async with start() as caller:
        run = await caller.send(await caller.agent(), script(text="later"), scheduling=in_s(clock, 100))
    async with start() as caller:
        assert (await caller.get(run.id)).wait.reason == "START_TIME"
    await clock.advance(100)
    async with start() as caller:
        assert await begun(gate, clock) == run.id
        gate.release()
        assert (await ended(caller, clock, run)).status == v1.RUN_STATUS_COMPLETED


async def test_later_runs_of_the_conversation_wait_behind_it_and_others_do_not(
    start: Start, gate: HeldCalls, clock: ManualClock
) -> None:
    async with start() as caller:
        agent = await caller.agent()
        first = await caller.send(agent, script(text="later"), scheduling=in_s(clock, 60))
        second = await caller.send(agent, script(text="afterwards"))
        other = await caller.send(await caller.agent(), script(text="now"))
        told = await caller.get(second.id)
        assert (told.wait.reason, told.wait.blocking_run_id) == ("CONVERSATION_BUSY", first.id)
        gate.release(3)
        assert await begun(gate, clock) == other.id
        await clock.advance(60)
        assert [await begun(gate, clock) for _ in range(2)] == [first.id, second.id]
        assert (await ended(caller, clock, second)).status == v1.RUN_STATUS_COMPLETED


async def test_a_run_can_be_cancelled_before_its_time_and_those_behind_it_go_on(
    start: Start, gate: HeldCalls, clock: ManualClock
) -> None:
    async with start() as caller:
        agent = await caller.agent()
        first = await caller.send(agent, script(text="later"), scheduling=in_s(clock, 60))
        second = await caller.send(agent, script(text="afterwards"))
        assert (await caller.cancel(first.id)).status == v1.RUN_STATUS_CANCELLED
        gate.release()
        assert await begun(gate, clock) == second.id
        assert (await ended(caller, clock, second)).status == v1.RUN_STATUS_COMPLETED


async def test_the_limit_of_the_wait_counts_from_the_start_time(
    start: Start, gate: HeldCalls, clock: ManualClock
) -> None:
    async with start(max_running=1) as caller:
        limits = v1.Limits(queue_ttl=seconds(30))
        run = await caller.send(await caller.agent(), script(text="later"), scheduling=in_s(clock, 60), limits=limits)
        blocker = await caller.send(await caller.agent(), script(text="has the slot"))
        assert await begun(gate, clock) == blocker.id
        await clock.advance(61)
        await clock.advance(1)
        assert (await caller.get(run.id)).status == v1.RUN_STATUS_CREATED
        assert (await caller.get(run.id)).wait.reason == "NO_SLOT"
        await clock.advance(30)
        assert (await ended(caller, clock, run)).stop_reason == v1.STOP_REASON_EXPIRED_IN_QUEUE
        gate.release()


async def test_a_newer_message_takes_the_place_of_one_whose_time_has_not_come(
    start: Start, gate: HeldCalls, clock: ManualClock
) -> None:
    async with start() as caller:
        agent = await caller.agent()
        first = await caller.send(agent, script(text="later"), scheduling=in_s(clock, 60))
        interrupts = v1.Scheduling(when_busy=v1.WHEN_BUSY_INTERRUPT)
        second = await caller.send(agent, script(text="instead"), scheduling=interrupts)
        gate.release()
        assert await begun(gate, clock) == second.id
        assert (await ended(caller, clock, second)).status == v1.RUN_STATUS_COMPLETED
        assert (await caller.get(first.id)).stop_reason == v1.STOP_REASON_SUPERSEDED


async def test_a_time_too_far_ahead_or_none_at_all_is_refused_by_name(start: Start, clock: ManualClock) -> None:
    async with start() as caller:
        agent = await caller.agent()
        year_s = 366 * 24 * 3_600
        for wrong in (in_s(clock, year_s + 1), v1.Scheduling(start_time=Timestamp(seconds=1 << 62))):
            refusal = await refused(caller.runs.CreateMessageAsync(request(agent, "x", scheduling=wrong)))
            assert (refusal.reason, refusal.fields) == ("INVALID_REQUEST", ["scheduling.start_time"])
        assert (await caller.send(agent, "x", scheduling=in_s(clock, year_s))).id


# ---- priority and fairness_key ----


@pytest.fixture
async def narrow(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    """Of a server with one slot, whose model calls are held when they begin."""
    async with serve(max_running=1) as server, calling(server.grpc.address) as connected:
        yield connected


async def _queue(caller: Caller, count: int, **scheduling: Any) -> list[str]:
    """Runs in conversations of their own."""
    agents = [await caller.agent() for _ in range(count)]
    wanted = v1.Scheduling(**scheduling)
    return [(await caller.send(agent, script(text="x"), scheduling=wanted)).id for agent in agents]


async def _served(gate: HeldCalls, count: int) -> list[str]:
    order = []
    for _ in range(count):
        order.append((await patiently(gate.begun.get())).run_id)
        gate.release()
    return order


async def test_a_quiet_caller_is_served_before_the_queue_of_a_noisy_one(gate: HeldCalls, narrow: Caller) -> None:
    noisy = await _queue(narrow, 15, fairness_key="noisy")
    quiet = [(await _queue(narrow, 1, fairness_key=f"quiet {number}"))[0] for number in range(4)]
    order = await _served(gate, 19)
    assert set(order) == {*noisy, *quiet}
    assert max(order.index(run_id) for run_id in quiet) <= 6, "one that has the slot, and a round of five"


async def test_an_accept_does_not_slip_past_those_that_wait(gate: HeldCalls, narrow: Caller) -> None:
    first = await _queue(narrow, 5)
    second: list[str] = []
    order = []
    for _ in range(5):
        order += await _served(gate, 1)
        second += await _queue(narrow, 1)
    order += await _served(gate, 5)
    assert order == first + second


async def test_a_better_priority_is_served_first(gate: HeldCalls, narrow: Caller) -> None:
    holder = await _queue(narrow, 1)
    later = await _queue(narrow, 3, priority=5)
    usual = await _queue(narrow, 3)
    urgent = await _queue(narrow, 3, priority=1)
    assert await _served(gate, 10) == holder + urgent + usual + later
