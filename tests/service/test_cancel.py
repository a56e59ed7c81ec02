"""A cancel reaches a run wherever it is, within a second, and leaves a conversation that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sendoff import v1
from tests.faults.caller import Caller, calling, patiently, script
from tests.faults.gated import at, hold_calls
from tests.faults.run_log import Screen, check_log, texts
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

_HELD = "held in the middle"
_CANCELLED = (v1.RUN_STATUS_CANCELLED, v1.STOP_REASON_CANCELLED)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so behind their second chunk."""
    return hold_calls(monkeypatch, at(2, _HELD))


@pytest.fixture
async def caller(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def _held(gate: HeldCalls, caller: Caller, agent: str) -> v1.Run:
    """A run whose answer is half-written, and stays so."""
    run = await caller.send(agent, script(text=_HELD))
    await patiently(gate.held.get())
    return run


def _end(run: v1.Run) -> tuple[v1.RunStatus.ValueType, v1.StopReason.ValueType]:
    return run.status, run.stop_reason


async def test_a_queued_run_is_cancelled_on_return_and_later_ones_go_on(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    head = await _held(gate, caller, agent)
    queued, later = [await caller.send(agent, script(text="answer")) for _ in range(2)]
    cancelled = await caller.cancel(queued.id)
    assert _end(cancelled) == _CANCELLED
    assert cancelled == await caller.get(queued.id)
    check_log(cancelled, await caller.log(queued.id))
    assert not cancelled.HasField("start_time")
    gate.release()
    assert [(await caller.ended(run.id)).status for run in (head, later)] == [v1.RUN_STATUS_COMPLETED] * 2
    assert cancelled == await caller.get(queued.id)


async def test_a_running_run_ends_within_a_second_and_its_model_call_with_it(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    run = await _held(gate, caller, agent)
    assert gate.under_way == 1
    screen = Screen()
    stream = caller.watch(run.id, include_deltas=True)
    while not screen.writing:
        screen.show(await patiently(anext(aiter(stream))))
    asked = await caller.cancel(run.id)
    assert (asked.status, asked.phase) == (v1.RUN_STATUS_RUNNING, v1.RUN_PHASE_CANCELLING)
    async with asyncio.timeout(1):
        await screen.follow(stream)
    assert gate.under_way == 0, "the model call goes on"
    ended = await caller.get(run.id)
    assert _end(ended) == _CANCELLED
    check_log(ended, screen.events)
    assert [gone.reason for gone in screen.retracted] == ["CANCELLED"]


async def test_a_cancelled_run_keeps_its_input_and_the_conversation_goes_on_with_it(
    gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    run = await _held(gate, caller, agent)
    await caller.cancel(run.id)
    await caller.ended(run.id)
    assert texts(await caller.messages(run.id)) == [("user_message", script(text=_HELD))]
    following = await caller.send(agent, script(text="an answer"))
    assert (await caller.ended(following.id)).status == v1.RUN_STATUS_COMPLETED
    calls = [await patiently(gate.begun.get()) for _ in range(2)]
    assert texts(calls[1].messages) == [
        ("user_message", script(text=_HELD)),
        ("user_message", script(text="an answer")),
    ]


async def test_a_finished_run_is_returned_as_it_is(caller: Caller) -> None:
    ended = await caller.ended((await caller.send(await caller.agent(), script(text="done"))).id)
    assert await caller.cancel(ended.id) == ended
    assert await caller.get(ended.id) == ended
    check_log(ended, await caller.log(ended.id))


async def test_cancelling_twice_is_cancelling_once(gate: HeldCalls, caller: Caller) -> None:
    run = await _held(gate, caller, await caller.agent())
    await asyncio.gather(*(caller.cancel(run.id) for _ in range(5)))
    ended = await caller.ended(run.id)
    assert _end(ended) == _CANCELLED
    assert await caller.cancel(run.id) == ended
    check_log(ended, await caller.log(run.id))


async def test_a_run_that_backs_off_is_cancelled_at_once(caller: Caller) -> None:
    error = {"kind": "overloaded", "retry_after_s": 60}
    run = await caller.send(await caller.agent(), script(text="never", error=error))
    while (run := await caller.changed(run.id, run.last_sequence)).phase != v1.RUN_PHASE_BACKING_OFF:
        pass
    async with asyncio.timeout(1):
        await caller.cancel(run.id)
        ended = await caller.ended(run.id)
    assert _end(ended) == _CANCELLED
    check_log(ended, await caller.log(run.id))


@pytest.mark.parametrize("pauses", range(5))
async def test_a_cancel_that_races_the_end_leaves_one_end_and_a_whole_log(pauses: int, caller: Caller) -> None:
    agent = await caller.agent()

    async def race() -> v1.Run:
        run = await caller.send(agent, script(text="a few words to be said", chunk_words=2))
        for _ in range(pauses * 20):
            await asyncio.sleep(0)  # another moment for each parameter; any outcome is right
        await caller.cancel(run.id)
        ended = await caller.ended(run.id)
        check_log(ended, await caller.log(run.id))
        return ended

    ends = {_end(await race()) for _ in range(10)}
    assert ends <= {_CANCELLED, (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)}


async def test_cancels_that_race_the_starts_of_a_whole_queue_leave_none_behind(caller: Caller) -> None:
    agent = await caller.agent()
    accepted = [await caller.send(agent, script(text="short")) for _ in range(30)]
    watching = [asyncio.create_task(Screen().follow(caller.watch(run.id))) for run in accepted]
    told = await asyncio.gather(*(caller.cancel(run.id) for run in accepted))
    for before, run in zip(told, accepted, strict=True):
        ended = await caller.ended(run.id)
        check_log(ended, await caller.log(run.id))
        if before.HasField("complete_time"):
            assert ended == before, "a run changed after its end was told"
    for watch in watching:
        assert (await patiently(watch)).reason == v1.StreamEnd.REASON_RUN_FINISHED


async def test_runs_that_wait_for_a_slot_can_be_cancelled(gate: HeldCalls, serve: Serve) -> None:
    async with serve(max_running=1) as server, calling(server.grpc.address) as caller:
        agents = [await caller.agent() for _ in range(5)]
        accepted = await asyncio.gather(*(caller.send(agent, script(text=_HELD)) for agent in agents))
        await patiently(gate.held.get())
        for run in accepted:
            await caller.cancel(run.id)
        assert {_end(await caller.ended(run.id)) for run in accepted} == {_CANCELLED}
        after = await caller.send(agents[-1], script(text="free again"))
        assert (await caller.ended(after.id)).status == v1.RUN_STATUS_COMPLETED
