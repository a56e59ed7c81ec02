"""P4. Terminal is final: nothing changes a finished run's status, reason, messages or usage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.promises.conftest import HELD
from tests.contract.promises.doors import Door, Place, Refused, approves
from tests.faults.caller import patiently, script
from tests.fixtures.scripted_gate import HeldCalls


async def _followed(door: Door, run_id: str) -> list[Place]:
    return [place async for place in door.follow(run_id)]


async def _all(door: Door, run_id: str) -> Any:
    return await door.run(run_id), await door.entries(run_id), await _followed(door, run_id), await door.log(run_id)


async def test_a_cancelled_run_stays_cancelled(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    run_id = (await door.send(agent, script(text=HELD))).run_id
    await patiently(gate.held.get())
    await door.cancel(agent, run_id)
    ended = await patiently(door.ended(run_id))
    assert (ended["status"], ended["stop_reason"]) == ("cancelled", "cancelled")
    before = await _all(door, run_id)

    gate.release()
    after = (await door.send(agent, script(text="next"))).run_id
    assert (await door.ended(after))["status"] == "completed"
    assert await _all(door, run_id) == before


async def test_a_cancel_of_a_finished_run_changes_nothing(door: Door) -> None:
    agent = await door.agent("scripted/echo")
    run_id = (await door.send(agent, "hello")).run_id
    await door.ended(run_id)
    before = await _all(door, run_id)
    await door.cancel(agent, run_id)

    assert await _all(door, run_id) == before


async def test_a_queued_run_is_cancelled_and_the_others_go_on(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    head = (await door.send(agent, script(text=HELD))).run_id
    await patiently(gate.held.get())
    queued, later = [(await door.send(agent, script(text="answer"))).run_id for _ in range(2)]
    await door.cancel(agent, queued)
    assert (await door.run(queued))["status"] == "cancelled"

    gate.release()
    assert [(await door.ended(run_id))["status"] for run_id in (head, later)] == ["completed"] * 2


async def test_an_answer_that_comes_too_late_changes_nothing(door: Door) -> None:
    agent = await door.agent()
    play = script(steps=[{"tool_calls": [{"name": "risky"}]}, {"text": "on"}])
    run_id = (await door.send(agent, play)).run_id
    assert (await door.ended(run_id))["stop_reason"] == "requires_approval"
    (call,) = await door.pending(agent)
    await door.cancel(agent, run_id)
    await door.ended((await door.send(agent, script(text="next"))).run_id)  # behind what the cancel settles
    before = await _all(door, run_id)

    with pytest.raises(Refused):
        await door.answer(agent, approves(call))
    assert await door.pending(agent) == []
    assert await _all(door, run_id) == before
