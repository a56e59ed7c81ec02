"""Runs of a conversation execute one at a time in order of acceptance; conversations run in parallel (P3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import grpc
import pytest

from sendoff import v1
from tests.faults.caller import Caller, calling, patiently, refused, request, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import check_log
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

_REJECT = v1.Scheduling(when_busy=v1.WHEN_BUSY_REJECT)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


@pytest.fixture
async def caller(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    """Of a server whose model calls are held when they begin."""
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


def _in_order(runs: list[v1.Run]) -> None:
    """They executed one after the other."""
    for earlier, later in pairwise(runs):
        assert earlier.complete_time.ToNanoseconds() <= later.start_time.ToNanoseconds()


async def test_ten_concurrent_sends_run_one_after_the_other_in_order_of_acceptance(
    gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    accepted = await asyncio.gather(*(caller.send(agent, script(text=f"answer {n}")) for n in range(10)))
    begun = []
    for _ in accepted:
        begun.append((await patiently(gate.begun.get())).run_id)
        assert gate.under_way == 1
        assert gate.begun.empty()
        gate.release()
        await caller.ended(begun[-1])
    assert sorted(begun) == sorted(run.id for run in accepted)
    runs = [await caller.get(run_id) for run_id in begun]
    _in_order(runs)
    places = [(await caller.messages(run.id))[0].position for run in runs]
    assert places == sorted(places)


async def test_what_is_sent_after_an_acknowledgement_runs_later(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    accepted = [await caller.send(agent, script(text=f"answer {n}")) for n in range(5)]
    gate.release(5)
    runs = [await caller.ended(run.id) for run in accepted]
    _in_order(runs)
    assert [(await patiently(gate.begun.get())).run_id for _ in runs] == [run.id for run in runs]


async def test_conversations_run_in_parallel(gate: HeldCalls, caller: Caller) -> None:
    sent = {(await caller.send(await caller.agent(), script(text="hello"))).id for _ in range(2)}
    under_way = {(await patiently(gate.held.get()))[0].run_id for _ in range(2)}
    assert under_way == sent
    gate.release(2)
    for run_id in sent:
        assert (await caller.ended(run_id)).status == v1.RUN_STATUS_COMPLETED


async def test_the_model_sees_history_in_order_with_each_input_once(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    gate.release(3)
    for text in ("one", "two", "three"):
        await caller.ended((await caller.send(agent, text)).id)
    shown = [(await patiently(gate.begun.get())).messages for _ in range(3)][-1]
    told = [message.user_message.content.text or message.assistant_message.content.text for message in shown]
    assert told == ["one", "You said: one", "two", "You said: two", "three"]


async def test_reject_is_refused_while_the_conversation_works_and_names_the_run(
    gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    running = await caller.send(agent, script(text="first"), scheduling=_REJECT)
    await patiently(gate.held.get())
    refusal = await refused(caller.send(agent, script(text="second"), scheduling=_REJECT))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "CONVERSATION_BUSY")
    assert refusal.metadata["run_id"] == running.id
    gate.release(2)
    await caller.ended(running.id)
    after = await caller.ended((await caller.send(agent, script(text="third"), scheduling=_REJECT)).id)
    assert after.status == v1.RUN_STATUS_COMPLETED
    assert len(await caller.list_all(agent_id=agent)) == 2


async def test_a_full_queue_is_refused_with_when_to_come_again(gate: HeldCalls, serve: Serve) -> None:
    async with serve(max_queued_per_conversation=2) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        first, second = [await caller.send(agent, script(text="fits")) for _ in range(2)]
        refusal = await refused(caller.send(agent, script(text="too many"), request_id="again"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert refusal.retry_after_s is not None
        assert refusal.retry_after_s > 0
        gate.release(3)
        await caller.ended(first.id)
        again = await caller.send(agent, script(text="too many"), request_id="again")
        assert [(await caller.ended(run.id)).status for run in (second, again)] == [v1.RUN_STATUS_COMPLETED] * 2


async def test_a_queued_run_tells_what_it_waits_for(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    head, middle, last = [await caller.send(agent, script(text="waits")) for _ in range(3)]
    await patiently(gate.held.get())
    for position, run in ((1, middle), (2, last)):
        told = await caller.get(run.id)
        assert (told.status, told.phase) == (v1.RUN_STATUS_CREATED, v1.RUN_PHASE_BLOCKED)
        assert told.wait.reason == "CONVERSATION_BUSY"
        assert (told.wait.blocking_run_id, told.wait.position) == (head.id, position)
    gate.release(3)
    assert not (await caller.ended(last.id)).HasField("wait")


async def test_no_more_runs_are_under_way_than_the_cap_and_all_of_many_end_in_order(
    gate: HeldCalls, serve: Serve
) -> None:
    async with serve(max_running=2) as server, calling(server.grpc.address) as caller:
        agents = [await caller.agent() for _ in range(12)]
        sent = [request(agent, script(text=f"{n}")) for n in range(3) for agent in agents]
        accepted = await asyncio.gather(*(caller.runs.CreateMessageAsync(each) for each in sent))
        begun: list[str] = []
        for _ in accepted:
            call, _ = await patiently(gate.held.get())
            assert gate.under_way <= 2
            begun.append(call.run_id)
            gate.release()
        runs = [await caller.ended(run.id) for run in accepted]

        assert sorted(begun) == sorted(run.id for run in accepted)
        for agent in agents:
            mine = sorted((run for run in runs if run.agent_id == agent), key=lambda run: begun.index(run.id))
            _in_order(mine)
            places = [(await caller.messages(run.id))[0].position for run in mine]
            assert places == sorted(places)
        for run in runs:
            check_log(run, await caller.log(run.id))


async def test_with_few_slots_a_busy_conversation_does_not_starve_the_others(gate: HeldCalls, serve: Serve) -> None:
    async with serve(max_running=1) as server, calling(server.grpc.address) as caller:
        busy, *others = [await caller.agent() for _ in range(4)]
        many = [await caller.send(busy, script(text="again")) for _ in range(20)]
        await patiently(gate.held.get())
        waiting = [await caller.send(agent, script(text="me too")) for agent in others]
        gate.release(len(many) + len(waiting))
        for run in (*many, *waiting):
            await caller.ended(run.id)
        begun = [(await patiently(gate.begun.get())).run_id for _ in range(len(many) + len(waiting))]
        assert {run.id for run in waiting} <= set(begun[: len(others) + 3]), "they waited behind the busy one's queue"


async def test_a_run_that_waits_for_a_slot_says_so(gate: HeldCalls, serve: Serve) -> None:
    async with serve(max_running=1) as server, calling(server.grpc.address) as caller:
        first = await caller.send(await caller.agent(), script(text="has the slot"))
        await patiently(gate.held.get())
        second = await caller.send(await caller.agent(), script(text="has none"))
        told = await caller.get(second.id)
        assert (told.phase, told.wait.reason) == (v1.RUN_PHASE_QUEUED, "NO_SLOT")
        gate.release(2)
        assert [(await caller.ended(run.id)).status for run in (first, second)] == [v1.RUN_STATUS_COMPLETED] * 2
