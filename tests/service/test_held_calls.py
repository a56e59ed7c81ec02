"""Calls that wait for somebody outside, and what settles them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.lifecycle import first_event, new_run
from sendoff_server.store.items import Accept
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.tools.port import ToolCall, ToolResult
from tests.faults.caller import Caller, calling, patiently, script
from tests.faults.run_log import check_log, kinds
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop, says
from tests.service.test_tools import returns, steps, told
from tests.service.tool_runs import calls

HELD = (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_REQUIRES_APPROVAL)
DONE = (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)
CLIENT = v1.ClientTool(name="open_door", description="Opens the caller's door.")


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """`look` is free to be called, `book` needs an approval."""
    made = open_workshop(monkeypatch)
    made.has("look", says("seven"))
    made.has("book", says("booked"), requires_approval=True)
    return made


@pytest.fixture
async def caller(workshop: Workshop, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


def end(run: v1.Run) -> tuple[v1.RunStatus.ValueType, v1.StopReason.ValueType]:
    return run.status, run.stop_reason


async def stopped(caller: Caller, *names: str, **fields: Any) -> v1.Run:
    """A run that has stopped for calls of these tools; its script goes on with "done"."""
    agent = await caller.agent()
    run = await caller.ended((await caller.send(agent, steps(calls(*names), {"text": "Done."}), **fields)).id)
    assert end(run) == HELD, run
    check_log(run, await caller.log(run.id))
    return run


def approval(call_id: str, approve: bool = True, **fields: Any) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=approve, **fields))


def result(call_id: str, text: str) -> v1.ActionDecision:
    content = v1.Content(text=text)
    status = v1.TOOL_RETURN_STATUS_SUCCESS
    return v1.ActionDecision(tool=v1.ToolReturn(tool_call_id=call_id, status=status, tool_return=content))


async def answer(caller: Caller, run: v1.Run, *decisions: v1.ActionDecision, text: str = "", **fields: Any) -> v1.Run:
    """The run that continues with these answers, ended."""
    inputs = [v1.InputMessage(approval=v1.ApprovalCreate(approvals=decisions))]
    if text:
        said = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=text))
        inputs.append(v1.InputMessage(message=said))
    request = v1.CreateMessageAsyncRequest(agent_id=run.agent_id, messages=v1.InputMessages(messages=inputs), **fields)
    continued = await caller.ended((await caller.runs.CreateMessageAsync(request)).id)
    check_log(continued, await caller.log(continued.id))
    return continued


def actions(run: v1.Run) -> Sequence[v1.PendingAction]:
    return run.pending_actions


async def test_a_call_that_needs_an_approval_holds_all_calls_of_its_answer(workshop: Workshop, caller: Caller) -> None:
    run = await stopped(caller, "look", "book")
    assert workshop.calls == []
    _, called, asked = await caller.messages(run.id)
    assert [call.name for call in called.tool_call_message.tool_calls] == ["look"]
    (waiting,) = asked.approval_request_message.tool_calls
    assert waiting.name == "book"
    assert asked.id != called.id
    assert asked.step_id == called.step_id
    (action,) = actions(run)
    assert (action.kind, action.call, action.run_id) == (v1.ACTION_KIND_APPROVAL, waiting, run.id)
    assert action.expire_time.ToNanoseconds() - action.create_time.ToNanoseconds() == 604_800 * 10**9
    assert action.on_timeout == v1.ON_TIMEOUT_DENY
    told_of = [event.action_required for event in await caller.log(run.id) if event.HasField("action_required")]
    assert told_of == [action]


async def test_a_tool_of_the_caller_is_held_and_takes_the_place_of_the_servers(
    workshop: Workshop, caller: Caller
) -> None:
    run = await stopped(caller, "open_door", "look", client_tools=[CLIENT, v1.ClientTool(name="look")])
    assert [(action.kind, action.call.name) for action in actions(run)] == [
        (v1.ACTION_KIND_CLIENT_TOOL, "open_door"),
        (v1.ACTION_KIND_CLIENT_TOOL, "look"),
    ]
    assert kinds(await caller.messages(run.id)) == ["user_message", "approval_request_message"]


async def test_a_plain_message_denies_what_waits_and_goes_on(workshop: Workshop, caller: Caller) -> None:
    run = await stopped(caller, "look", "book")
    following = await caller.ended((await caller.send(run.agent_id, script(text="All right."))).id)
    check_log(following, await caller.log(following.id))
    assert end(following) == DONE
    assert workshop.calls == []
    messages = await caller.messages(following.id)
    assert kinds(messages) == [
        "approval_response_message",
        "tool_return_message",
        "user_message",
        "assistant_message",
    ]
    gone_on = "the user went on with another message instead of answering"
    assert await told(caller, following) == [
        (f"Error: this call was not made: {gone_on}.", True),
        (f"Error: request to call tool denied. User reason: {gone_on}", True),
    ]
    (resolved,) = [e.action_resolved for e in await caller.log(following.id) if e.HasField("action_resolved")]
    assert (resolved.tool_call_id, resolved.resolved_by) == (actions(run)[0].tool_call_id, "message")
    assert not resolved.decision.approval.approve
    assert (following.continues_run_id, following.turn_id) == (run.id, run.turn_id)
    before = await caller.get(run.id)
    assert end(before) == HELD
    assert before.continued_by_run_id == following.id
    assert not before.pending_actions
    third = await caller.ended((await caller.send(run.agent_id, script(text="And on."))).id)
    assert (end(third), third.continues_run_id) == (DONE, "")


async def test_an_approved_call_runs_with_those_that_were_held_back(workshop: Workshop, caller: Caller) -> None:
    run = await stopped(caller, "look", "book")
    continued = await answer(caller, run, approval(actions(run)[0].tool_call_id))
    assert end(continued) == DONE
    assert [call.tool.name for call in workshop.calls] == ["look", "book"]
    messages = await caller.messages(continued.id)
    assert kinds(messages) == ["approval_response_message", "tool_return_message", "assistant_message"]
    (asking,) = {message.step_id for message in (await caller.messages(run.id))[1:]}
    assert messages[1].step_id == asking
    assert await told(caller, continued) == [("seven", False), ("booked", False)]
    assert (continued.continues_run_id, continued.turn_id) == (run.id, run.turn_id)
    log = [event.WhichOneof("event") for event in await caller.log(continued.id)]
    assert log.index("tool_call_started") < log.index("tool_call_finished") < log.index("action_resolved")


async def test_returns_stand_in_the_order_denied_given_called(workshop: Workshop, caller: Caller) -> None:
    workshop.has("pay", says("paid"), requires_approval=True)
    run = await stopped(caller, "book", "open_door", "look", "pay", client_tools=[CLIENT])
    book, door, pay = [action.tool_call_id for action in actions(run)]
    continued = await answer(
        caller, run, approval(book), result(door, "it creaks"), approval(pay, False, reason="too dear")
    )
    assert await told(caller, continued) == [
        ("Error: request to call tool denied. User reason: too dear", True),
        ("it creaks", False),
        ("seven", False),
        ("booked", False),
    ]
    assert [call.tool.name for call in workshop.calls] == ["look", "book"]


async def test_a_denial_without_a_reason_says_none(workshop: Workshop, caller: Caller) -> None:
    run = await stopped(caller, "book")
    continued = await answer(caller, run, approval(actions(run)[0].tool_call_id, False))
    assert await told(caller, continued) == [("Error: request to call tool denied. User reason: None", True)]
    assert workshop.calls == []


async def test_a_call_runs_with_the_arguments_that_its_approval_brings(workshop: Workshop, caller: Caller) -> None:
    run = await stopped(caller, "book")
    edited = v1.JsonObject(json='{"table": 7}')
    continued = await answer(caller, run, approval(actions(run)[0].tool_call_id, edited_arguments=edited))
    assert end(continued) == DONE
    (made,) = workshop.calls
    assert made.arguments == {"table": 7}


async def test_messages_behind_the_answers_join_the_next_step(workshop: Workshop, caller: Caller) -> None:
    run = await stopped(caller, "book")
    script_text = script(text="As you say.")
    continued = await answer(caller, run, approval(actions(run)[0].tool_call_id), text=script_text)
    messages = await caller.messages(continued.id)
    assert kinds(messages) == [
        "approval_response_message",
        "tool_return_message",
        "user_message",
        "assistant_message",
    ]
    assert messages[3].assistant_message.content.text == "As you say."


async def test_a_cancel_while_an_approved_tool_works_settles_everything(workshop: Workshop, caller: Caller) -> None:
    async def hang(call: ToolCall) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    workshop.acts["book"] = hang
    run = await stopped(caller, "look", "book")
    inputs = [v1.InputMessage(approval=v1.ApprovalCreate(approvals=[approval(actions(run)[0].tool_call_id)]))]
    request = v1.CreateMessageAsyncRequest(agent_id=run.agent_id, messages=v1.InputMessages(messages=inputs))
    continued = await caller.runs.CreateMessageAsync(request)
    for _ in range(2):
        await patiently(workshop.begun.get())
    async with asyncio.timeout(1):
        await caller.cancel(continued.id)
        over = await caller.ended(continued.id)
    assert over.status == v1.RUN_STATUS_CANCELLED
    check_log(over, await caller.log(over.id))
    assert {each.tool_call_id for each in await returns(caller, over)} == {
        call.tool_call_id
        for message in await caller.messages(run.id)
        for call in (*message.tool_call_message.tool_calls, *message.approval_request_message.tool_calls)
    }
    following = await caller.ended((await caller.send(run.agent_id, script(text="on"))).id)
    assert (end(following), following.continues_run_id) == (DONE, "")


async def test_a_held_call_that_cannot_be_made_bothers_nobody(workshop: Workshop, caller: Caller) -> None:
    workshop.has("pay", requires_approval=True, schema='{"type": "object", "required": ["sum"]}')
    agent = await caller.agent()
    run = await caller.ended((await caller.send(agent, steps(calls("pay"), {"text": "Oh."}))).id)
    assert end(run) == DONE
    ((text, is_error),) = await told(caller, run)
    assert is_error
    assert "'sum' is a required property" in text


async def test_a_fork_that_is_cut_between_a_call_and_its_return_goes_on(workshop: Workshop, caller: Caller) -> None:
    agent = await caller.agent()
    run = await caller.ended((await caller.send(agent, steps(calls("look"), {"text": "Done."}))).id)
    called = (await caller.messages(run.id))[1]
    ask = v1.ForkConversationRequest(agent_id=agent, conversation_id="default", at_message_id=called.id)
    fork = await caller.conversations.ForkConversation(ask)
    following = await caller.ended((await caller.send(agent, script(text="on"), conversation_id=fork.id)).id)
    assert end(following) == DONE
    assert kinds(await caller.messages(following.id))[0] == "tool_return_message"
    assert await told(caller, following) == [
        ("Error: this call was not made: the run that asked for it has ended before.", True)
    ]


async def test_an_approved_tool_with_an_exit_rule_ends_the_run(workshop: Workshop, caller: Caller) -> None:
    exits = v1.ToolRule(tool_name="book", exit_loop=v1.ToolRule.ExitLoop())
    agent = v1.Agent(model="scripted/script", tool_rules=[exits])
    agent_id = (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id
    run = await caller.ended((await caller.send(agent_id, steps(calls("book"), {"text": "never"}))).id)
    continued = await answer(caller, run, approval(actions(run)[0].tool_call_id))
    assert end(continued) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_TOOL_RULE)
    assert kinds(await caller.messages(continued.id)) == ["approval_response_message", "tool_return_message"]
    following = await caller.ended((await caller.send(agent_id, script(text="on"))).id)
    assert end(following) == DONE


@pytest.mark.parametrize("with_message", [False, True])
async def test_a_doubt_in_a_settlement_is_asked_about_or_told_to_the_model(
    with_message: bool, workshop: Workshop, serve: Serve
) -> None:
    """The server ends while an approved call that may run once is under way."""

    async def hang(call: ToolCall) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    workshop.acts["book"] = hang
    async with serve(drain_grace_s=0) as server, calling(server.grpc.address) as caller:
        run = await stopped(caller, "look", "book")
        (action,) = actions(run)
        inputs = [v1.InputMessage(approval=v1.ApprovalCreate(approvals=[approval(action.tool_call_id)]))]
        if with_message:
            said = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=script(text="On.")))
            inputs.append(v1.InputMessage(message=said))
        request = v1.CreateMessageAsyncRequest(agent_id=run.agent_id, messages=v1.InputMessages(messages=inputs))
        continued = await caller.runs.CreateMessageAsync(request)
        while "tool_call_finished" not in [e.WhichOneof("event") for e in await caller.log(continued.id)]:
            continued = await caller.changed(continued.id, continued.last_sequence)  # look has returned
    workshop.acts["book"] = says("booked after all")
    async with serve() as server, calling(server.grpc.address) as caller:
        continued = await caller.ended(continued.id)
        check_log(continued, await caller.log(continued.id))
        found = dict(
            zip(
                [each.tool_call_id for each in await returns(caller, continued)],
                await told(caller, continued),
                strict=True,
            )
        )
        if with_message:
            assert end(continued) == DONE
            assert found[action.tool_call_id][1]
            assert "nobody knows whether it was carried out" in found[action.tool_call_id][0]
        else:
            assert end(continued) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN)
            assert list(found.values()) == [("seven", False)]
            (doubt,) = actions(continued)
            assert (doubt.kind, doubt.tool_call_id) == (v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME, action.tool_call_id)
            again = await answer(caller, continued, approval(doubt.tool_call_id))
            assert end(again) == DONE
            assert await told(caller, again) == [("booked after all", False)]
            assert (again.continues_run_id, again.turn_id) == (continued.id, run.turn_id)
        assert [call.tool.name for call in workshop.calls].count("look") == 1
        keys = {call.key for call in workshop.calls if call.tool.name == "book"}
        assert len(keys) == 1, "the same call has the same key"


async def test_answers_whose_turn_comes_too_late_fail_their_run_and_nothing_else(
    workshop: Workshop, serve: Serve
) -> None:
    """A continuation that finds nothing to settle: written by hand, because no accept lets it through."""
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        service = server.use_cases.runs
        inputs = [v1.InputMessage(approval=v1.ApprovalCreate(approvals=[approval("call-1")]))]
        request = v1.CreateMessageAsyncRequest(agent_id=agent, messages=v1.InputMessages(messages=inputs))
        run = new_run(request, "", time.time_ns(), ids.new("run"))
        accept = Accept(
            tenant=DEFAULT_TENANT,
            lane=agent,
            run=run,
            request=request.SerializeToString(),
            event=first_event(run),
            keys=[],
            fingerprint=b"",
            lease=True,
            reject_if_busy=False,
            max_open=10,
        )
        await service._commits.submit(accept)
        over = await caller.ended(run.id)
        check_log(over, await caller.log(run.id))
        assert end(over) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_INVALID_TOOL_CALL)
        assert over.error.reason == "NO_PENDING_ACTION"
        following = await caller.ended((await caller.send(agent, script(text="on"))).id)
        assert end(following) == DONE
