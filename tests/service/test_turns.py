"""Turns of several runs: messages that come while answers are pending, cancels, and following a turn to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused, request, script, seconds
from tests.faults.gated import at, hold_calls
from tests.faults.run_log import check_log, kinds
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import (
    ASKS,
    DONE,
    answer,
    answers,
    approve,
    call_id,
    deny,
    end,
    furnish,
    pending,
    resolved,
    respond,
    returns,
    stopped,
)

_HELD = "held in the middle"
_WAITS = v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
_CANCELLED = (v1.RUN_STATUS_CANCELLED, v1.STOP_REASON_CANCELLED)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so behind their second chunk."""
    return hold_calls(monkeypatch, at(2, _HELD))


@pytest.fixture
async def caller(workshop: Workshop, gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


# ---- a message while answers are pending ----


async def test_a_message_denies_what_is_pending_and_goes_on_from_there(caller: Caller, workshop: Workshop) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    second = await caller.ended((await caller.send(agent, script(text="never mind"))).id)
    check_log(second, await caller.log(second.id))
    assert (end(second), second.continues_run_id, second.turn_id) == (DONE, first.id, first.turn_id)
    assert kinds(await caller.messages(second.id)) == [
        "approval_response_message",
        "tool_return_message",
        "user_message",
        "assistant_message",
    ]
    ((told, is_error),) = await returns(caller, second)
    assert told.startswith("Error: request to call tool denied. User reason: ")
    assert is_error
    now = await caller.get(first.id)
    assert (end(now), now.continued_by_run_id, list(now.pending_actions)) == (ASKS, second.id, [])
    assert await pending(caller, agent_id=agent) == []
    refusal = await refused(caller.runs.CreateMessageAsync(answers(agent, approve(first)), timeout=PATIENCE_S))
    assert refusal.reason == "NO_PENDING_ACTION"
    assert workshop.calls == []


async def test_a_message_may_wait_for_the_answer_and_says_so(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    waiting = await caller.send(agent, script(text="afterwards"), scheduling=_WAITS)
    behind = await caller.send(agent, script(text="and then"))
    told = await caller.get(waiting.id)
    assert (told.status, told.phase) == (v1.RUN_STATUS_CREATED, v1.RUN_PHASE_BLOCKED)
    assert (told.wait.reason, told.wait.blocking_run_id) == ("ACTION_PENDING", first.id)
    told = await caller.get(behind.id)
    assert (told.wait.reason, told.wait.blocking_run_id) == ("CONVERSATION_BUSY", waiting.id)
    second = await answer(caller, answers(agent, approve(first)))
    ended = [await caller.ended(run.id) for run in (waiting, behind)]
    assert [end(run) for run in (second, *ended)] == [DONE] * 3
    assert await resolved(caller, second) == ["caller"]
    positions = [(await caller.messages(run.id))[0].position for run in (first, second, *ended)]
    assert positions == sorted(positions)


async def test_a_message_may_refuse_to_stand_behind_what_is_pending(caller: Caller) -> None:
    agent = await caller.agent()
    picky = v1.Scheduling(when_pending=v1.WHEN_PENDING_REJECT)
    before = await caller.ended((await caller.send(agent, script(text="fine"), scheduling=picky)).id)
    assert end(before) == DONE
    first = await stopped(caller, agent, "risky")
    refusal = await refused(
        caller.runs.CreateMessageAsync(request(agent, "hello", scheduling=picky), timeout=PATIENCE_S)
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PENDING_APPROVAL")
    asks = (await caller.messages(first.id))[-1]
    assert refusal.metadata == {"run_id": first.id, "pending_request_id": asks.id}
    assert (await caller.get(first.id)).pending_actions


async def test_messages_accepted_during_the_asking_run_deny_when_their_turn_comes(
    caller: Caller, gate: HeldCalls, workshop: Workshop
) -> None:
    agent = await caller.agent()
    text = script(steps=[{"text": _HELD, "tool_calls": [{"name": "risky"}]}, {"text": "x"}])
    first = await caller.send(agent, text)
    await patiently(gate.held.get())
    denies = await caller.send(agent, script(text="next"))
    gate.release()
    assert end(await caller.ended(denies.id)) == DONE
    assert (end(await caller.ended(first.id)), workshop.calls) == (ASKS, [])
    assert [is_error for _, is_error in await returns(caller, denies)] == [True]


# ---- cancelling what waits ----


async def test_cancelling_a_run_that_waits_denies_it_and_calls_no_model(
    caller: Caller, gate: HeldCalls, workshop: Workshop
) -> None:
    agent = await caller.agent()
    conversation = await caller.conversation(agent)
    for where in ({}, {"conversation_id": conversation}):
        first = await stopped(caller, agent, "risky", "plain", **where)
        calls = gate.begun.qsize()
        told = await caller.cancel(first.id)
        assert (told.id, end(told)) == (first.id, ASKS)
        second = await caller.ended(told.continued_by_run_id)
        check_log(second, await caller.log(second.id))
        assert (end(second), second.turn_id) == (_CANCELLED, first.turn_id)
        assert [is_error for _, is_error in await returns(caller, second)] == [True, True]
        assert gate.begun.qsize() == calls
        now = await caller.get(first.id)
        assert (end(now), list(now.pending_actions)) == (ASKS, [])
        assert await caller.cancel(first.id) == now
        third = await caller.ended((await caller.send(agent, script(text="on we go"), **where)).id)
        assert end(third) == DONE
    assert workshop.calls == []


async def test_a_run_that_waits_cannot_be_rolled_back(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    refusal = await refused(caller.runs.CancelRun(v1.CancelRunRequest(run_id=first.id, rollback=True)))
    assert (refusal.reason, refusal.fields) == ("UNSUPPORTED_FEATURE", ["rollback"])
    assert (await caller.get(first.id)).pending_actions


async def test_a_cancel_that_races_an_answer_leaves_one_of_the_two(caller: Caller, workshop: Workshop) -> None:
    agent = await caller.agent()
    for _ in range(5):
        first = await stopped(caller, agent, "risky")
        called = len(workshop.calls)
        answered = caller.runs.CreateMessageAsync(answers(agent, approve(first)), timeout=PATIENCE_S)
        _, outcome = await asyncio.gather(caller.cancel(first.id), answered, return_exceptions=True)
        second = await caller.ended((await caller.get(first.id)).continued_by_run_id)
        check_log(second, await caller.log(second.id))
        if isinstance(outcome, v1.Run):
            assert outcome.id == second.id
            assert (end(second), len(workshop.calls)) == (DONE, called + 1)
        else:
            assert (end(second), len(workshop.calls)) == (_CANCELLED, called)


async def test_a_cancelled_run_is_rolled_back_out_of_the_conversation(caller: Caller, gate: HeldCalls) -> None:
    agent = await caller.agent()
    await caller.ended((await caller.send(agent, script(text="stays"))).id)
    run = await caller.send(agent, script(text=_HELD))
    await patiently(gate.held.get())
    await caller.runs.CancelRun(v1.CancelRunRequest(run_id=run.id, rollback=True), timeout=PATIENCE_S)
    assert end(await caller.ended(run.id)) == _CANCELLED
    ask = v1.ListMessagesRequest(conversation_id="default", agent_id=agent)
    listed = (await caller.conversations.ListMessages(ask, timeout=PATIENCE_S)).messages
    assert run.id not in {message.run_id for message in listed}
    assert len(listed) == 2
    assert kinds(await caller.messages(run.id)) == ["user_message"]


# ---- following a turn ----


async def test_a_turn_is_waited_for_to_its_end(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    wait = v1.WaitRunRequest(run_id=first.id, until=v1.WAIT_UNTIL_TURN_END, timeout=seconds(PATIENCE_S))
    waiting = asyncio.ensure_future(caller.runs.WaitRun(wait, timeout=PATIENCE_S + 5))
    at_once = v1.WaitRunRequest(run_id=first.id, until=v1.WAIT_UNTIL_TURN_END, timeout=seconds(0))
    assert (await caller.runs.WaitRun(at_once)).id == first.id
    second = (await respond(caller, agent, approve(first))).run
    told = await waiting
    assert (told.id, end(told)) == (second.id, DONE)
    until_action = v1.WaitRunRequest(run_id=first.id, until=v1.WAIT_UNTIL_ACTION_OR_TERMINAL)
    assert (await caller.runs.WaitRun(until_action)).id == first.id


async def test_a_turn_is_watched_to_its_end_and_resumed_in_its_middle(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    seen: list[tuple[str, int]] = []
    stopped_for_it = asyncio.Event()

    async def follow(run_id: str, after_sequence: int) -> v1.StreamEnd:
        stream = caller.watch(run_id, after_sequence=after_sequence, follow_continuations=True)
        async for frame in stream:
            if frame.HasField("event"):
                seen.append((frame.event.run_id, frame.event.sequence))
                if frame.event.HasField("finished"):
                    stopped_for_it.set()
            elif frame.HasField("end"):
                return frame.end
        raise AssertionError("cut")

    watching = asyncio.ensure_future(follow(first.id, 0))
    await patiently(stopped_for_it.wait())
    second = await caller.ended((await respond(caller, agent, deny(first))).run.id)
    finished = await patiently(watching)
    assert finished.reason == v1.StreamEnd.REASON_RUN_FINISHED
    whole = [(run.id, event.sequence) for run in (first, second) for event in await caller.log(run.id)]
    assert seen == whole
    for place in (3, first.last_sequence, first.last_sequence + 2):
        seen.clear()
        await follow(*whole[place - 1])
        assert seen == whole[place:]


async def test_a_watch_of_one_run_names_the_run_that_continues(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    second = await answer(caller, answers(agent, approve(first)))
    frames = [frame async for frame in caller.watch(first.id)]
    assert frames[-1].end.next_run_id == second.id
    assert frames[-2].event.finished.run.pending_actions[0].tool_call_id == call_id(first)
