"""Each of the API's thirteen stop reasons: what brings it about, and what status, log, messages and step tell of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.tools.port import ToolCall, ToolResult
from tests.faults.caller import Caller, calling, patiently, script
from tests.faults.run_log import check_log, kinds
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop, says
from tests.service.test_tools import steps
from tests.service.tool_runs import calls

S = v1.StopReason
COMPLETED, FAILED, CANCELLED = v1.RUN_STATUS_COMPLETED, v1.RUN_STATUS_FAILED, v1.RUN_STATUS_CANCELLED
GOOD, BAD, CUT = v1.STEP_STATUS_SUCCESS, v1.STEP_STATUS_FAILED, v1.STEP_STATUS_CANCELLED
SAID, CALLED, RETURNED, ASKS = (
    "assistant_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is sent, and what comes of it."""

    text: str
    status: v1.RunStatus.ValueType
    messages: list[str] = field(default_factory=list)
    """Kinds of those behind the input."""
    step: v1.StepStatus.ValueType | None
    """Of the newest step."""
    step_reason: bool = True
    """Whether that step tells the reason: it ended the run by itself."""
    error: str = ""
    rules: list[v1.ToolRule] = field(default_factory=list)
    model: str = "scripted/script"
    fields: dict[str, Any] = field(default_factory=dict)


def failing(kind: str) -> str:
    return script(text="never", error={"kind": kind})


LOOK = calls("look")
FIRST = v1.ToolRule(tool_name="look", run_first=v1.ToolRule.RunFirst())
EXIT = v1.ToolRule(tool_name="look", exit_loop=v1.ToolRule.ExitLoop())
UNREADABLE = script(tool_calls=[{"name": "no such name!"}])
TOO_LONG = "Seven lanterns burn at the quiet harbour. " * 200

CASES = {
    S.STOP_REASON_END_TURN: Case(text=script(text="Yes."), status=COMPLETED, messages=[SAID], step=GOOD),
    S.STOP_REASON_ERROR: Case(
        text=steps(LOOK, {"text": "Gone."}),
        status=FAILED,
        messages=[CALLED, RETURNED],
        step=BAD,
        error="TOOL_OUTPUT_NOT_MAPPED",
        rules=[
            v1.ToolRule(
                tool_name="look",
                conditional=v1.ToolRule.Conditional(
                    child_output_mapping={"eight": "book"}, require_output_mapping=True
                ),
            )
        ],
    ),
    S.STOP_REASON_LLM_API_ERROR: Case(
        text=failing("authentication"), status=FAILED, step=BAD, error="MODEL_AUTHENTICATION"
    ),
    S.STOP_REASON_INVALID_LLM_RESPONSE: Case(
        text=script(text="", finish="refused"), status=FAILED, step=BAD, error="MODEL_REFUSED"
    ),
    S.STOP_REASON_INVALID_TOOL_CALL: Case(text=UNREADABLE, status=FAILED, step=BAD, error="UNREADABLE_TOOL_CALL"),
    S.STOP_REASON_MAX_STEPS: Case(
        text=steps(LOOK, LOOK, {"text": "never"}),
        status=COMPLETED,
        messages=[CALLED, RETURNED] * 2,
        step=GOOD,
        step_reason=False,
        fields={"max_steps": 2},
    ),
    S.STOP_REASON_MAX_TOKENS_EXCEEDED: Case(
        text=script(text="half an", finish="length"),
        status=FAILED,
        messages=[SAID],
        step=BAD,
        error="MAX_TOKENS_EXCEEDED",
    ),
    S.STOP_REASON_NO_TOOL_CALL: Case(
        text=script(text="I would rather talk."),
        status=FAILED,
        messages=[SAID],
        step=BAD,
        error="NO_TOOL_CALL",
        rules=[FIRST],
    ),
    S.STOP_REASON_TOOL_RULE: Case(
        text=steps(LOOK, {"text": "never"}),
        status=COMPLETED,
        messages=[CALLED, RETURNED],
        step=GOOD,
        rules=[EXIT],
    ),
    S.STOP_REASON_CANCELLED: Case(text=steps(calls("hang")), status=CANCELLED, messages=[CALLED, RETURNED], step=CUT),
    S.STOP_REASON_INSUFFICIENT_CREDITS: Case(
        text=failing("quota"), status=FAILED, step=BAD, error="MODEL_QUOTA_EXCEEDED"
    ),
    S.STOP_REASON_REQUIRES_APPROVAL: Case(text=steps(calls("book")), status=COMPLETED, messages=[ASKS], step=GOOD),
    S.STOP_REASON_CONTEXT_WINDOW_OVERFLOW_IN_SYSTEM_PROMPT: Case(
        text=TOO_LONG, status=FAILED, step=BAD, error="CONTEXT_OVERFLOW", model="scripted/small"
    ),
}


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    async def hang(call: ToolCall) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    made = open_workshop(monkeypatch)
    made.has("look", says("seven"))
    made.has("book", requires_approval=True)
    made.has("hang", hang)
    return made


def test_the_table_has_each_of_them() -> None:
    assert set(CASES) == {S.ValueType(number) for number in range(1, 14)}


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: S.Name(reason).removeprefix("STOP_REASON_").lower())
async def test_a_stop_reason_and_what_is_told_of_it(
    reason: v1.StopReason.ValueType, workshop: Workshop, serve: Serve
) -> None:
    case = CASES[reason]
    async with serve(model_retries=0) as server, calling(server.grpc.address) as caller:
        agent = await agent_with(caller, case)
        run = await caller.send(agent, case.text, **case.fields)
        if reason == S.STOP_REASON_CANCELLED:
            await patiently(workshop.begun.get())
            await caller.cancel(run.id)
        run = await caller.ended(run.id)
        log = await caller.log(run.id)
        messages = await caller.messages(run.id)
        newest = (await server.use_cases.steps.list(DEFAULT_TENANT, v1.ListStepsRequest(run_id=run.id))).steps[-1]
    check_log(run, log)
    assert (run.status, run.stop_reason, run.error.reason) == (case.status, reason, case.error), run.error
    assert run.HasField("error") == (case.status == FAILED)
    assert kinds(messages) == ["user_message", *case.messages]
    assert [event.message for event in log if event.HasField("message")] == messages
    assert newest.status == case.step
    assert newest.HasField("stop_reason") == case.step_reason
    assert not case.step_reason or newest.stop_reason == reason
    finished = [event.step_finished for event in log if event.HasField("step_finished")][-1]
    assert finished.HasField("stop_reason") == case.step_reason
    if case.status == COMPLETED and reason != S.STOP_REASON_REQUIRES_APPROVAL:
        assert not run.pending_actions


async def agent_with(caller: Caller, case: Case) -> str:
    agent = v1.Agent(model=case.model, tool_rules=case.rules)
    return (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id
