"""A message that does not wait for the run before it: it takes its place, with or without its messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sendoff import v1
from sendoff_server.tools.port import ToolCall, ToolResult
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, script
from tests.faults.gated import at, hold_calls
from tests.faults.run_log import check_log, texts
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import ASKS, DONE, end, furnish, returns, stopped

_HELD = "held in the middle"
_SUPERSEDED = (v1.RUN_STATUS_CANCELLED, v1.STOP_REASON_SUPERSEDED)
_INTERRUPTS = v1.Scheduling(when_busy=v1.WHEN_BUSY_INTERRUPT)
_ROLLS_BACK = v1.Scheduling(when_busy=v1.WHEN_BUSY_ROLLBACK)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so behind their second chunk."""
    return hold_calls(monkeypatch, at(2, _HELD))


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture
async def caller(gate: HeldCalls, workshop: Workshop, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def _held(gate: HeldCalls, caller: Caller, agent: str) -> v1.Run:
    run = await caller.send(agent, script(text=_HELD))
    await patiently(gate.held.get())
    return run


async def _listed(caller: Caller, agent: str) -> list[tuple[str, str]]:
    ask = v1.ListMessagesRequest(conversation_id="default", agent_id=agent, order_by="position")
    return texts((await caller.conversations.ListMessages(ask, timeout=PATIENCE_S)).messages)


@pytest.mark.parametrize(
    ("scheduling", "kept"), [(_INTERRUPTS, True), (_ROLLS_BACK, False)], ids=["interrupt", "rollback"]
)
async def test_a_newer_message_takes_the_place_of_the_run_at_work_and_of_those_that_wait(
    scheduling: v1.Scheduling, kept: bool, gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    running = await _held(gate, caller, agent)
    queued = await caller.send(agent, script(text="never begun"))
    newer = await caller.send(agent, script(text="at once"), scheduling=scheduling)
    ended = [await caller.ended(run.id) for run in (running, queued, newer)]
    assert [end(run) for run in ended] == [_SUPERSEDED, _SUPERSEDED, DONE]
    for run in ended:
        check_log(run, await caller.log(run.id))
    assert gate.under_way == 0, "the model call goes on"
    assert ended[0].cancel_reason
    old = ("user_message", script(text=_HELD))
    assert (old in await _listed(caller, agent)) == kept
    calls = [await patiently(gate.begun.get()) for _ in range(2)]
    assert (old in texts(calls[1].messages)) == kept
    assert texts(await caller.messages(running.id)) == [old]


async def test_an_idle_conversation_has_nothing_to_interrupt(caller: Caller) -> None:
    agent = await caller.agent()
    before = await caller.ended((await caller.send(agent, script(text="before"))).id)
    after = await caller.ended((await caller.send(agent, script(text="after"), scheduling=_ROLLS_BACK)).id)
    assert end(after) == DONE
    assert await caller.get(before.id) == before
    assert len(await _listed(caller, agent)) == 4


async def test_what_waits_for_an_answer_is_superseded_too(caller: Caller, workshop: Workshop) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    waits = v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
    waiting = await caller.send(agent, script(text="afterwards"), scheduling=waits)
    newer = await caller.ended((await caller.send(agent, script(text="now"), scheduling=_INTERRUPTS)).id)
    assert (end(newer), end(await caller.ended(waiting.id))) == (DONE, _SUPERSEDED)
    assert [is_error for _, is_error in await returns(caller, newer)] == [True]
    now = await caller.get(first.id)
    assert (end(now), now.continued_by_run_id) == (ASKS, newer.id)
    assert workshop.calls == []


async def test_a_tool_at_work_is_ended_and_the_history_stays_whole(
    gate: HeldCalls, caller: Caller, workshop: Workshop
) -> None:
    agent = await caller.agent()
    workshop.has("slow", _forever)
    text = script(steps=[{"tool_calls": [{"name": "slow"}]}, {"text": "x"}])
    running = await caller.send(agent, text)
    await patiently(workshop.begun.get())
    newer = await caller.ended((await caller.send(agent, script(text="at once"), scheduling=_INTERRUPTS)).id)
    ended = await caller.ended(running.id)
    assert (end(ended), end(newer)) == (_SUPERSEDED, DONE)
    check_log(ended, await caller.log(running.id))
    assert [is_error for _, is_error in await returns(caller, ended)] == [True]


async def _forever(call: ToolCall) -> ToolResult:
    await asyncio.Event().wait()
    raise AssertionError("nothing sets it")
