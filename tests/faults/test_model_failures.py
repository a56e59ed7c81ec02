"""What becomes of a run when its model fails, and what its caller is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.app import Server
from tests.faults.caller import Caller, calling, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import check_log, texts
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

_API, _INVALID = v1.STOP_REASON_LLM_API_ERROR, v1.STOP_REASON_INVALID_LLM_RESPONSE
_CREDITS = v1.STOP_REASON_INSUFFICIENT_CREDITS
# A wait longer than a server has patience for: what could be repeated is given up at once.
_NOT_REPEATED = {"retry_after_s": 1_000}


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    async with calling(server.grpc.address) as connected:
        yield connected


async def _ended(caller: Caller, **told: Any) -> v1.Run:
    """The run of such a script, once it has ended; its log is well-formed and its input kept."""
    agent = await caller.agent()
    text = script(**told)
    run = await caller.ended((await caller.send(agent, text)).id)
    check_log(run, await caller.log(run.id))
    assert texts(await caller.messages(run.id))[0] == ("user_message", text)
    assert run.total_duration_ns > 0
    following = await caller.ended((await caller.send(agent, script(text="goes on"))).id)
    assert following.status == v1.RUN_STATUS_COMPLETED, "the conversation is stuck"
    return run


@pytest.mark.parametrize(
    ("kind", "stop_reason", "reason", "retryable"),
    [
        ("rate_limit", _API, "MODEL_RATE_LIMITED", True),
        ("overloaded", _API, "MODEL_OVERLOADED", True),
        ("unavailable", _API, "MODEL_UNAVAILABLE", True),
        ("timeout", _API, "MODEL_TIMEOUT", True),
        ("authentication", _API, "MODEL_AUTHENTICATION", False),
        ("quota", _CREDITS, "MODEL_QUOTA_EXCEEDED", False),
        ("context", v1.STOP_REASON_CONTEXT_WINDOW_OVERFLOW_IN_SYSTEM_PROMPT, "CONTEXT_OVERFLOW", False),
        ("rejected", _API, "MODEL_REJECTED_REQUEST", False),
        ("invalid", _INVALID, "MODEL_ANSWER_INVALID", True),
    ],
)
@pytest.mark.parametrize("after_chunks", [0, 2])
async def test_each_failure_has_its_stop_reason_and_says_whether_to_send_again(
    kind: str,
    stop_reason: v1.StopReason.ValueType,
    reason: str,
    retryable: bool,
    after_chunks: int,
    caller: Caller,
) -> None:
    error = {"kind": kind, "after_chunks": after_chunks, **_NOT_REPEATED}
    run = await _ended(caller, text="one two three", error=error)
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, stop_reason)
    assert (run.error.reason, run.error.retryable) == (reason, retryable)
    assert run.error.message
    assert [kind for kind, _ in texts(await caller.messages(run.id))] == ["user_message"]
    assert run.HasField("ttft_ns") == (after_chunks > 0)
    retracted = [event.message_retracted.reason for event in await caller.log(run.id) if _retracts(event)]
    assert retracted == ["FAILED"]


def _retracts(event: v1.RunEvent) -> bool:
    return event.HasField("message_retracted")


async def test_passing_failures_are_repeated_visibly_until_the_answer_comes(caller: Caller) -> None:
    error = {"kind": "overloaded", "after_chunks": 1, "attempts": 3, "retry_after_s": 0.01}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cost_microusd": 7}
    run = await _ended(caller, text="at last", error=error, usage=usage)
    assert (run.status, run.stop_reason, run.attempt) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN, 1)
    log = await caller.log(run.id)
    pauses = [event.state_changed for event in log if event.state_changed.phase == v1.RUN_PHASE_BACKING_OFF]
    assert len(pauses) == 3
    assert all(pause.wait.reason and pause.wait.HasField("earliest_start_time") for pause in pauses)
    assert [event.message_retracted.reason for event in log if _retracts(event)] == ["MODEL_RETRY"] * 3
    assert texts(await caller.messages(run.id))[1:] == [("assistant_message", "at last")]
    assert (run.usage.total_tokens, run.usage.cost_microusd, run.usage.step_count) == (15, 7, 1)
    assert not run.HasField("wait")


async def test_a_pause_is_shown_by_get_while_it_lasts(caller: Caller) -> None:
    error = {"kind": "rate_limit", "retry_after_s": 60}
    run = await caller.send(await caller.agent(), script(text="never", error=error))
    while run.phase != v1.RUN_PHASE_BACKING_OFF:
        run = await caller.changed(run.id, run.last_sequence)
    told = await caller.get(run.id)
    assert (told.status, told.phase) == (v1.RUN_STATUS_RUNNING, v1.RUN_PHASE_BACKING_OFF)
    assert told.wait.reason == "RETRY_BACKOFF"
    in_s = (told.wait.earliest_start_time.ToNanoseconds() - told.create_time.ToNanoseconds()) / 1e9
    assert 59 < in_s < 70
    await caller.cancel(run.id)
    await caller.ended(run.id)


async def test_a_passing_failure_that_does_not_pass_fails_the_run(caller: Caller) -> None:
    run = await _ended(caller, text="never", error={"kind": "unavailable", "retry_after_s": 0})
    assert (run.status, run.error.reason) == (v1.RUN_STATUS_FAILED, "MODEL_UNAVAILABLE")
    started = [event for event in await caller.log(run.id) if event.HasField("step_started")]
    assert len(started) == 5, "the call and four repeats"
    assert len({event.step_started.message_id for event in started}) == 5


async def test_an_answer_cut_off_by_the_token_limit_is_kept_and_the_run_failed(caller: Caller) -> None:
    run = await _ended(caller, text="half an ans", finish="length", usage={"prompt_tokens": 3, "completion_tokens": 3})
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_MAX_TOKENS_EXCEEDED)
    assert texts(await caller.messages(run.id))[1:] == [("assistant_message", "half an ans")]
    assert run.usage.total_tokens == 6


async def test_an_answer_withheld_by_its_provider_fails_the_run(caller: Caller) -> None:
    run = await _ended(caller, text="", finish="refused")
    assert (run.stop_reason, run.error.reason) == (_INVALID, "MODEL_REFUSED")
    assert not run.error.retryable


async def test_input_that_led_to_nothing_but_a_failure_is_listed_and_not_shown_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = hold_calls(monkeypatch, HeldCalls(lambda call, sent: False))
    async with serve() as server, calling(server.grpc.address) as caller:
        await _fail_twice_and_go_on(caller)
    calls = [gate.begun.get_nowait() for _ in range(gate.begun.qsize())]
    assert texts(calls[-1].messages) == [
        ("user_message", _HALF),
        ("assistant_message", "half an ans"),
        ("user_message", script(text="on")),
    ], "what was answered in part is kept"


_HALF = script(text="half an ans", finish="length")


async def _fail_twice_and_go_on(caller: Caller) -> None:
    agent = await caller.agent()
    failed = script(text="never", error={"kind": "rejected"})
    run = await caller.ended((await caller.send(agent, failed)).id)
    assert run.status == v1.RUN_STATUS_FAILED
    assert texts(await caller.messages(run.id)) == [("user_message", failed)]
    assert (await caller.ended((await caller.send(agent, _HALF)).id)).status == v1.RUN_STATUS_FAILED
    await caller.ended((await caller.send(agent, script(text="on"))).id)


async def test_the_model_is_told_that_nobody_has_the_tool_and_goes_on(caller: Caller) -> None:
    run = await _ended(caller, steps=[{"tool_calls": [{"name": "weather"}]}, {"text": "Then without."}])
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)
    (returned,) = (await caller.messages(run.id))[2].tool_return_message.tool_returns
    assert returned.status == v1.TOOL_RETURN_STATUS_ERROR
    assert returned.tool_return.text.startswith("[ToolConstraintError] weather cannot be called")


async def test_a_good_run_tells_its_times_and_its_usage(caller: Caller) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "cached_input_tokens": 4, "reasoning_tokens": 2}
    run = await _ended(caller, text="fine", reasoning="hm", usage=usage)
    assert 0 < run.ttft_ns <= run.total_duration_ns
    assert run.create_time.ToNanoseconds() <= run.start_time.ToNanoseconds() <= run.complete_time.ToNanoseconds()
    used = run.usage
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (10, 5, 15)
    assert (used.cached_input_tokens, used.reasoning_tokens, used.context_tokens, used.step_count) == (4, 2, 15, 1)
    assert not used.HasField("cost_microusd")
    finished = [event.step_finished for event in await caller.log(run.id) if event.HasField("step_finished")]
    assert [step.usage.total_tokens for step in finished] == [15]
