"""`limits.run_timeout`: the longest time from a run's start to its end, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import Caller, calling, patiently, script, seconds
from tests.faults.gated import at, hold_calls
from tests.faults.run_log import Screen, check_log, texts
from tests.fixtures.clock import ManualClock
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

_HELD = "held in the middle"
_EXCEEDED = (v1.RUN_STATUS_FAILED, v1.STOP_REASON_DEADLINE_EXCEEDED)
_WITHIN_10_S = v1.Limits(run_timeout=seconds(10))

Start = Callable[[], AbstractAsyncContextManager[Caller]]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so behind their second chunk."""
    return hold_calls(monkeypatch, at(2, _HELD))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(gate: HeldCalls, settings: Settings, clock: ManualClock) -> Start:
    """Starts servers on one database and this clock, and stops them without waiting for their runs."""

    @asynccontextmanager
    async def started() -> AsyncIterator[Caller]:
        providers = ProviderSettings.model_construct()
        at_once = settings.model_copy(update={"drain_grace_s": 0})
        async with app.running(at_once, providers, clock) as server, calling(server.grpc.address) as caller:
            yield caller

    return started


@pytest.fixture
async def caller(start: Start) -> AsyncIterator[Caller]:
    async with start() as connected:
        yield connected


async def _held(gate: HeldCalls, caller: Caller, agent: str, limits: v1.Limits = _WITHIN_10_S) -> v1.Run:
    """A run whose answer is half-written, and stays so."""
    run = await caller.send(agent, script(text=_HELD), limits=limits)
    await patiently(gate.held.get())
    return run


def _end(run: v1.Run) -> tuple[v1.RunStatus.ValueType, v1.StopReason.ValueType]:
    return run.status, run.stop_reason


async def test_a_run_that_takes_too_long_fails_then_and_its_model_call_ends_with_it(
    gate: HeldCalls, caller: Caller, clock: ManualClock
) -> None:
    run = await _held(gate, caller, await caller.agent())
    await clock.advance(9.999)
    assert (await caller.get(run.id)).status == v1.RUN_STATUS_RUNNING
    assert gate.under_way == 1
    await clock.advance(0.001)
    ended = await caller.ended(run.id)
    assert gate.under_way == 0, "the model call goes on"
    assert _end(ended) == _EXCEEDED
    assert (ended.error.reason, dict(ended.error.metadata)) == ("DEADLINE_EXCEEDED", {"run_timeout": "10s"})
    assert "10s" in ended.error.message
    assert ended.error.retryable
    assert (ended.complete_time.ToNanoseconds() - ended.start_time.ToNanoseconds()) / 1e9 == 10


async def test_what_was_half_written_is_retracted_and_the_rest_of_the_run_stays(
    gate: HeldCalls, caller: Caller, clock: ManualClock
) -> None:
    agent = await caller.agent()
    run = await _held(gate, caller, agent)
    screen = Screen()
    stream = caller.watch(run.id, include_deltas=True)
    while not screen.writing:
        screen.show(await patiently(anext(aiter(stream))))
    await clock.advance(10)
    await patiently(screen.follow(stream))
    check_log(await caller.get(run.id), screen.events)
    assert [gone.reason for gone in screen.retracted] == ["FAILED"]
    (step,) = [event.step_finished for event in screen.events if event.HasField("step_finished")]
    assert step.stop_reason == v1.STOP_REASON_DEADLINE_EXCEEDED
    assert texts(await caller.messages(run.id)) == [("user_message", script(text=_HELD))]
    following = await caller.ended((await caller.send(agent, script(text="goes on"))).id)
    assert following.status == v1.RUN_STATUS_COMPLETED


async def test_a_run_that_backs_off_is_ended_then_too(caller: Caller, clock: ManualClock) -> None:
    error = {"kind": "overloaded", "retry_after_s": 60}
    run = await caller.send(await caller.agent(), script(text="never", error=error), limits=_WITHIN_10_S)
    while run.phase != v1.RUN_PHASE_BACKING_OFF:
        run = await caller.changed(run.id, run.last_sequence)
    await clock.advance(10)
    ended = await caller.ended(run.id)
    assert _end(ended) == _EXCEEDED
    check_log(ended, await caller.log(run.id))


