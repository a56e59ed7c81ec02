"""The scripted models do what they are told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.clock import SystemClock
from sendoff_server.models.port import Delta, DeltaKind, Finish, Model, ModelCall, ModelFailed
from sendoff_server.models.scripted import SMALL, SMALL_WINDOW, Gate, ScriptedModels
from tests.fixtures.scripted_gate import HeldCalls
from tests.unit.models.asking import ask, call, text_of


class NotedClock(SystemClock):
    """A clock that notes each sleep and does not sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def model(name: str, gate: Gate | None = None, clock: NotedClock | None = None) -> Model:
    return ScriptedModels(clock or NotedClock(), gate).model(name)


def scripted(attempt: int = 0, **members: Any) -> ModelCall:
    return call(json.dumps({"script": members}), handle="scripted/script", attempt=attempt)


async def test_echo_answers_word_by_word_with_what_was_said() -> None:
    deltas, answer = await ask(model("echo"), call("one  two\nthree"))
    assert [delta.text for delta in deltas] == ["You ", "said: ", "one  ", "two\n", "three"]
    assert text_of(answer) == "You said: one  two\nthree"
    assert answer.finish is Finish.STOP


async def test_a_script_plays_reasoning_then_text_then_tool_calls_as_parts() -> None:
    deltas, answer = await ask(
        model("script"),
        scripted(reasoning="hm well", text="a b c", chunk_words=2, tool_calls=[{"name": "t", "arguments": {"x": 1}}]),
    )
    assert [(delta.part_index, delta.text) for delta in deltas] == [
        (0, "hm well"),
        (1, "a b "),
        (1, "c"),
        (2, '{"x": 1}'),
    ]
    assert answer.parts[2].tool_call.name == "t"
    assert answer.finish is Finish.TOOL_CALLS


async def test_raw_arguments_of_a_tool_call_stay_as_they_are() -> None:
    _, answer = await ask(model("script"), scripted(tool_calls=[{"name": "t", "arguments": '{"x": '}]))
    assert answer.parts[0].tool_call.input.json == '{"x": '


async def test_made_up_words_are_so_many_and_always_the_same() -> None:
    deltas, answer = await ask(model("script"), scripted(words=25))
    assert len(deltas) == len(text_of(answer).split()) == 25
    assert (await ask(model("script"), scripted(words=25)))[1] == answer


@pytest.mark.parametrize(
    ("told", "finish"), [("stop", Finish.STOP), ("length", Finish.LENGTH), ("refused", Finish.REFUSED)]
)
async def test_the_finish_is_as_told(told: str, finish: Finish) -> None:
    _, answer = await ask(model("script"), scripted(text="so far", finish=told))
    assert answer.finish is finish


async def test_usage_that_is_not_told_is_unknown() -> None:
    _, answer = await ask(model("script"), scripted(text="a", usage={"prompt_tokens": 7, "completion_tokens": 0}))
    assert answer.usage == v1.Usage(prompt_tokens=7, completion_tokens=0, total_tokens=7)


async def test_delays_lie_before_the_first_chunk_and_between_chunks() -> None:
    clock = NotedClock()
    await ask(model("script", clock=clock), scripted(text="a b c", first_delay_ms=500, delay_ms=20))
    assert clock.slept == [0.5, 0.02, 0.02]


async def test_without_delays_no_timer_is_used() -> None:
    clock = NotedClock()
    await ask(model("script", clock=clock), scripted(words=1_000))
    assert clock.slept == []


async def test_a_long_script_without_delays_lets_others_run() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await ask(model("script"), scripted(words=10_000))
    counting.cancel()
    assert turns > 100


async def test_the_script_may_stand_in_the_system_prompt() -> None:
    question = call("hi", handle="scripted/script", system='{"script": {"text": "from the prompt"}}')
    assert text_of((await ask(model("script"), question))[1]) == "from the prompt"


