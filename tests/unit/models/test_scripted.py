"""The scripted models do what they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.clock import SystemClock
from sendoff_server.models.port import Answer, Delta, DeltaKind, Finish, Model, ModelCall, ModelFailed, ToolSpec
from sendoff_server.models.scripted import SMALL, SMALL_WINDOW, Gate, ScriptedModels
from tests.fixtures.scripted_gate import HeldCalls
from tests.unit.models.asking import ask, call, text_of, user


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
        ('{"script": {"steps": [{"txt": "a"}]}}', "script.steps.0.txt"),
        ('{"script": {"steps": [{"text": "a"}], "text": "b"}}', "only be repeat"),
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


TWO_STEPS = json.dumps(
    {"script": {"steps": [{"text": "looking", "tool_calls": [{"name": "look"}]}, {"text": "found"}]}}
)
LOOK = ToolSpec("look", "Look.", '{"type":"object"}')


def answered(answer_id: str, *, calls: int = 0) -> Sequence[v1.Message]:
    """An answer as it stands in history: text, and calls with their returns."""
    made = [v1.ToolCall(tool_call_id=f"{answer_id}-{number}", name="look") for number in range(calls)]
    said = v1.AssistantMessage(content=v1.Content(text="said"))
    messages = [v1.Message(id=answer_id, assistant_message=said)]
    if made:
        returns = [v1.ToolReturn(tool_call_id=told.tool_call_id) for told in made]
        messages.append(v1.Message(id=answer_id, tool_call_message=v1.ToolCallMessage(tool_calls=made)))
        messages.append(v1.Message(id=f"r-{answer_id}", tool_return_message=v1.ToolReturnMessage(tool_returns=returns)))
    return messages


async def play(*messages: v1.Message, **more: Any) -> Answer:
    question = replace(call(handle="scripted/script", messages=messages), **more)
    return (await ask(model("script"), question))[1]


async def test_steps_are_played_one_for_each_answer_since_the_users_newest_message() -> None:
    first = await play(user(TWO_STEPS))
    assert (text_of(first), first.parts[1].tool_call.name, first.finish) == ("looking", "look", Finish.TOOL_CALLS)
    assert text_of(await play(user(TWO_STEPS), *answered("a", calls=2))) == "found"
    assert text_of(await play(user(TWO_STEPS), *answered("a", calls=1), *answered("b"))) == "done"
    assert text_of(await play(user("hi"), *answered("a"), user(TWO_STEPS))) == "looking"


async def test_what_the_server_says_in_the_users_place_is_not_the_users_newest_message() -> None:
    nudge = user('{"type": "heartbeat", "reason": "call look first"}')
    summary = user("what was said before")
    summary.context_start = 1
    assert text_of(await play(user(TWO_STEPS), *answered("a"), nudge)) == "found"
    assert text_of(await play(user(TWO_STEPS), summary, *answered("a"))) == "found"


async def test_the_last_step_can_be_repeated_for_ever() -> None:
    script = json.dumps({"script": {"steps": [{"text": "one"}, {"text": "again"}], "repeat": True}})
    told = [await play(user(script), *(m for n in range(count) for m in answered(f"a{n}"))) for count in (0, 1, 2, 9)]
    assert [text_of(answer) for answer in told] == ["one", "again", "again", "again"]


async def test_a_script_without_steps_is_its_own_only_step() -> None:
    script = user('{"script": {"text": "once"}}')
    assert text_of(await play(script)) == "once"
    assert text_of(await play(script, *answered("a"))) == "done"


async def test_every_tool_call_has_an_id_of_its_own_which_is_the_same_for_the_same_call() -> None:
    script = user(json.dumps({"script": {"steps": [{"tool_calls": [{"name": "a"}, {"name": "b"}]}], "repeat": True}}))
    questions: list[dict[str, Any]] = [{}, {"attempt": 1}, {"run_id": "run-2"}]
    answers = [await play(script, **question) for question in questions]
    answers.append(await play(script, *answered("x", calls=1)))
    ids = [part.tool_call.id for answer in answers for part in answer.parts]
    assert len(set(ids)) == 8
    assert [part.tool_call.id for part in (await play(script)).parts] == ids[:2]


async def test_the_id_of_a_tool_call_can_be_told() -> None:
    answer = await play(user('{"script": {"tool_calls": [{"name": "a", "id": "mine"}, {"name": "b"}]}}'))
    assert answer.parts[0].tool_call.id == "mine" != answer.parts[1].tool_call.id


async def test_a_script_refuses_a_call_that_it_does_not_expect() -> None:
    script = user('{"script": {"text": "ok", "expect_tools": ["look"], "expect_must_call": false}}')
    assert text_of(await play(script, tools=[LOOK])) == "ok"
    with pytest.raises(ModelFailed, match=r"expects the tools \['look'\], not \[\]"):
        await play(script)
    with pytest.raises(ModelFailed, match="must_call"):
        await play(script, tools=[LOOK], must_call=True)


async def test_who_must_call_a_tool_and_has_no_script_calls_the_first_one() -> None:
    _, answer = await ask(model("echo"), replace(call("hi"), tools=[LOOK], must_call=True))
    assert (answer.parts[0].tool_call.name, answer.parts[0].tool_call.input.json) == ("look", "{}")
    assert text_of(await play(user('{"script": {"text": "I will not"}}'), tools=[LOOK], must_call=True)) == "I will not"


async def test_tokens_are_told_to_whom_asks_for_them() -> None:
    script = user('{"script": {"text": "a b", "tokens": [{"token": "a b", "id": 7, "logprob": -0.5}]}}')
    assert not (await play(script)).tokens
    (ids,) = (await play(script, token_ids=True)).tokens
    assert ids == v1.TokenTurn(role="assistant", content="a b", output_ids=[7], output_token_logprobs=[-0.5])
    (probable,) = (await play(script, top_logprobs=2)).tokens
    assert (probable.logprobs[0].token, probable.logprobs[0].logprob) == ("a b", -0.5)
    assert [told.logprob for told in probable.logprobs[0].top_logprobs] == [-0.5, -1.5]
    assert not probable.output_ids


async def test_tokens_that_are_not_told_are_made_up_from_the_chunks() -> None:
    _, answer = await ask(model("echo"), replace(call("hi"), token_ids=True, top_logprobs=0))
    (turn,) = answer.tokens
    assert [told.token for told in turn.logprobs] == ["You ", "said: ", "hi"]
    assert len(turn.output_ids) == len(set(turn.output_ids)) == len(turn.output_token_logprobs) == 3
