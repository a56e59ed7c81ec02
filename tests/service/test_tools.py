"""Runs that call tools: several steps, side by side, and whatever tools do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.models.scripted import SMALL
from sendoff_server.store.items import Item, Progress, Result
from sendoff_server.store.port import DEFAULT_TENANT, Poisoned
from sendoff_server.store.sqlite.engine import SqliteStore
from sendoff_server.tools.port import ToolCall, ToolResult, text_result
from tests.faults.caller import Caller, calling, patiently, script, seconds
from tests.faults.run_log import check_log, kinds
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop, says
from tests.service.tool_runs import calls

LOOK = {"name": "look", "arguments": {"at": "it"}}


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return open_workshop(monkeypatch)


@pytest.fixture
async def caller(workshop: Workshop, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


def steps(*each: dict[str, Any]) -> str:
    return script(steps=list(each))


async def ended(caller: Caller, text: str, **fields: Any) -> v1.Run:
    run = await caller.ended((await caller.send(await caller.agent(), text, **fields)).id)
    check_log(run, await caller.log(run.id))
    return run


def events(log: Sequence[v1.RunEvent]) -> list[str]:
    return [event.WhichOneof("event") or "" for event in log]


async def returns(caller: Caller, run: v1.Run) -> list[v1.ToolReturn]:
    messages = await caller.messages(run.id)
    return [each for message in messages for each in message.tool_return_message.tool_returns]


async def told(caller: Caller, run: v1.Run) -> list[tuple[str, bool]]:
    """The text of each return, and whether it is an error."""
    found = await returns(caller, run)
    return [(each.tool_return.text, each.status == v1.TOOL_RETURN_STATUS_ERROR) for each in found]


async def test_a_tool_is_called_and_the_model_goes_on_with_what_it_returned(workshop: Workshop, caller: Caller) -> None:
    workshop.has("look", says("seven lanterns"))
    run = await ended(caller, steps({"text": "Let me look.", "tool_calls": [LOOK]}, {"text": "There are seven."}))
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)
    messages = await caller.messages(run.id)
    assert kinds(messages) == [
        "user_message",
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    (call,) = messages[2].tool_call_message.tool_calls
    (returned,) = messages[3].tool_return_message.tool_returns
    assert (call.name, call.arguments, call.arguments_are_valid_json) == ("look", '{"at": "it"}', True)
    assert (returned.tool_call_id, returned.tool_return.text) == (call.tool_call_id, "seven lanterns")
    assert returned.status == v1.TOOL_RETURN_STATUS_SUCCESS
    assert messages[1].id == messages[2].id
    assert {message.step_id for message in messages[1:4]} == {messages[1].step_id}
    assert messages[4].step_id != messages[1].step_id
    assert messages[4].assistant_message.content.text == "There are seven."
    assert run.usage.step_count == 2
    (made,) = workshop.calls
    assert (made.arguments, made.call_id, made.run_id) == ({"at": "it"}, call.tool_call_id, run.id)
    assert made.position == messages[2].position


async def test_what_a_run_of_several_steps_tells_of_itself(workshop: Workshop, caller: Caller) -> None:
    workshop.has("look", effect=v1.TOOL_EFFECT_READ_ONLY)
    run = await ended(caller, steps({"tool_calls": [LOOK]}, {"text": "Seen."}))
    log = await caller.log(run.id)
    assert events(log)[3:] == [
        "step_started",
        "message",
        "state_changed",
        "tool_call_started",
        "tool_call_finished",
        "message",
        "step_finished",
        "state_changed",
        "step_started",
        "message",
        "step_finished",
        "finished",
    ]
    started, finished = log[6].tool_call_started, log[7].tool_call_finished
    assert (started.name, started.effect, started.attempt) == ("look", v1.TOOL_EFFECT_READ_ONLY, 1)
    assert finished.tool_return.tool_call_id == started.tool_call_id
    assert log[5].state_changed.phase == v1.RUN_PHASE_EXECUTING_TOOL


async def test_calls_of_one_answer_run_side_by_side_and_return_together_in_their_order(
    workshop: Workshop, caller: Caller
) -> None:
    second_began = asyncio.Event()

    async def first(call: ToolCall) -> ToolResult:
        await second_began.wait()
        return text_result("first")

    async def second(call: ToolCall) -> ToolResult:
        second_began.set()
        return text_result("second")

    workshop.has("first", first)
    workshop.has("second", second)
    run = await patiently(ended(caller, steps(calls("first", "second"), {"text": "Both."})))
    messages = await caller.messages(run.id)
    assert kinds(messages)[1:] == ["tool_call_message", "tool_return_message", "assistant_message"]
    assert await told(caller, run) == [("first", False), ("second", False)]
    finished = [event.tool_call_finished.tool_return.tool_return.text for event in await caller.log(run.id)]
    assert [text for text in finished if text] == ["second", "first"], "as they ended"


@pytest.mark.parametrize(("kind", "in_order"), [(v1.TOOL_TYPE_BUILT_IN, False), (v1.TOOL_TYPE_PYTHON, True)])
async def test_built_in_tools_and_those_that_want_it_are_called_one_after_the_other(
    workshop: Workshop, caller: Caller, kind: v1.ToolType.ValueType, in_order: bool
) -> None:
    at_work = 0

    async def edit(call: ToolCall) -> ToolResult:
        nonlocal at_work
        at_work += 1
        for _ in range(5):
            await asyncio.sleep(0)
        alone = at_work == 1
        at_work -= 1
        return text_result(f"{call.arguments['n']} {alone}")

    workshop.has("edit", edit, kind=kind)
    workshop.tools[-1].in_order = in_order
    asked = [{"name": "edit", "arguments": {"n": n}} for n in range(3)]
    run = await ended(caller, steps({"tool_calls": asked}, {"text": "Done."}))
    assert await told(caller, run) == [(f"{n} True", False) for n in range(3)]
    assert [call.arguments["n"] for call in workshop.calls] == [0, 1, 2]


async def test_a_tool_that_takes_too_long_is_given_up_and_the_model_told(workshop: Workshop, caller: Caller) -> None:
    ended_by: list[type[BaseException]] = []

    async def hang(call: ToolCall) -> ToolResult:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            ended_by.append(type(cancelled))
            raise
        raise AssertionError

    workshop.has("hang", hang, timeout_s=0.05)
    run = await ended(caller, steps(calls("hang"), {"text": "Too slow."}))
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    given_up = "Error: hang did not return within 0.05 s and was given up. Whether it took effect is not known."
    assert await told(caller, run) == [(given_up, True)]
    assert ended_by == [asyncio.CancelledError]


async def test_a_tool_that_does_not_end_when_it_is_told_to_is_left_alone(workshop: Workshop, caller: Caller) -> None:
    stop = asyncio.Event()

    async def stubborn(call: ToolCall) -> ToolResult:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue
        return text_result("too late")

    workshop.has("stubborn", stubborn, timeout_s=0.01)
    run = await ended(caller, steps(calls("stubborn"), {"text": "Onward."}))
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    ((text, is_error),) = await told(caller, run)
    assert is_error
    assert "was given up" in text
    stop.set()


async def test_a_tool_that_fails_or_breaks_is_a_return_that_the_model_reads(workshop: Workshop, caller: Caller) -> None:
    async def broken(call: ToolCall) -> ToolResult:
        raise RuntimeError("secret words")

    workshop.has("fails", says("no such table", is_error=True))
    workshop.has("breaks", broken)
    run = await ended(caller, steps(calls("fails", "breaks"), {"text": "Oh."}))
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    assert await told(caller, run) == [("no such table", True), ("Error: breaks failed inside the server.", True)]


@pytest.mark.parametrize(
    ("call", "begins"),
    [
        ({"name": "fly"}, "[ToolConstraintError] fly cannot be called now. Tools that can: count."),
        (
            {"name": "count", "arguments": '{"to": '},
            "[InvalidArguments] The arguments cannot be used: they are not JSON",
        ),
        ({"name": "count", "arguments": "[1]"}, "[InvalidArguments] The arguments cannot be used: they must be a JSON"),
        (
            {"name": "count", "arguments": {"to": "ten"}},
            "[InvalidArguments] The arguments cannot be used: they do not fit",
        ),
    ],
    ids=["unknown tool", "broken JSON", "no object", "other schema"],
)
async def test_a_call_that_cannot_be_made_returns_why_and_the_run_goes_on(
    call: dict[str, Any], begins: str, workshop: Workshop, caller: Caller
) -> None:
    workshop.has("count", schema='{"type": "object", "properties": {"to": {"type": "integer"}}}')
    run = await ended(caller, steps({"tool_calls": [call]}, {"text": "I see."}))
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    ((text, is_error),) = await told(caller, run)
    assert is_error
    assert text.startswith(begins)
    assert workshop.calls == []
    assert "tool_call_started" not in events(await caller.log(run.id))


async def test_a_long_result_is_cut_and_says_so(workshop: Workshop, caller: Caller) -> None:
    workshop.has("read", says("x" * 200), return_char_limit=50)
    run = await ended(caller, steps(calls("read"), {"text": "Long."}))
    assert await told(caller, run) == [("x" * 50 + "... [truncated 150 chars]", False)]


async def test_call_ids_that_a_model_repeats_are_made_unique(workshop: Workshop, caller: Caller) -> None:
    workshop.has("look")
    same = {"tool_calls": [{"name": "look", "id": "call_0"}, {"name": "look", "id": "call_0"}]}
    run = await ended(caller, steps(same, same, {"text": "Enough."}))
    ids = [each.tool_call_id for each in await returns(caller, run)]
    assert len(ids) == len(set(ids)) == 4
    assert [call.call_id for call in workshop.calls] == ids


async def test_an_agent_without_parallel_calls_makes_the_first_one_only(workshop: Workshop, caller: Caller) -> None:
    workshop.has("look")
    agent = v1.Agent(model="scripted/script", parallel_tool_calls=False)
    agent_id = (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id
    text = steps({"tool_calls": [LOOK, LOOK]}, {"text": "One."})
    run = await caller.ended((await caller.send(agent_id, text)).id)
    assert len(await returns(caller, run)) == len(workshop.calls) == 1


async def test_the_next_run_is_shown_the_calls_and_their_returns(workshop: Workshop, caller: Caller) -> None:
    workshop.has("look", says("seven"))
    agent = await caller.agent()
    first = await caller.ended((await caller.send(agent, steps({"tool_calls": [LOOK]}, {"text": "Seven."}))).id)
    second = await caller.ended((await caller.send(agent, script(text="again"))).id)
    assert (first.stop_reason, second.stop_reason) == (v1.STOP_REASON_END_TURN,) * 2
    listed = await caller.messages(first.id)
    positions = [message.position for message in listed]
    assert positions == sorted(positions)


@pytest.mark.parametrize("field", ["request", "limits"])
async def test_a_run_makes_no_more_steps_than_it_may(field: str, workshop: Workshop, caller: Caller) -> None:
    workshop.has("look")
    most: dict[str, Any] = {"max_steps": 2} if field == "request" else {"limits": v1.Limits(max_steps=2)}
    run = await ended(caller, steps(*[{"tool_calls": [LOOK]}] * 5), **most)
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_MAX_STEPS)
    assert run.usage.step_count == len(workshop.calls) == 2


async def test_a_run_of_very_many_steps_goes_on_in_a_small_window(workshop: Workshop, caller: Caller) -> None:
    """It leaves its own input and its first steps behind."""
    workshop.has("look", says("Seven lanterns burn at the quiet harbour. " * 4))
    agent = v1.Agent(model=SMALL, system=steps(*[calls("look")] * 20))
    agent_id = (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent))).id
    run = await caller.ended((await caller.send(agent_id, "Look, and look again.", max_steps=200)).id)
    check_log(run, await caller.log(run.id))
    assert (run.stop_reason, run.usage.step_count) == (v1.STOP_REASON_MAX_STEPS, 200), run.error
    messages = await caller.messages(run.id)
    compactions = [message for message in messages if message.HasField("context_start")]
    assert len(compactions) > 5
    starts = {message.position: message for message in messages}
    for message in compactions:
        kept = starts.get(message.context_start, message)
        assert kept is message or kept.WhichOneof("kind") != "tool_return_message", "a return without its call"


async def test_spent_tokens_end_a_run_that_would_go_on(workshop: Workshop, caller: Caller) -> None:
    workshop.has("look")
    call = {**calls("look"), "usage": {"prompt_tokens": 30, "completion_tokens": 20}}
    run = await ended(caller, steps(*[call] * 9), limits=v1.Limits(max_total_tokens=100))
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_BUDGET_EXCEEDED)
    assert (run.usage.total_tokens, run.usage.step_count, len(workshop.calls)) == (100, 2, 2)
    assert dict(run.error.metadata) == {"max_total_tokens": "100", "used": "100"}
    assert kinds(await caller.messages(run.id))[-1] == "tool_return_message"


async def test_an_answer_that_spends_the_last_tokens_is_an_answer(caller: Caller) -> None:
    usage = {"prompt_tokens": 80, "completion_tokens": 80}
    run = await ended(caller, script(text="Dear.", usage=usage), limits=v1.Limits(max_total_tokens=100))
    assert run.stop_reason == v1.STOP_REASON_END_TURN


async def test_a_step_tells_what_it_called_and_how_long_everything_took(workshop: Workshop, serve: Serve) -> None:
    workshop.has("look")
    workshop.has("hear")
    async with serve() as server, calling(server.grpc.address) as caller:
        run = await ended(caller, steps(calls("look", "hear"), {"text": "So."}))
        first, second = (await server.use_cases.steps.list(DEFAULT_TENANT, v1.ListStepsRequest(run_id=run.id))).steps
    assert list(first.tools_called) == ["look", "hear"]
    assert not second.tools_called
    assert first.HasField("tool_duration_ns")
    assert not second.HasField("tool_duration_ns")
    for step in (first, second):
        assert step.status == v1.STEP_STATUS_SUCCESS
        assert step.agent_id == run.agent_id
        assert step.model_duration_ns > 0
        assert step.context_window == 2_000_000
        assert step.start_time.ToNanoseconds() <= step.model_call_time.ToNanoseconds() <= step.end_time.ToNanoseconds()
    assert (first.HasField("stop_reason"), second.stop_reason) == (False, v1.STOP_REASON_END_TURN)


@pytest.mark.parametrize(
    ("text", "commits"), [(script(text="Yes."), 2), (steps({"tool_calls": [LOOK]}, {"text": "Seen."}), 5)]
)
async def test_a_run_is_written_in_few_commits(
    text: str, commits: int, workshop: Workshop, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two without tools. A step with a tool takes three: what is to be called, what came of it, the next step."""
    written: list[Item] = []
    flush = SqliteStore.flush

    async def counted(self: SqliteStore, batch: Sequence[Item]) -> list[Result | Poisoned]:
        written.extend(item for item in batch if isinstance(item, Progress))
        return await flush(self, batch)

    workshop.has("look")
    monkeypatch.setattr(SqliteStore, "flush", counted)
    await ended(caller, text)
    assert len(written) == commits


