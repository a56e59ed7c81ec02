"""Messages to agents whose tools run here: to the end of the turn, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

import sendoff
from sendoff import actions, methods, v1
from tests.unit.client.logs import delta, end, frame, said
from tests.unit.client.scripted_server import (
    AGENT_ID,
    RESET,
    RUN_ID,
    UNAVAILABLE,
    Asker,
    Failure,
    ScriptedServer,
    Silence,
)

NEXT_ID = "run-00000000-0000-4000-8000-000000000002"
PATIENCE_S = 30


def client_call(call_id: str, tool: str, **arguments: Any) -> v1.PendingAction:
    call = v1.ToolCall(tool_call_id=call_id, name=tool, arguments=json.dumps(arguments))
    return v1.PendingAction(
        tool_call_id=call_id, kind=v1.ACTION_KIND_CLIENT_TOOL, call=call, run_id=RUN_ID, agent_id=AGENT_ID
    )


def approval(call_id: str = "call-1") -> v1.PendingAction:
    asked = client_call(call_id, "pay", euro=5)
    asked.kind = v1.ACTION_KIND_APPROVAL
    return asked


def ended(run_id: str, *pending: v1.PendingAction) -> v1.Run:
    return v1.Run(id=run_id, agent_id=AGENT_ID, status=v1.RUN_STATUS_COMPLETED, pending_actions=pending)


def log(run: v1.Run) -> list[v1.WatchRunResponse]:
    """Its log: a message and the end."""
    message = v1.RunEvent(run_id=run.id, sequence=1, message=said(f"message-{run.id}", f"I am {run.id[-1]}."))
    return [frame(message), frame(v1.RunEvent(run_id=run.id, sequence=2, finished=v1.RunFinished(run=run)))]


def responded(run_id: str = NEXT_ID) -> v1.RespondToActionsResponse:
    return v1.RespondToActionsResponse(run=v1.Run(id=run_id, status=v1.RUN_STATUS_CREATED))


def plan_runs(server: ScriptedServer, *runs: v1.Run) -> None:
    """A message is taken, and these are how its runs are found after each look at a log."""
    server.plan(methods.CREATE_MESSAGE_ASYNC, v1.Run(id=RUN_ID, status=v1.RUN_STATUS_CREATED))
    server.plan_streams(*map(log, runs))
    server.plan(methods.GET_RUN, *runs)


def plan(server: ScriptedServer, *pending: v1.PendingAction) -> None:
    """A message is taken, its run stops for these, and the run that continues ends the turn."""
    plan_runs(server, ended(RUN_ID, *pending), ended(NEXT_ID))


def decisions(server: ScriptedServer) -> list[v1.ActionDecision]:
    (request,) = server.asked(v1.RespondToActionsRequest)
    return list(request.decisions)


def results(server: ScriptedServer) -> list[tuple[str, str, bool]]:
    """The results that were given: of which call, which, and whether it is an error."""
    given = [each.tool for each in decisions(server)]
    return [(t.tool_call_id, t.tool_return.text, t.status == v1.TOOL_RETURN_STATUS_ERROR) for t in given]


def weather(city: str) -> dict[str, Any]:
    """Tell the weather."""
    return {"city": city, "sun": True}


@pytest.fixture
def hanging() -> Iterator[Callable[[], None]]:
    """A tool that brings nothing as long as its test runs."""
    over = threading.Event()

    def hang() -> None:
        over.wait(PATIENCE_S)

    yield hang
    over.set()


async def test_a_tool_is_called_with_what_the_model_wrote_and_its_result_ends_the_turn(
    asker: Asker, server: ScriptedServer
) -> None:
    plan(server, client_call("a", "weather", city="Ulm"))
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    turn = await asker.call("run_with_tools", AGENT_ID, "How is it?", tools=[weather])

    assert results(server) == [("a", '{"city": "Ulm", "sun": true}', False)]
    assert (turn.run, turn.text, turn.rounds, turn.open_actions) == (ended(NEXT_ID), "I am 1.\n\nI am 2.", 1, [])


async def test_the_request_brings_the_tools_beside_those_that_were_given(asker: Asker, server: ScriptedServer) -> None:
    plan(server)
    other = v1.ClientTool(name="other")

    await asker.call("run_with_tools", AGENT_ID, "Hi", tools=[weather], client_tools=[other], request_id="mine")

    (request,) = server.asked(v1.CreateMessageAsyncRequest)
    assert (request.input.text, request.request_id) == ("Hi", "mine")
    assert [tool.name for tool in request.client_tools] == ["other", "weather"]
    assert json.loads(request.client_tools[1].parameters.json)["required"] == ["city"]


async def test_calls_of_one_step_are_made_at_the_same_time_and_answered_together(
    asker: Asker, server: ScriptedServer
) -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)

    def meet(name: str) -> str:
        both.wait()
        return name

    plan(server, client_call("a", "meet", name="Ann"), client_call("b", "meet", name="Ben"))
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    await asker.call("run_with_tools", AGENT_ID, "Meet", tools=[meet])

    assert results(server) == [("a", "Ann", False), ("b", "Ben", False)]


async def test_no_more_calls_are_made_at_once_than_may_be(asker: Asker, server: ScriptedServer) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def count() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01)  # long enough for others to come in, were they let
        with lock:
            under_way -= 1

    plan(server, *[client_call(str(n), "count") for n in range(5)])
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    await asker.call("run_with_tools", AGENT_ID, "Count", tools=[count], max_parallel_tools=1)

    assert (most, len(results(server))) == (1, 5)


async def test_what_a_tool_raises_is_told_to_the_model(asker: Asker, server: ScriptedServer) -> None:
    def fail(city: str) -> None:
        raise LookupError(f"no {city}")

    plan(server, client_call("a", "fail", city="Ulm"), client_call("b", "fail", town="Ulm"))
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    await asker.call("run_with_tools", AGENT_ID, "Fail", tools=[fail])

    assert results(server) == [
        ("a", "LookupError: no Ulm", True),
        ("b", "arguments: city missing", True),
    ]


async def test_a_tool_that_brings_nothing_in_time_is_told_to_the_model(
    asker: Asker, server: ScriptedServer, hanging: Callable[[], None]
) -> None:
    plan(server, client_call("a", "hang"))
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    turn = await asker.call("run_with_tools", AGENT_ID, "Hang", tools=[hanging], tool_timeout_s=0.05)

    assert results(server) == [("a", "hang has brought nothing within 0.05 s; it may still be under way", True)]
    assert turn.run.id == NEXT_ID


async def test_an_answer_that_was_lost_is_sent_again_without_a_second_call(
    asker: Asker, server: ScriptedServer
) -> None:
    called: list[str] = []
    plan(server, client_call("a", "note", text="once"))
    server.plan(methods.RESPOND_TO_ACTIONS, UNAVAILABLE, responded())

    def note(text: str) -> None:
        called.append(text)

    await asker.call("run_with_tools", AGENT_ID, "Note", tools=[note])

    first, second = server.asked(v1.RespondToActionsRequest)
    assert (first == second, called) == (True, ["once"])


async def test_a_cut_watch_goes_on_and_tools_are_called_once(asker: Asker, server: ScriptedServer) -> None:
    called: list[str] = []
    stopped, last = ended(RUN_ID, client_call("a", "note", text="once")), ended(NEXT_ID)
    server.plan(methods.CREATE_MESSAGE_ASYNC, v1.Run(id=RUN_ID))
    first, second = log(stopped)
    server.plan_streams([first, RESET], [second], log(last))
    server.plan(methods.GET_RUN, stopped, last)
    server.plan(methods.RESPOND_TO_ACTIONS, responded())
    seen: list[Any] = []

    def note(text: str) -> None:
        called.append(text)

    turn = await asker.call("run_with_tools", AGENT_ID, "Note", tools=[note], on_entry=seen.append)

    assert (called, turn.text) == (["once"], "I am 1.\n\nI am 2.")
    assert [(entry.run_id, entry.sequence) for entry in seen] == [(RUN_ID, 1), (RUN_ID, 2), (NEXT_ID, 1), (NEXT_ID, 2)]


async def test_whoever_looks_on_is_told_the_text_being_written(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, v1.Run(id=RUN_ID))
    server.plan_streams([frame(delta("m", "I a")), *log(ended(RUN_ID))])
    server.plan(methods.GET_RUN, ended(RUN_ID))
    seen: list[Any] = []

    await asker.call("run_with_tools", AGENT_ID, "Hi", on_entry=seen.append)

    assert server.asked(v1.WatchRunRequest)[0].include_deltas
    assert seen[0] == delta("m", "I a")


@pytest.mark.parametrize("reason", ["NO_PENDING_ACTION", "ACTION_ALREADY_ANSWERED", "INVALID_TOOL_CALL_IDS"])
async def test_the_turn_is_followed_where_somebody_else_was_faster(
    reason: str, asker: Asker, server: ScriptedServer
) -> None:
    stopped, last = ended(RUN_ID, client_call("a", "weather", city="Ulm")), ended(NEXT_ID)
    gone_on = ended(RUN_ID)
    gone_on.continued_by_run_id = NEXT_ID
    plan_runs(server, stopped)
    server.plan(methods.RESPOND_TO_ACTIONS, Failure(grpc.StatusCode.ABORTED, reason=reason))
    server.plan(methods.GET_RUN, gone_on, gone_on, last)
    server.plan_streams([end(v1.StreamEnd.REASON_RUN_FINISHED, 2)], log(last))
    seen: list[Any] = []

    turn = await asker.call("run_with_tools", AGENT_ID, "How is it?", tools=[weather], on_entry=seen.append)

    assert turn.run == last
    assert [request.after_sequence for request in server.asked(v1.WatchRunRequest)] == [0, 2, 0]
    assert [(entry.run_id, entry.sequence) for entry in seen] == [(RUN_ID, 1), (RUN_ID, 2), (NEXT_ID, 1), (NEXT_ID, 2)]


async def test_an_answer_that_is_refused_though_the_run_waits_for_it_is_an_error(
    asker: Asker, server: ScriptedServer
) -> None:
    stopped = ended(RUN_ID, client_call("a", "weather", city="Ulm"))
    plan_runs(server, stopped)
    server.plan(methods.GET_RUN, stopped)
    server.plan(methods.RESPOND_TO_ACTIONS, Failure(grpc.StatusCode.ABORTED, reason="ACTION_ALREADY_ANSWERED"))

    with pytest.raises(sendoff.ActionAlreadyAnswered):
        await asker.call("run_with_tools", AGENT_ID, "How is it?", tools=[weather])


async def test_a_request_that_is_sent_again_is_followed_from_where_it_is(asker: Asker, server: ScriptedServer) -> None:
    before, last = ended(RUN_ID), ended(NEXT_ID)
    before.continued_by_run_id = NEXT_ID
    plan_runs(server, before, last)

    turn = await asker.call("run_with_tools", AGENT_ID, "Again", request_id="mine", tools=[weather])

    assert (turn.run, turn.rounds, server.asked(v1.RespondToActionsRequest)) == (last, 0, [])


OTHERS = actions.approval(approval(), None, {"euro": 4})


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (True, actions.approval(approval())),
        (False, actions.denial(approval())),
        ("too much", actions.denial(approval(), "too much")),
        (OTHERS, OTHERS),
    ],
)
async def test_approvals_are_asked_for(
    answer: sendoff.Answer, decision: v1.ActionDecision, asker: Asker, server: ScriptedServer
) -> None:
    plan(server, approval())
    server.plan(methods.RESPOND_TO_ACTIONS, responded())
    asked: list[v1.PendingAction] = []

    def approve(action: v1.PendingAction) -> sendoff.Answer:
        asked.append(action)
        return answer

    await asker.call("run_with_tools", AGENT_ID, "Pay him", approve=approve)

    assert (asked, decisions(server)) == ([approval()], [decision])


async def test_what_a_newer_server_asks_for_is_not_approved_by_accident(asker: Asker, server: ScriptedServer) -> None:
    unheard_of = approval()
    unheard_of.kind = 99  # type: ignore[assignment]  # as it arrives from a newer server
    plan_runs(server, ended(RUN_ID, unheard_of))

    turn = await asker.call("run_with_tools", AGENT_ID, "Pay him", approve=lambda _: True)

    assert turn.open_actions == [unheard_of]


@pytest.mark.parametrize("approve", [None, lambda _: None])
async def test_what_nobody_here_can_answer_stays_open(approve: Any, asker: Asker, server: ScriptedServer) -> None:
    pending = [approval("a"), client_call("b", "elsewhere"), client_call("c", "weather", city="Ulm")]
    partly = ended(RUN_ID, *pending)
    partly.pending_actions[2].decision.tool.tool_call_id = "c"
    plan_runs(server, ended(RUN_ID, *pending))
    server.plan(methods.GET_RUN, partly)
    server.plan(methods.RESPOND_TO_ACTIONS, v1.RespondToActionsResponse(still_pending=pending[:2]))

    turn = await asker.call("run_with_tools", AGENT_ID, "Pay him", tools=[weather], approve=approve)

    assert [call for call, _, _ in results(server)] == ["c"]
    assert (turn.run, turn.open_actions) == (partly, pending[:2])


async def test_an_answer_that_is_none_is_an_error(asker: Asker, server: ScriptedServer) -> None:
    plan(server, approval())
    with pytest.raises(TypeError, match="approve returned 1"):
        await asker.call("run_with_tools", AGENT_ID, "Pay him", approve=lambda _: 1)
    assert server.asked(v1.RespondToActionsRequest) == []


async def test_after_so_many_rounds_the_run_is_left_waiting(asker: Asker, server: ScriptedServer) -> None:
    again = client_call("b", "weather", city="Ulm")
    again.run_id = NEXT_ID
    waits = ended(NEXT_ID, again)
    plan_runs(server, ended(RUN_ID, client_call("a", "weather", city="Ulm")), waits)
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    turn = await asker.call("run_with_tools", AGENT_ID, "On and on", tools=[weather], max_rounds=1)

    assert (turn.run, turn.rounds, turn.open_actions) == (waits, 1, [again])


async def test_when_the_time_is_up_the_run_comes_back_as_it_is(asker: Asker, server: ScriptedServer) -> None:
    running = v1.Run(id=RUN_ID, status=v1.RUN_STATUS_RUNNING)
    server.plan(methods.CREATE_MESSAGE_ASYNC, running)
    server.plan_streams([log(running)[0], Silence()])
    server.plan(methods.GET_RUN, running)

    turn = await asker.call("run_with_tools", AGENT_ID, "Slowly", timeout_s=0.5)

    assert (turn.run, turn.text) == (running, "I am 1.")


@pytest.mark.parametrize("cancel", [True, False])
async def test_the_run_is_cancelled_when_an_exception_ends_the_work_and_that_is_wanted(
    cancel: bool, asker: Asker, server: ScriptedServer
) -> None:
    plan(server, approval())
    server.plan(methods.CANCEL_RUN, ended(RUN_ID))

    def approve(_: v1.PendingAction) -> bool:
        raise EOFError("nobody is there")

    with pytest.raises(EOFError):
        await asker.call("run_with_tools", AGENT_ID, "Pay him", approve=approve, cancel_on_exit=cancel)

    assert [request.run_id for request in server.asked(v1.CancelRunRequest)] == [RUN_ID] * cancel


@pytest.mark.parametrize("option", ["tool_timeout_s", "max_parallel_tools"])
async def test_limits_that_nothing_could_keep_are_refused(option: str, asker: Asker, server: ScriptedServer) -> None:
    with pytest.raises(ValueError, match=option):
        await asker.call("run_with_tools", AGENT_ID, "Hi", **{option: 0})
    assert server.requests == []


# ---- coroutines ----


async def test_coroutines_are_called_and_asked_on_the_loop(server: ScriptedServer) -> None:
    loop = asyncio.get_running_loop()

    async def here(call: v1.ToolCall) -> str:
        assert asyncio.get_running_loop() is loop
        return call.tool_call_id

    async def approve(action: v1.PendingAction) -> bool:
        assert asyncio.get_running_loop() is loop
        return action.call.name == "pay"

    plan(server, client_call("a", "here"), approval("b"))
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    async with sendoff.AsyncClient(server.address) as client:
        await client.run_with_tools(AGENT_ID, "Hi", tools=[here], approve=approve)

    assert {each.WhichOneof("decision") for each in decisions(server)} == {"approval", "tool"}


async def test_a_coroutine_that_brings_nothing_in_time_is_cancelled(server: ScriptedServer) -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    plan(server, client_call("a", "hang"))
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    async with sendoff.AsyncClient(server.address) as client:
        await client.run_with_tools(AGENT_ID, "Hang", tools=[hang], tool_timeout_s=0.05)

    assert cancelled.is_set()
    assert results(server)[0][2]


async def test_cancelling_the_task_cancels_its_tools_and_the_run_if_that_is_wanted(server: ScriptedServer) -> None:
    called, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        called.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    plan(server, client_call("a", "hang"))
    server.plan(methods.CANCEL_RUN, ended(RUN_ID))

    async with sendoff.AsyncClient(server.address) as client, asyncio.timeout(PATIENCE_S):
        work = client.run_with_tools(AGENT_ID, "Hang", tools=[hang], cancel_on_exit=True)
        task = asyncio.create_task(work)
        await called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert cancelled.is_set()
    assert [request.run_id for request in server.asked(v1.CancelRunRequest)] == [RUN_ID]


async def test_a_coroutine_that_cancels_itself_is_a_failed_call(server: ScriptedServer) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    plan(server, client_call("a", "give_up"))
    server.plan(methods.RESPOND_TO_ACTIONS, responded())

    async with sendoff.AsyncClient(server.address) as client:
        await client.run_with_tools(AGENT_ID, "Hang", tools=[give_up])

    assert results(server) == [("a", "the call was cancelled", True)]


async def test_the_blocking_client_refuses_coroutines_before_anything_is_sent(server: ScriptedServer) -> None:
    async def tool() -> None: ...

    def ask() -> None:
        with sendoff.Client(server.address) as client:
            client.run_with_tools(AGENT_ID, "Hi", tools=[tool])

    with pytest.raises(TypeError, match="tool is a coroutine function"):
        await asyncio.to_thread(ask)
    assert server.requests == []
