"""P3. In order: runs of a conversation execute one at a time, in order of acceptance; conversations in parallel."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.contract.promises.conftest import HELD
from tests.contract.promises.doors import Door
from tests.faults.caller import patiently, script
from tests.fixtures.scripted_gate import HeldCalls


async def test_what_is_sent_after_an_acknowledgement_runs_later(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    accepted = [(await door.send(agent, script(text="answer"))).run_id for _ in range(5)]
    for run_id in accepted:
        await door.ended(run_id)

    assert [(await patiently(gate.begun.get())).run_id for _ in accepted] == accepted


async def test_runs_of_a_conversation_execute_one_at_a_time(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    sent = {each.run_id for each in await asyncio.gather(*(door.send(agent, script(text=HELD)) for _ in range(4)))}
    for _ in range(4):
        call, _ = await patiently(gate.held.get())
        assert gate.under_way == 1
        others = [await door.run(run_id) for run_id in sent - {call.run_id}]
        assert {run["status"] for run in others} <= {"created"}
        sent.remove(call.run_id)
        gate.release()
        assert (await patiently(door.ended(call.run_id)))["status"] == "completed"


async def test_conversations_run_in_parallel(gate: HeldCalls, door: Door) -> None:
    sent = {(await door.send(await door.agent(), script(text=HELD))).run_id for _ in range(2)}
    under_way = {(await patiently(gate.held.get()))[0].run_id for _ in range(2)}

    assert under_way == sent
    gate.release(2)
    for run_id in sent:
        assert (await door.ended(run_id))["status"] == "completed"


async def test_a_run_behind_one_whose_start_time_has_not_come_waits_for_it(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    later = datetime.now(UTC) + timedelta(days=1)
    scheduling = {"start_time": later.isoformat(), "priority": 1, "fairness_key": "nightly"}
    first = (await door.send(agent, script(text="later"), scheduling=scheduling)).run_id
    second = (await door.send(agent, script(text="answer"))).run_id
    other = (await door.send(await door.agent(), script(text="answer"))).run_id
    assert (await door.ended(other))["status"] == "completed"
    assert [(await door.run(run_id))["status"] for run_id in (first, second)] == ["created"] * 2

    await door.cancel(agent, first)
    assert (await door.ended(second))["status"] == "completed"
    assert [(await patiently(gate.begun.get())).run_id for _ in range(2)] == [other, second]
