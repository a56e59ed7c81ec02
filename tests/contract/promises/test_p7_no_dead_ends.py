"""P7. No dead ends: a pending action has a deadline and an outcome, and a message while one is pending follows a
rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from tests.contract.promises.doors import Door, Open, Refused, approves, returns_of
from tests.faults.caller import PATIENCE_S, patiently, script
from tests.fixtures.clock import ManualClock
from tests.fixtures.tools import Workshop

PLAY = script(steps=[{"tool_calls": [{"name": "risky"}]}, {"text": "as you wish"}])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(workshop: Workshop, settings: Settings, clock: ManualClock, opened: Open) -> AsyncIterator[Door]:
    """A door of a server that goes by that clock."""
    changed = settings.model_copy(update={"drain_grace_s": 0, "http_address": "127.0.0.1:0"})
    async with app.running(changed, ProviderSettings.model_construct(), clock) as server:
        assert server.http is not None
        async with opened(server.grpc.address, server.http.address) as door:
            yield door


async def _moving(clock: ManualClock, awaited: Any) -> Any:
    """Its result, while time goes on: what waits for a lane looks again after a moment."""
    task = asyncio.ensure_future(awaited)
    while not task.done():
        await clock.advance(0.01)
        await asyncio.wait((task,), timeout=0.01)
    return await task


async def _asks(door: Door, agent: str, **more: Any) -> str:
    """A run that has stopped for an approval."""
    run_id = (await door.send(agent, PLAY, **more)).run_id
    ended = await patiently(door.ended(run_id))
    assert (ended["status"], ended["stop_reason"]) == ("completed", "requires_approval")
    return run_id


async def test_what_nobody_answers_has_an_outcome_at_its_deadline(
    timed: Door, clock: ManualClock, workshop: Workshop
) -> None:
    agent = await timed.agent()
    asked = await _asks(timed, agent, limits={"action_timeout": 60})
    (call,) = await timed.pending(agent)
    await clock.advance(59)
    assert await timed.pending(agent) == [call]
    await clock.advance(1.001)
    async with asyncio.timeout(PATIENCE_S):
        while await timed.pending(agent):
            await clock.advance(0.1)

    after = (await timed.send(agent, script(text="on we go"))).run_id
    assert (await _moving(clock, timed.ended(after)))["stop_reason"] == "end_turn"
    assert (await timed.run(asked))["stop_reason"] == "requires_approval"
    with pytest.raises(Refused) as refused:
        await timed.answer(agent, approves(call))
    assert refused.value.reason == "ACTION_ALREADY_ANSWERED"
    assert workshop.calls == []


async def test_a_message_while_an_action_is_pending_denies_it_and_goes_on(workshop: Workshop, door: Door) -> None:
    agent = await door.agent()
    await _asks(door, agent)
    (call,) = await door.pending(agent)
    run_id = (await door.send(agent, script(text="never mind"))).run_id

    assert (await patiently(door.ended(run_id)))["stop_reason"] == "end_turn"
    assert returns_of(await door.entries(run_id)) == {call: "error"}
    assert (await door.pending(agent), workshop.calls) == ([], [])


async def test_a_message_that_waits_for_what_is_pending_runs_once_it_is_answered(
    workshop: Workshop, door: Door
) -> None:
    agent = await door.agent()
    await _asks(door, agent)
    (call,) = await door.pending(agent)
    waiting = (await door.send(agent, script(text="afterwards"), scheduling={"when_pending": "enqueue"})).run_id
    assert (await door.run(waiting))["status"] == "created"
    answered = (await door.answer(agent, approves(call))).run_id

    assert [(await patiently(door.ended(each)))["stop_reason"] for each in (answered, waiting)] == ["end_turn"] * 2
    assert [call.tool.name for call in workshop.calls] == ["risky"]


async def test_a_message_that_must_not_deny_what_is_pending_is_refused_and_names_it(door: Door) -> None:
    agent = await door.agent()
    asked = await _asks(door, agent)
    (request,) = [each for each in await door.entries(asked) if each["message_type"] == "approval_request_message"]

    with pytest.raises(Refused, match="waiting for approval on a tool call") as refused:
        await door.send(agent, "hello?", scheduling={"when_pending": "reject"})
    assert request["id"] in refused.value.named
    assert len(await door.pending(agent)) == 1