# ---- cancelled ----


async def cancelled(caller: Caller, run: v1.Run) -> v1.Run:
    async with asyncio.timeout(1):
        await caller.cancel(run.id)
        over = await caller.ended(run.id)
    assert (over.status, over.stop_reason) == (v1.RUN_STATUS_CANCELLED, v1.STOP_REASON_CANCELLED)
    check_log(over, await caller.log(run.id))
    return over


async def test_a_cancel_in_a_tool_call_leaves_a_return_for_each_call_and_a_conversation_that_goes_on(
    workshop: Workshop, caller: Caller
) -> None:
    async def hang(call: ToolCall) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    workshop.has("quick", says("quick"))
    workshop.has("hang", hang)
    agent = await caller.agent()
    run = await caller.send(agent, steps(calls("quick", "hang"), {"text": "never"}))
    while (run := await caller.changed(run.id, run.last_sequence)).last_sequence < 8:
        pass  # until quick has returned
    await cancelled(caller, run)
    (quick, hung) = await told(caller, run)
    assert quick == ("quick", False)
    assert hung == (
        "Error: this call was interrupted, and may have been carried out in part: the run was cancelled.",
        True,
    )
    following = await caller.ended((await caller.send(agent, script(text="on"))).id)
    assert following.stop_reason == v1.STOP_REASON_END_TURN


async def test_a_cancel_reaches_a_run_whose_tool_does_not_listen(workshop: Workshop, caller: Caller) -> None:
    stop = asyncio.Event()

    async def stubborn(call: ToolCall) -> ToolResult:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue
        return text_result("too late")

    workshop.has("stubborn", stubborn)
    run = await caller.send(await caller.agent(), steps(calls("stubborn"), {"text": "never"}))
    await patiently(workshop.begun.get())
    await cancelled(caller, run)
    assert [is_error for _, is_error in await told(caller, run)] == [True]
    stop.set()


async def test_the_deadline_of_a_run_ends_its_tools_too(workshop: Workshop, caller: Caller) -> None:
    async def hang(call: ToolCall) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    workshop.has("hang", hang)
    run = await ended(caller, steps(calls("hang")), limits=v1.Limits(run_timeout=seconds(0.1)))
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_DEADLINE_EXCEEDED)
    ((text, is_error),) = await told(caller, run)
    assert is_error
    assert "the time of the run was over" in text
