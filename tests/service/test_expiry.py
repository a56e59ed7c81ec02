"""What nobody answers, and what is not begun, by a clock that the test moves; over restarts too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused, request, script, seconds
from tests.faults.gated import at, hold_calls
from tests.faults.run_log import check_log
from tests.fixtures.clock import ManualClock
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import (
    ASKS,
    DONE,
    answers,
    approve,
    end,
    furnish,
    pending,
    resolved,
    returns,
    stopped,
)

_HELD = "held in the middle"
Start = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, at(2, _HELD))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(workshop: Workshop, gate: HeldCalls, settings: Settings, clock: ManualClock) -> Start:
    """Starts servers on one database and this clock."""

    @asynccontextmanager
    async def started(**changes: Any) -> AsyncIterator[Caller]:
        changed = settings.model_copy(update={"drain_grace_s": 0, **changes})
        providers = ProviderSettings.model_construct()
        async with app.running(changed, providers, clock) as server, calling(server.grpc.address) as caller:
            yield caller

    return started


def within(timeout_s: float, then: v1.OnTimeout.ValueType = v1.ON_TIMEOUT_UNSPECIFIED) -> v1.Limits:
    return v1.Limits(action_timeout=seconds(timeout_s), on_action_timeout=then)


async def over(clock: ManualClock, timeout_s: float) -> None:
    """Let the time pass, and the server look what is overdue."""
    await clock.advance(timeout_s + 0.001)
    await clock.advance(1.0)


async def moving(clock: ManualClock, awaited: Awaitable[v1.Run]) -> v1.Run:
    """Its result, while time goes on: what waits for a lane looks again after a moment."""
    task = asyncio.ensure_future(awaited)
    while not task.done():
        await clock.advance(0.01)
        await asyncio.wait((task,), timeout=0.01)
    return await task


async def continued(caller: Caller, clock: ManualClock, run: v1.Run) -> v1.Run:
    """The run that continues, once there is one and it has ended."""
    wait = v1.WaitRunRequest(run_id=run.id, until=v1.WAIT_UNTIL_TURN_END, timeout=seconds(PATIENCE_S))
    ended = await moving(clock, caller.runs.WaitRun(wait, timeout=PATIENCE_S + 5))
    assert ended.id != run.id, "nobody has continued it"
    check_log(ended, await caller.log(ended.id))
    return ended


async def test_what_nobody_answers_is_denied_and_the_turn_goes_on(
    start: Start, clock: ManualClock, workshop: Workshop
) -> None:
    async with start() as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "risky", "mine", limits=within(60))
        waits = v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
        waiting = await caller.send(agent, script(text="afterwards"), scheduling=waits)
        await clock.advance(59)
        assert len(await pending(caller)) == 2
        await over(clock, 1)
        second = await continued(caller, clock, first)
        assert (end(second), second.turn_id) == (DONE, first.turn_id)
        assert [is_error for _, is_error in await returns(caller, second)] == [True, True]
        assert "in time" in (await returns(caller, second))[0][0]
        assert await resolved(caller, second) == ["timeout", "timeout"]
        assert end(await caller.ended(waiting.id)) == DONE
        assert (await pending(caller), workshop.calls) == ([], [])
        refusal = await refused(caller.runs.CreateMessageAsync(answers(agent, approve(first)), timeout=PATIENCE_S))
        assert refusal.reason == "ACTION_ALREADY_ANSWERED"


async def test_a_turn_may_fail_when_nobody_answers(start: Start, clock: ManualClock, gate: HeldCalls) -> None:
    async with start() as caller:
        agent = await caller.agent()
        for name in ("risky", "mine"):
            first = await stopped(caller, agent, name, limits=within(60, v1.ON_TIMEOUT_FAIL_TURN))
            calls = gate.begun.qsize()
            await over(clock, 60)
            second = await continued(caller, clock, first)
            assert end(second) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_DEADLINE_EXCEEDED)
            assert [is_error for _, is_error in await returns(caller, second)] == [True]
            assert gate.begun.qsize() == calls, "the model was called"
            assert end(await caller.get(first.id)) == ASKS
            after = await caller.ended((await caller.send(agent, script(text="on we go"))).id)
            assert end(after) == DONE


async def test_a_call_may_be_approved_by_silence_only_where_the_operator_allows_it(
    start: Start, clock: ManualClock, workshop: Workshop
) -> None:
    limits = within(60, v1.ON_TIMEOUT_APPROVE)
    async with start() as caller:
        agent = await caller.agent()
        refusal = await refused(caller.runs.CreateMessageAsync(request(agent, "hello", limits=limits)))
        assert (refusal.reason, refusal.fields) == ("UNSUPPORTED_FEATURE", ["limits.on_action_timeout"])
    async with start(allow_approve_on_timeout=True) as caller:
        first = await stopped(caller, agent, "risky", limits=limits)
        await over(clock, 60)
        second = await continued(caller, clock, first)
        assert (end(second), await returns(caller, second)) == (DONE, [("it is done", False)])
        assert await resolved(caller, second) == ["timeout"]
        later = await stopped(caller, agent, "risky", limits=limits)
    await clock.advance(60)
    async with start() as caller:
        await over(clock, 1)
        third = await continued(caller, clock, later)
        assert [is_error for _, is_error in await returns(caller, third)] == [True], "it is not allowed any more"
    assert len(workshop.calls) == 1


async def test_a_deadline_that_passed_while_no_server_ran_is_met_by_the_next(start: Start, clock: ManualClock) -> None:
    async with start() as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "risky", limits=within(60))
    await clock.advance(1_000)
    async with start() as caller:
        await clock.advance(1)
        second = await continued(caller, clock, first)
        assert end(second) == DONE
        assert await resolved(caller, second) == ["timeout"]


async def test_the_server_s_own_deadline_is_a_week(start: Start, clock: ManualClock) -> None:
    async with start() as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "risky")
        (action,) = first.pending_actions
        span = action.expire_time.ToNanoseconds() - action.create_time.ToNanoseconds()
        assert span == 7 * 24 * 3_600 * 1_000_000_000
        await over(clock, 7 * 24 * 3_600)
        assert end(await continued(caller, clock, first)) == DONE


async def test_a_run_that_is_not_begun_in_time_expires_in_the_queue(
    start: Start, clock: ManualClock, gate: HeldCalls
) -> None:
    async with start() as caller:
        agent = await caller.agent()
        busy = await caller.send(agent, script(text=_HELD))
        await patiently(gate.held.get())
        ttl = v1.Limits(queue_ttl=seconds(5))
        hasty = await caller.send(agent, script(text="hasty"), limits=ttl)
        patient = await caller.send(agent, script(text="patient"))
        await over(clock, 5)
        ended = await caller.ended(hasty.id)
        check_log(ended, await caller.log(hasty.id))
        assert end(ended) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_EXPIRED_IN_QUEUE)
        assert (ended.error.reason, ended.error.retryable) == ("EXPIRED_IN_QUEUE", True)
        gate.release()
        for run in (busy, patient):
            assert end(await moving(clock, caller.ended(run.id))) == DONE


async def test_a_run_that_began_in_time_goes_on(start: Start, clock: ManualClock, gate: HeldCalls) -> None:
    async with start() as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(text=_HELD), limits=v1.Limits(queue_ttl=seconds(5)))
        await patiently(gate.held.get())
        await over(clock, 5)
        gate.release()
        assert end(await caller.ended(run.id)) == DONE
