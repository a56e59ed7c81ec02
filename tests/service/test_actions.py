"""Approvals and client tools: what is answered, in which shape, by whom and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, calling, refused
from tests.faults.run_log import kinds
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import (
    ASKS,
    DONE,
    MINE,
    answer,
    answering,
    answers,
    approve,
    call_id,
    deny,
    end,
    furnish,
    give,
    pending,
    resolved,
    respond,
    returns,
    stopped,
)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture
async def caller(workshop: Workshop, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


# ---- what an answer does ----


async def test_an_approved_call_runs_and_the_turn_goes_on(workshop: Workshop, caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    assert workshop.calls == []
    second = await answer(caller, answers(agent, approve(first)))
    assert end(second) == DONE
    assert (second.continues_run_id, second.turn_id) == (first.id, first.turn_id)
    assert await returns(caller, second) == [("it is done", False)]
    assert kinds(await caller.messages(second.id)) == [
        "approval_response_message",
        "tool_return_message",
        "assistant_message",
    ]
    now = await caller.get(first.id)
    assert (now.continued_by_run_id, list(now.pending_actions), end(now)) == (second.id, [], ASKS)
    assert await resolved(caller, second) == ["caller"]


async def test_a_denied_call_does_not_run_and_the_model_reads_why(workshop: Workshop, caller: Caller) -> None:
    agent = await caller.agent()
    for reason in ("too risky", None):
        first = await stopped(caller, agent, "risky")
        second = await answer(caller, answers(agent, deny(first, reason=reason)))
        assert end(second) == DONE
        told = f"Error: request to call tool denied. User reason: {reason}"
        assert await returns(caller, second) == [(told, True)]
    assert workshop.calls == []


async def test_a_call_runs_with_edited_arguments(workshop: Workshop, caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    await answer(caller, answers(agent, approve(first, edited_arguments=v1.JsonObject(json='{"of": "care"}'))))
    assert [call.arguments for call in workshop.calls] == [{"of": "care"}]


async def test_the_result_of_a_client_tool_is_what_the_model_goes_on_with(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "mine")
    (action,) = first.pending_actions
    assert (action.kind, action.call.name) == (v1.ACTION_KIND_CLIENT_TOOL, "mine")
    results = v1.ToolReturnCreate(tool_returns=[give(first, text="seven").tool])
    request = answering(agent, v1.InputMessage(tool_return=results), client_tools=MINE)
    second = await answer(caller, request)
    assert end(second) == DONE
    assert await returns(caller, second) == [("seven", False)]


async def test_returns_come_in_the_order_denied_given_called_with_the_calls_that_were_held_back(
    caller: Caller, workshop: Workshop
) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "plain", "risky", "mine", "risky")
    assert [action.call.name for action in first.pending_actions] == ["risky", "mine", "risky"]
    assert workshop.calls == []
    second = await answer(caller, answers(agent, approve(first, 0), give(first, 1), deny(first, 2, "no")))
    assert await returns(caller, second) == [
        ("Error: request to call tool denied. User reason: no", True),
        ("from outside", False),
        ("it is plain", False),
        ("it is done", False),
    ]


async def test_a_message_behind_the_answers_joins_in_the_next_step(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    behind = '{"script": {"text": "I read you"}}'
    second = await answer(caller, answers(agent, approve(first), behind=behind))
    messages = await caller.messages(second.id)
    assert kinds(messages)[2:] == ["user_message", "assistant_message"]
    assert messages[3].assistant_message.content.text == "I read you"


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("by_message", [True, False])
async def test_the_old_single_form(approved: bool, by_message: bool, caller: Caller, workshop: Workshop) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    asks = (await caller.messages(first.id))[-1]
    assert asks.HasField("approval_request_message")
    request_id = asks.id if by_message else call_id(first)
    old = v1.ApprovalCreate(approve=approved, approval_request_id=request_id)
    second = await answer(caller, answering(agent, v1.InputMessage(approval=old)))
    assert end(second) == DONE
    assert len(workshop.calls) == approved


# ---- what is refused ----


async def test_answers_that_do_not_fit_are_refused_and_what_waits_goes_on_waiting(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky", "risky")
    other = v1.ActionDecision(approval=v1.Approval(tool_call_id="call-other", approve=True))
    for given in ((approve(first),), (approve(first), other), ()):
        refusal = await refused(caller.runs.CreateMessageAsync(answers(agent, *given), timeout=PATIENCE_S))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOOL_CALL_IDS")
        assert refusal.metadata["expected"] == f"{call_id(first)},{call_id(first, 1)}"
    assert len(await pending(caller, agent_id=agent)) == 2


async def test_with_nothing_pending_an_answer_is_refused(caller: Caller) -> None:
    agent = await caller.agent()
    decision = v1.ActionDecision(approval=v1.Approval(tool_call_id="call", approve=True))
    for call in (
        caller.runs.CreateMessageAsync(answers(agent, decision), timeout=PATIENCE_S),
        respond(caller, agent, decision),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_PENDING_ACTION")


async def test_an_answer_behind_a_message_is_refused(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    request = answers(agent, approve(first), behind="first this")
    request.messages.messages.reverse()
    refusal = await refused(caller.runs.CreateMessageAsync(request, timeout=PATIENCE_S))
    assert refusal.fields == ["messages.messages[1].approval"]


async def test_conversations_and_agents_that_there_are_not(caller: Caller) -> None:
    decision = v1.ActionDecision(approval=v1.Approval(tool_call_id="call", approve=True))
    gone = v1.RespondToActionsRequest(conversation_id="conv-0199c3f0-0000-4000-8000-000000000003", decisions=[decision])
    assert (await refused(caller.actions.RespondToActions(gone))).reason == "CONVERSATION_NOT_FOUND"
    refusal = await refused(respond(caller, "agent-0199c3f0-0000-4000-8000-000000000001", decision))
    assert refusal.reason == "AGENT_NOT_FOUND"


# ---- again, and at once ----


async def test_an_approval_that_is_sent_again_runs_nothing_twice(caller: Caller, workshop: Workshop) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    second = await answer(caller, answers(agent, approve(first)))
    call = caller.runs.CreateMessageAsync(answers(agent, approve(first)), timeout=PATIENCE_S)
    assert await call == second
    assert dict(await call.initial_metadata() or ())["idempotency-replayed"] == "true"
    assert (await respond(caller, agent, approve(first))).run == second
    refusal = await refused(caller.runs.CreateMessageAsync(answers(agent, deny(first)), timeout=PATIENCE_S))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ACTION_ALREADY_ANSWERED")
    assert len(workshop.calls) == 1


async def test_many_who_answer_at_once_start_one_run(caller: Caller, workshop: Workshop) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky")
    sent = [caller.runs.CreateMessageAsync(answers(agent, approve(first)), timeout=PATIENCE_S) for _ in range(10)]
    runs = await asyncio.gather(*sent)
    assert len({run.id for run in runs}) == 1
    assert end(await caller.ended(runs[0].id)) == DONE
    assert len(workshop.calls) == 1


# ---- ActionService ----


async def test_actions_are_answered_one_by_one_and_the_last_answer_starts_the_run(caller: Caller) -> None:
    agent = await caller.agent()
    first = await stopped(caller, agent, "risky", "mine", labels={"a": "b"}, max_steps=9)
    once = await respond(caller, agent, deny(first, 0, "no"))
    assert not once.HasField("run")
    assert [action.tool_call_id for action in once.still_pending] == [call_id(first, 1)]
    listed = await pending(caller, agent_id=agent)
    assert [action.HasField("decision") for action in listed] == [True, False]
    last = await respond(caller, agent, give(first, 1), request_id="mine")
    assert not last.still_pending
    second = await caller.ended(last.run.id)
    assert (end(second), dict(second.labels), second.request_id) == (DONE, {"a": "b"}, "mine")
    assert await pending(caller, agent_id=agent) == []
    assert len(await returns(caller, second)) == 2


async def test_client_tools_are_still_there_in_the_run_that_continues(caller: Caller) -> None:
    agent = await caller.agent()
    text = (
        '{"script": {"steps": [{"tool_calls": [{"name": "mine"}]}, {"tool_calls": [{"name": "mine"}]}, {"text": "x"}]}}'
    )
    first = await caller.ended((await caller.send(agent, text, client_tools=MINE)).id)
    second = await caller.ended((await respond(caller, agent, give(first))).run.id)
    assert end(second) == ASKS
    assert second.turn_id == first.turn_id
    third = await caller.ended((await respond(caller, agent, give(second))).run.id)
    assert (end(third), third.turn_id) == (DONE, first.turn_id)


async def test_the_inbox_is_filtered_and_paged_soonest_deadline_first(caller: Caller) -> None:
    agents = [await caller.agent() for _ in range(3)]
    runs = []
    for agent, timeout_s in zip(agents, (300, 100, 200), strict=True):
        limits = v1.Limits()
        limits.action_timeout.FromSeconds(timeout_s)
        runs.append(await stopped(caller, agent, "risky", limits=limits))
    own = await stopped(caller, await caller.agent(), "mine")
    by_deadline = [runs[1].id, runs[2].id, runs[0].id, own.id]
    assert [action.run_id for action in await pending(caller)] == by_deadline
    assert [action.run_id for action in await pending(caller, page_size=1)] == by_deadline
    assert [action.run_id for action in await pending(caller, kind=v1.ACTION_KIND_CLIENT_TOOL)] == [own.id]
    assert [action.agent_id for action in await pending(caller, run_id=runs[2].id)] == [agents[2]]
    default = {"conversation_id": "default", "agent_id": agents[0]}
    assert [action.run_id for action in await pending(caller, **default)] == [runs[0].id]


async def test_actions_of_a_conversation_are_its_own(caller: Caller) -> None:
    agent = await caller.agent()
    conversation = await caller.conversation(agent)
    first = await stopped(caller, agent, "risky", conversation_id=conversation)
    get = v1.GetConversationRequest(conversation_id=conversation)
    assert (await caller.conversations.GetConversation(get)).pending_actions == 1
    assert [action.run_id for action in await pending(caller, conversation_id=conversation)] == [first.id]
    assert await pending(caller, agent_id=agent, conversation_id="default") == []
    request = v1.RespondToActionsRequest(conversation_id=conversation, decisions=[approve(first)])
    response = await caller.actions.RespondToActions(request, timeout=PATIENCE_S)
    assert end(await caller.ended(response.run.id)) == DONE
    assert (await caller.conversations.GetConversation(get)).pending_actions == 0


# ---- a restart in between ----


async def test_what_waits_and_what_was_answered_outlives_the_server(workshop: Workshop, serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "risky", "risky")
        await respond(caller, agent, approve(first, 0))
    async with serve() as server, calling(server.grpc.address) as caller:
        assert [action.HasField("decision") for action in await pending(caller)] == [True, False]
        response = await respond(caller, agent, deny(first, 1))
        second = await caller.ended(response.run.id)
        assert [error for _, error in await returns(caller, second)] == [True, False]
    async with serve() as server, calling(server.grpc.address) as caller:
        assert (await respond(caller, agent, approve(first, 0), deny(first, 1))).run == second
    assert len(workshop.calls) == 1
