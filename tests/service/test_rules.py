"""Tool rules of an agent, at work in its runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, calling, script
from tests.faults.run_log import check_log
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop, says
from tests.service.tool_runs import calls

Rule = v1.ToolRule


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    workshop = open_workshop(monkeypatch)
    for name in ("look", "book", "pay"):
        workshop.has(name)
    return workshop


@pytest.fixture
async def caller(workshop: Workshop, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def ended(caller: Caller, rules: list[Rule], *steps: dict[str, Any], **fields: Any) -> v1.Run:
    """A run of an agent with these rules, whose model answers so."""
    agent = v1.Agent(model="scripted/script", tool_rules=rules)
    made = await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent), timeout=PATIENCE_S)
    run = await caller.ended((await caller.send(made.id, script(steps=list(steps)), **fields)).id)
    check_log(run, await caller.log(run.id))
    return run


async def told(caller: Caller, run: v1.Run) -> list[str]:
    """What each call returned."""
    messages = await caller.messages(run.id)
    return [each.tool_return.text for entry in messages for each in entry.tool_return_message.tool_returns]


def called(workshop: Workshop) -> list[tuple[str, dict[str, Any]]]:
    return [(call.tool.name, dict(call.arguments)) for call in workshop.calls]


async def test_an_exit_tool_ends_the_run(workshop: Workshop, caller: Caller) -> None:
    exits = Rule(tool_name="pay", exit_loop=Rule.ExitLoop())
    run = await ended(caller, [exits], calls("look"), calls("pay"), {"text": "never said"})
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_TOOL_RULE)
    assert [name for name, _ in called(workshop)] == ["look", "pay"]


async def test_a_tool_named_send_message_ends_the_run_with_its_words(workshop: Workshop, caller: Caller) -> None:
    workshop.has("send_message", says("None"))
    answer = calls("send_message", message="Table 7 is free.", thinking="Look first.")
    run = await ended(caller, [], answer, {"text": "never said"})
    assert run.stop_reason == v1.STOP_REASON_TOOL_RULE
    _, thought, said = await caller.messages(run.id)
    assert thought.reasoning_message.reasoning == "Look first."
    assert said.assistant_message.content.text == "Table 7 is free."


async def test_the_first_tool_is_called_with_the_rules_arguments_and_others_are_refused(
    workshop: Workshop, caller: Caller
) -> None:
    first = Rule(tool_name="look", run_first=Rule.RunFirst(args=v1.JsonObject(json='{"people": 2}')))
    run = await ended(
        caller, [first], calls("pay"), calls("look", people=9, at="seven"), calls("pay"), {"text": "Done."}
    )
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    assert called(workshop) == [("look", {"people": 2, "at": "seven"}), ("pay", {})]
    refused, *_ = await told(caller, run)
    assert refused.startswith("[ToolConstraintError]")
    assert refused.endswith("Tools that can: look.")


async def test_a_tool_is_called_no_more_often_than_allowed_in_one_answer_and_over_several(
    workshop: Workshop, caller: Caller
) -> None:
    twice = Rule(tool_name="look", max_count_per_step=Rule.MaxCountPerStep(max_count_limit=2))
    run = await ended(caller, [twice], calls("look"), calls("look", "look"), {"text": "Done."})
    assert [name for name, _ in called(workshop)] == ["look", "look"]
    assert [text.startswith("[ToolConstraintError]") for text in await told(caller, run)] == [False, False, True]


async def test_what_follows_depends_on_the_output(workshop: Workshop, caller: Caller) -> None:
    workshop.acts["look"] = says('{"free": true}')
    mapping = {'{"free":true}': "book"}
    condition = Rule(tool_name="look", conditional=Rule.Conditional(child_output_mapping=mapping))
    run = await ended(caller, [condition], calls("look"), calls("pay"), calls("book"), {"text": "Done."})
    assert [name for name, _ in called(workshop)] == ["look", "book"]
    assert run.stop_reason == v1.STOP_REASON_END_TURN


async def test_an_output_that_had_to_be_mapped_fails_the_run(workshop: Workshop, caller: Caller) -> None:
    workshop.acts["look"] = says("who knows")
    conditional = Rule.Conditional(child_output_mapping={"free": "book"}, require_output_mapping=True)
    run = await ended(caller, [Rule(tool_name="look", conditional=conditional)], calls("look"), {"text": "never said"})
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_ERROR)
    assert run.error.reason == "TOOL_OUTPUT_NOT_MAPPED"


async def test_a_run_does_not_end_before_the_required_tool_was_called(workshop: Workshop, caller: Caller) -> None:
    required = Rule(tool_name="pay", required_before_exit=Rule.RequiredBeforeExit())
    run = await ended(caller, [required], {"text": "Bye."}, calls("pay"), {"text": "Paid."})
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    assert [name for name, _ in called(workshop)] == ["pay"]
    messages = await caller.messages(run.id)
    nudge = json.loads(messages[2].user_message.content.text)
    assert nudge["type"] == "heartbeat"
    assert "pay" in nudge["reason"]
    assert messages[-1].assistant_message.content.text == "Paid."


async def test_a_rule_has_a_call_wait_for_an_approval(workshop: Workshop, caller: Caller) -> None:
    waits = Rule(tool_name="pay", requires_approval=Rule.RequiresApproval())
    run = await ended(caller, [waits], {"text": "May I?"} | calls("pay"), {"text": "never said"})
    assert run.stop_reason == v1.STOP_REASON_REQUIRES_APPROVAL
    assert called(workshop) == []