async def test_a_script_in_the_message_comes_before_the_system_prompt() -> None:
    question = call('{"script": {"text": "mine"}}', handle="scripted/script", system='{"script": {"text": "not mine"}}')
    assert text_of((await ask(model("script"), question))[1]) == "mine"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tell me a story", "needs a script"),
        ('{"script": {"txt": "a"}}', "script.txt"),
        ('{"script": {"text": 1}}', "script.text"),
        ('{"script": {"text": "a", "words": 2}}', "exclude each other"),
        ('{"script": {"delay_ms": -1}}', "script.delay_ms"),
        ('{"script": {"error": {"kind": "odd"}}}', "script.error.kind"),
        ('{"script": {"text": "a"}, "more": 1}', "more"),
        ('{"script": {"text": "a"', "Invalid JSON"),
    ],
)
async def test_a_script_that_cannot_be_played_is_rejected_by_name(text: str, named: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        await ask(model("script"), call(text, handle="scripted/script"))
    assert caught.value.reason == "MODEL_REJECTED_REQUEST"
    assert not caught.value.retryable
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("kind", "reason", "stop_reason", "retryable"),
    [
        ("rate_limit", "MODEL_RATE_LIMITED", "LLM_API_ERROR", True),
        ("overloaded", "MODEL_OVERLOADED", "LLM_API_ERROR", True),
        ("unavailable", "MODEL_UNAVAILABLE", "LLM_API_ERROR", True),
        ("timeout", "MODEL_TIMEOUT", "LLM_API_ERROR", True),
        ("authentication", "MODEL_AUTHENTICATION", "LLM_API_ERROR", False),
        ("quota", "MODEL_QUOTA_EXCEEDED", "INSUFFICIENT_CREDITS", False),
        ("context", "CONTEXT_OVERFLOW", "LLM_API_ERROR", False),
        ("rejected", "MODEL_REJECTED_REQUEST", "LLM_API_ERROR", False),
        ("invalid", "MODEL_ANSWER_INVALID", "INVALID_LLM_RESPONSE", True),
    ],
)
async def test_every_kind_of_error_can_be_told(kind: str, reason: str, stop_reason: str, retryable: bool) -> None:
    with pytest.raises(ModelFailed) as caught:
        await ask(model("script"), scripted(text="a", error={"kind": kind, "retry_after_s": 2.5}))
    failure = caught.value
    assert (failure.reason, failure.retryable, failure.retry_after_s) == (reason, retryable, 2.5)
    assert failure.stop_reason == v1.StopReason.Value(f"STOP_REASON_{stop_reason}")


async def test_an_error_comes_after_so_many_chunks() -> None:
    stream = model("script").stream(scripted(text="a b c", error={"kind": "overloaded", "after_chunks": 2}))
    assert [await anext(stream), await anext(stream)] == [
        Delta(0, DeltaKind.TEXT, "a "),
        Delta(0, DeltaKind.TEXT, "b "),
    ]
    with pytest.raises(ModelFailed):
        await anext(stream)


async def test_an_error_after_more_chunks_than_there_are_comes_instead_of_the_answer() -> None:
    with pytest.raises(ModelFailed):
        await ask(model("script"), scripted(text="a", error={"kind": "invalid", "after_chunks": 9}))


async def test_an_error_can_pass_after_some_attempts() -> None:
    error = {"kind": "rate_limit", "attempts": 2}
    for attempt in (0, 1):
        with pytest.raises(ModelFailed):
            await ask(model("script"), scripted(attempt, text="ok", error=error))
    assert text_of((await ask(model("script"), scripted(2, text="ok", error=error)))[1]) == "ok"


async def test_an_answer_without_anything_is_a_failure() -> None:
    with pytest.raises(ModelFailed, match="MODEL_ANSWER_INVALID"):
        await ask(model("script"), scripted())


async def test_a_hanging_call_ends_when_it_is_cancelled() -> None:
    gate = HeldCalls(lambda call, sent: sent == 1)
    asking = asyncio.create_task(ask(model("script", gate), scripted(text="a", hang=True)))
    await asyncio.wait_for(gate.held.get(), 5)
    gate.release()
    done, _ = await asyncio.wait([asking], timeout=0.01)
    assert not done
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 5)


async def test_a_gate_holds_a_call_at_a_chunk_and_tells_that_it_began() -> None:
    gate = HeldCalls(lambda call, sent: sent == 2)
    stream = model("script", gate).stream(scripted(text="a b c"))
    first, second = await anext(stream), await anext(stream)
    third = asyncio.create_task(anext(stream))
    held, sent = await asyncio.wait_for(gate.held.get(), 5)
    assert (gate.begun.get_nowait(), held.run_id, sent, gate.under_way) == (held, "run-1", 2, 1)
    assert not third.done()
    gate.release()
    assert len({first, second, await asyncio.wait_for(third, 5)}) == 3
    await stream.aclose()


async def test_the_small_model_guards_its_window_and_counts_all_that_it_is_shown() -> None:
    _, answer = await ask(model("small"), call("x" * 400, handle=SMALL))
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (100, 100 + answer.usage.completion_tokens)
    with pytest.raises(ModelFailed, match="CONTEXT_OVERFLOW"):
        await ask(model("small"), call("x" * (4 * SMALL_WINDOW + 1), handle=SMALL))


async def test_the_small_model_plays_a_script_too() -> None:
    _, answer = await ask(model("small"), call(json.dumps({"script": {"text": "played"}}), handle=SMALL))
    assert text_of(answer) == "played"
