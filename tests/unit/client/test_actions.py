"""Answers to what runs wait for, from both clients and from the command."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sendoff import actions, methods, v1
from sendoff.cli import asking
from sendoff.cli.exits import ExitCode
from tests.unit.client.commanding import COMPLETED, Command, finished
from tests.unit.client.logs import event, frame, frames
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, UNAVAILABLE, Asker, ScriptedServer

NEXT_ID = "run-00000000-0000-4000-8000-000000000002"


def action(
    call_id: str = "call-1", kind: v1.ActionKind.ValueType = v1.ACTION_KIND_APPROVAL, *, answered: bool = False
) -> v1.PendingAction:
    made = v1.PendingAction(
        tool_call_id=call_id,
        kind=kind,
        call=v1.ToolCall(tool_call_id=call_id, name="pay", arguments='{"euro": 5}', arguments_are_valid_json=True),
        run_id=RUN_ID,
        agent_id=AGENT_ID,
    )
    if answered:
        made.decision.approval.approve = True
    return made


def stopped(*pending: v1.PendingAction) -> v1.Run:
    return v1.Run(
        id=RUN_ID,
        agent_id=AGENT_ID,
        status=v1.RUN_STATUS_COMPLETED,
        stop_reason=v1.STOP_REASON_REQUIRES_APPROVAL,
        pending_actions=pending or [action()],
    )


CONTINUES = v1.RespondToActionsResponse(run=v1.Run(id=NEXT_ID, status=v1.RUN_STATUS_CREATED))


def asked(server: ScriptedServer) -> v1.RespondToActionsRequest:
    (request,) = server.asked(v1.RespondToActionsRequest)
    assert isinstance(request, v1.RespondToActionsRequest)
    return request


# ---- the clients ----


async def test_a_call_is_approved(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES)
    assert await asker.call("approve", action(), reason="fine", edited_arguments={"euro": 4}) == CONTINUES
    request = asked(server)
    assert (request.conversation_id, request.agent_id) == ("default", AGENT_ID)
    expected = v1.Approval(tool_call_id="call-1", approve=True, reason="fine")
    expected.edited_arguments.json = '{"euro": 4}'
    assert list(request.decisions) == [v1.ActionDecision(approval=expected)]


async def test_a_call_is_denied(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES)
    await asker.call("deny", action(), reason="too much")
    denial = v1.Approval(tool_call_id="call-1", approve=False, reason="too much")
    assert list(asked(server).decisions) == [v1.ActionDecision(approval=denial)]


@pytest.mark.parametrize("is_error", [True, False])
async def test_the_result_of_a_tool_is_given(is_error: bool, asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES)
    await asker.call("return_result", action(), "paid", is_error=is_error)
    (decision,) = asked(server).decisions
    status = v1.TOOL_RETURN_STATUS_ERROR if is_error else v1.TOOL_RETURN_STATUS_SUCCESS
    assert (decision.tool.tool_return.text, decision.tool.status) == ("paid", status)


async def test_several_calls_are_answered_at_once_in_their_conversation(asker: Asker, server: ScriptedServer) -> None:
    pending = [action("a"), action("b")]
    for each in pending:
        each.conversation_id = "conv-1"
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES)
    decisions = [actions.approval(pending[0]), actions.denial(pending[1])]
    await asker.call("respond", pending, decisions, request_id="mine")
    request = asked(server)
    assert (request.conversation_id, request.request_id, list(request.decisions)) == ("conv-1", "mine", decisions)


async def test_an_answer_is_sent_again_under_the_same_name(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.RESPOND_TO_ACTIONS, UNAVAILABLE, CONTINUES)
    assert await asker.call("approve", action()) == CONTINUES
    first, second = server.asked(v1.RespondToActionsRequest)
    assert first == second
    assert first.request_id


async def test_actions_of_several_runs_are_not_answered_at_once(asker: Asker) -> None:
    other = action("b")
    other.run_id = NEXT_ID
    with pytest.raises(ValueError, match="one run"):
        await asker.call("respond", [action("a"), other], [])


async def test_what_waits_is_listed_page_by_page(asker: Asker, server: ScriptedServer) -> None:
    server.plan(
        methods.LIST_PENDING_ACTIONS,
        v1.ListPendingActionsResponse(actions=[action("a")], next_page_token="more"),
        v1.ListPendingActionsResponse(actions=[action("b")]),
    )
    assert await asker.every("actions", agent_id=AGENT_ID, page_size=1) == [action("a"), action("b")]
    first, second = server.asked(v1.ListPendingActionsRequest)
    assert first == v1.ListPendingActionsRequest(agent_id=AGENT_ID, page_size=1)
    assert second.page_token == "more"


# ---- the command ----


async def test_actions_are_listed(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.LIST_PENDING_ACTIONS, v1.ListPendingActionsResponse(actions=[action(answered=True)]))
    outcome = await command("actions", "ls", "--run", RUN_ID)
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines()[1].split("\t")[:5] == [RUN_ID, "call-1", "approval", 'pay({"euro": 5})', "yes"]
    assert server.asked(v1.ListPendingActionsRequest)[0].run_id == RUN_ID


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("approve", RUN_ID), actions.approval(action())),
        (("approve", RUN_ID, "--arguments", '{"euro": 4}'), actions.approval(action(), None, {"euro": 4})),
        (("deny", RUN_ID, "--reason", "no"), actions.denial(action(), "no")),
        (("return", RUN_ID, "paid"), actions.result(action(), "paid")),
        (("return", RUN_ID, "-", "--failed"), actions.result(action(), "from stdin", is_error=True)),
    ],
)
async def test_a_call_is_answered(
    words: tuple[str, ...], expected: v1.ActionDecision, command: Command, server: ScriptedServer
) -> None:
    server.plan(methods.GET_RUN, stopped())
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES)
    outcome = await command("actions", *words, stdin="from stdin")
    assert (outcome.exit_code, outcome.stdout) == (0, f"{NEXT_ID}\n")
    assert list(asked(server).decisions) == [expected]


async def test_all_calls_that_have_no_answer_are_answered_or_those_that_are_named(
    command: Command, server: ScriptedServer
) -> None:
    run = stopped(action("a"), action("b", answered=True), action("c"))
    server.plan(methods.GET_RUN, run, run)
    part = v1.RespondToActionsResponse(still_pending=[action("a")])
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES, part)
    await command("actions", "approve", RUN_ID)
    outcome = await command("actions", "deny", RUN_ID, "--call", "c")
    assert "Still waits for: a" in outcome.stderr
    every, one = server.asked(v1.RespondToActionsRequest)
    assert [decision.approval.tool_call_id for decision in every.decisions] == ["a", "c"]
    assert [decision.approval.tool_call_id for decision in one.decisions] == ["c"]


@pytest.mark.parametrize(
    ("run", "words", "code", "told"),
    [
        (COMPLETED, ("approve", RUN_ID), ExitCode.CONFLICT, "waits for nothing"),
        (stopped(), ("approve", RUN_ID, "--call", "z"), ExitCode.CONFLICT, "does not wait for z"),
        (stopped(action("a"), action("b")), ("return", RUN_ID, "x"), ExitCode.USAGE, "name one with --call"),
    ],
)
async def test_what_cannot_be_answered_is_said(
    run: v1.Run, words: tuple[str, ...], code: ExitCode, told: str, command: Command, server: ScriptedServer
) -> None:
    server.plan(methods.GET_RUN, run)
    outcome = await command("actions", *words)
    assert outcome.exit_code == code
    assert told in outcome.stderr
    assert not server.asked(v1.RespondToActionsRequest)


@pytest.mark.parametrize("arguments", ["[1]", "{"])
async def test_edited_arguments_are_a_json_object(arguments: str, command: Command) -> None:
    outcome = await command("actions", "approve", RUN_ID, "--arguments", arguments)
    assert (outcome.exit_code, "--arguments" in outcome.stderr) == (ExitCode.USAGE, True)


async def test_the_run_that_continues_is_shown(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, stopped())
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES)
    server.plan_streams([frame(event(1)), frame(finished(2))])
    outcome = await command("actions", "approve", RUN_ID, "--watch")
    assert (outcome.exit_code, outcome.stdout) == (0, "word 1\n")
    assert server.asked(v1.WatchRunRequest)[0].run_id == NEXT_ID


async def test_a_run_that_stops_for_an_answer_says_how_to_answer(command: Command, server: ScriptedServer) -> None:
    run = stopped(action("a"), action("b", v1.ACTION_KIND_CLIENT_TOOL))
    server.plan(methods.CREATE_MESSAGE_ASYNC, COMPLETED)
    server.plan_streams(frames(event(1), finished(2, run)))
    server.plan(methods.GET_RUN, run)
    outcome = await command("send", AGENT_ID, "pay him", "--watch")
    assert outcome.exit_code == ExitCode.RUN_WAITS
    for way in (f"approve {RUN_ID}", f"deny {RUN_ID}", f"return {RUN_ID}"):
        assert f"sendoff actions {way}" in outcome.stderr
    assert not server.asked(v1.RespondToActionsRequest)


async def test_what_was_answered_since_is_not_asked_for_again(command: Command, server: ScriptedServer) -> None:
    server.plan_streams(frames(event(1), finished(2, stopped())))
    server.plan(methods.GET_RUN, COMPLETED)
    outcome = await command("watch", RUN_ID)
    assert outcome.exit_code == 0
    assert "sendoff actions" not in outcome.stderr


async def test_waiting_for_a_run_that_stops_says_how_to_answer(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, v1.Run(id=RUN_ID, status=v1.RUN_STATUS_CREATED))
    server.plan(methods.WAIT_RUN, stopped())
    server.plan(methods.LIST_RUN_MESSAGES, v1.ListRunMessagesResponse())
    outcome = await command("send", AGENT_ID, "pay him", "--wait")
    assert outcome.exit_code == ExitCode.RUN_WAITS
    assert f"sendoff actions approve {RUN_ID}" in outcome.stderr


@pytest.mark.parametrize(
    ("kind", "typed", "expected"),
    [
        (v1.ACTION_KIND_APPROVAL, ["yes"], actions.approval(action())),
        (v1.ACTION_KIND_APPROVAL, ["N", "too much"], actions.denial(action(), "too much")),
        (v1.ACTION_KIND_APPROVAL, ["n", ""], actions.denial(action())),
        (v1.ACTION_KIND_CLIENT_TOOL, ["paid"], actions.result(action(), "paid")),
        (v1.ACTION_KIND_APPROVAL, ["later"], None),
        (v1.ACTION_KIND_CLIENT_TOOL, [""], None),
    ],
)
def test_on_a_terminal_the_person_is_asked(
    kind: v1.ActionKind.ValueType,
    typed: list[str],
    expected: v1.ActionDecision | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = iter(typed)
    monkeypatch.setattr(asking.sys, "stdin", _Terminal())  # type: ignore[attr-defined]  # the module's own
    monkeypatch.setattr(asking.sys, "stderr", _Terminal())  # type: ignore[attr-defined]
    monkeypatch.setattr(asking.typer, "prompt", lambda *_, **__: next(answers))  # type: ignore[attr-defined]
    client = _Answered()
    run = asking.ask(client, stopped(action(kind=kind)))  # type: ignore[arg-type]  # only `respond` is used
    if expected is None:
        assert (run, client.decisions) == (None, [])
    else:
        assert run is not None
        assert (run.id, client.decisions) == (NEXT_ID, [expected])


class _Terminal:
    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...


class _Answered:
    """A client that takes answers."""

    def __init__(self) -> None:
        self.decisions: list[v1.ActionDecision] = []

    def respond(self, pending: Any, decisions: list[v1.ActionDecision]) -> v1.RespondToActionsResponse:
        self.decisions += decisions
        return CONTINUES


async def test_an_answer_as_json(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, stopped())
    server.plan(methods.RESPOND_TO_ACTIONS, CONTINUES)
    outcome = await command("actions", "approve", RUN_ID, "--json")
    assert json.loads(outcome.stdout)["run"]["id"] == NEXT_ID