async def test_waiting_for_its_turn_is_not_counted(gate: HeldCalls, caller: Caller, clock: ManualClock) -> None:
    agent = await caller.agent()
    await _held(gate, caller, agent, v1.Limits())
    queued = await caller.send(agent, script(text=_HELD), limits=_WITHIN_10_S)
    await clock.advance(1_000)
    gate.release()
    await patiently(gate.held.get())
    await clock.advance(9)
    gate.release()
    assert (await caller.ended(queued.id)).status == v1.RUN_STATUS_COMPLETED


async def test_a_run_without_the_limit_takes_as_long_as_it_likes(
    gate: HeldCalls, caller: Caller, clock: ManualClock
) -> None:
    run = await _held(gate, caller, await caller.agent(), v1.Limits(max_steps=1))
    await clock.advance(7 * 24 * 3_600)
    gate.release()
    assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


async def test_the_alarm_of_a_run_that_ended_in_time_is_gone(caller: Caller, clock: ManualClock) -> None:
    agent = await caller.agent()
    await caller.ended((await caller.send(agent, script(text="short"))).id)
    before = clock.sleepers
    for _ in range(3):
        run = await caller.send(agent, script(text="short"), limits=_WITHIN_10_S)
        assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
    assert clock.sleepers == before


async def test_after_a_restart_the_run_has_only_the_rest_of_its_time(
    gate: HeldCalls, start: Start, clock: ManualClock
) -> None:
    async with start() as caller:
        run = await _held(gate, caller, await caller.agent())
        await clock.advance(6)
    async with start() as caller:
        await patiently(gate.held.get())
        await clock.advance(3.9)
        assert (await caller.get(run.id)).status == v1.RUN_STATUS_RUNNING
        await clock.advance(0.1)
        ended = await caller.ended(run.id)
        assert (*_end(ended), ended.attempt) == (*_EXCEEDED, 2)
        check_log(ended, await caller.log(run.id))


async def test_a_run_whose_time_was_over_before_the_restart_is_ended_and_not_begun_again(
    gate: HeldCalls, start: Start, clock: ManualClock
) -> None:
    async with start() as caller:
        agent = await caller.agent()
        run = await _held(gate, caller, agent)
    await clock.advance(10)
    async with start() as caller:
        ended = await caller.ended(run.id)
        assert (*_end(ended), ended.attempt) == (*_EXCEEDED, 1)
        log = await caller.log(run.id)
        check_log(ended, log)
        gone = [event.message_retracted.reason for event in log if event.HasField("message_retracted")]
        assert gone == ["SERVER_RESTARTED"]
        following = await caller.ended((await caller.send(agent, script(text="goes on"))).id)
        assert following.status == v1.RUN_STATUS_COMPLETED
    assert gate.begun.qsize() == 2, "the model was called for the run again"


async def test_a_cancel_that_was_asked_for_before_wins(gate: HeldCalls, caller: Caller, clock: ManualClock) -> None:
    run = await _held(gate, caller, await caller.agent())
    await caller.cancel(run.id)
    await clock.advance(10)
    assert (await caller.ended(run.id)).status == v1.RUN_STATUS_CANCELLED


async def test_by_the_computer_s_own_clock_it_takes_no_longer_either(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        limits = v1.Limits(run_timeout=seconds(0.2))
        run = await caller.send(await caller.agent(), script(text="half an answer", hang=True), limits=limits)
        ended = await caller.ended(run.id)
    assert _end(ended) == _EXCEEDED
    assert ended.error.metadata["run_timeout"] == "0.200s"
    took_s = (ended.complete_time.ToNanoseconds() - ended.start_time.ToNanoseconds()) / 1e9
    assert took_s > 0.19
