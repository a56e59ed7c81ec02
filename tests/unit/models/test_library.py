"""The model library's adapter, against a local server that speaks like the providers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from sendoff import v1
from sendoff_server.models import hosted
from sendoff_server.models.endpoints import Endpoint
from sendoff_server.models.hosted import HostedProvider
from sendoff_server.models.library import openai_connection
from sendoff_server.models.listing import Shop
from sendoff_server.models.port import Delta, DeltaKind, Finish, ModelFailed, ToolSpec
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers
from tests.unit.models.asking import ask, call, text_of

KEY = "sk-very-secret"
PATIENCE_S = 30.0
"""How long a provider may be silent that is to answer: on a busy machine connecting alone can take a moment."""
SILENCE_S = 1.0
"""How long, where it is to be found out that one is silent."""

Provide = Callable[..., HostedProvider]


def compatible(fake: FakeProviders, silence_s: float = PATIENCE_S) -> HostedProvider:
    endpoint = Endpoint(name="openai", system="openai-compatible", base_url=f"{fake.url}/v1")
    return hosted.compatible(endpoint, SecretStr(KEY), silence_s)


def anthropic(fake: FakeProviders, silence_s: float = PATIENCE_S) -> HostedProvider:
    return hosted.anthropic(SecretStr(KEY), silence_s, fake.url)


def responses(fake: FakeProviders, silence_s: float = PATIENCE_S) -> HostedProvider:
    url = f"{fake.url}/v1"
    return HostedProvider(Shop(name="openai", url=f"{url}/models"), lambda: openai_connection(KEY, silence_s, url))


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with fake_providers() as running:
        yield running


@pytest.fixture(params=[compatible, anthropic, responses])
async def provider(request: pytest.FixtureRequest, fake: FakeProviders) -> AsyncIterator[HostedProvider]:
    provide: Provide = request.param
    made = provide(fake, PATIENCE_S)
    yield made
    await made.aclose()


@pytest.fixture
async def chat(fake: FakeProviders) -> AsyncIterator[HostedProvider]:
    made = compatible(fake)
    yield made
    await made.aclose()


@pytest.fixture
async def claude(fake: FakeProviders) -> AsyncIterator[HostedProvider]:
    made = anthropic(fake)
    yield made
    await made.aclose()


async def failure(provider: HostedProvider) -> ModelFailed:
    with pytest.raises(ModelFailed) as caught:
        await ask(provider.model("small"), call(handle=f"{provider.name}/small"))
    return caught.value


async def test_text_comes_piece_by_piece_with_usage(fake: FakeProviders, provider: HostedProvider) -> None:
    deltas, answer = await ask(provider.model("small"), call("hi", system="Be brief."))
    assert deltas == [Delta(0, DeltaKind.TEXT, "Hello"), Delta(0, DeltaKind.TEXT, " there")]
    assert answer.finish is Finish.STOP
    assert answer.provider_request_id
    assert answer.usage == v1.Usage(prompt_tokens=11, completion_tokens=7, total_tokens=18)
    assert "Be brief." in json.dumps(fake.last.body)


async def test_requests_share_one_kept_connection(fake: FakeProviders, provider: HostedProvider) -> None:
    for _ in range(3):
        await ask(provider.model("small"), call())
    assert len({request.peer for request in fake.requests}) == 1


async def test_empty_pieces_are_not_told(fake: FakeProviders, provider: HostedProvider) -> None:
    fake.reply = Reply(text=("", "a", "", "b"))
    deltas, answer = await ask(provider.model("small"), call())
    assert [delta.text for delta in deltas] == ["a", "b"]
    assert len(answer.parts) == 1


async def test_reasoning_is_a_part_of_its_own_before_the_text(fake: FakeProviders, provider: HostedProvider) -> None:
    fake.reply = Reply(thinking=("think",), text=("a", "b"), signature="c2ln")
    deltas, answer = await ask(provider.model("small"), call())
    assert [(delta.part_index, delta.kind) for delta in deltas] == [
        (0, DeltaKind.REASONING),
        (1, DeltaKind.TEXT),
        (1, DeltaKind.TEXT),
    ]
    assert answer.parts[0].reasoning.reasoning == "think"
    assert answer.parts[0].reasoning.is_native


CALLS = (("call_1", "weather", ('{"city": ', '"Ulm"}')), ("call_2", "time", ('{"zone": ',)))


@pytest.mark.parametrize("text", [(), ("Let me see.",)], ids=["calls only", "text and calls"])
async def test_tool_calls_come_piece_by_piece_with_their_arguments_as_written(
    fake: FakeProviders, provider: HostedProvider, text: tuple[str, ...]
) -> None:
    fake.reply = Reply(text=text, tool_calls=CALLS, finish="tool_calls")
    deltas, answer = await ask(provider.model("small"), call())
    at = len(text)
    assert [(delta.part_index, delta.text) for delta in deltas if delta.kind is DeltaKind.TOOL_ARGUMENTS] == [
        (at, '{"city": '),
        (at, '"Ulm"}'),
        (at + 1, '{"zone": '),
    ]
    assert [(part.tool_call.id, part.tool_call.name, part.tool_call.input.json) for part in answer.parts[at:]] == [
        ("call_1", "weather", '{"city": "Ulm"}'),
        ("call_2", "time", '{"zone": '),
    ]
    assert answer.finish is Finish.TOOL_CALLS


async def test_tool_calls_that_were_cut_off_are_told_as_such(fake: FakeProviders, provider: HostedProvider) -> None:
    fake.reply = Reply(text=(), tool_calls=CALLS, finish="length")
    _, answer = await ask(provider.model("small"), call())
    assert answer.finish is Finish.LENGTH
    assert len(answer.parts) == 2


async def test_what_one_call_asks_for_is_not_asked_for_by_the_next(
    fake: FakeProviders, provider: HostedProvider
) -> None:
    tool = ToolSpec("look", "Look.", '{"type":"object","properties":{}}')
    forced = replace(call(), tools=[tool], must_call=True, parallel_calls=False, top_logprobs=3, token_ids=True)
    await ask(provider.model("small"), forced)
    await ask(provider.model("small"), call())
    asked = {"tools", "tool_choice", "parallel_tool_calls", "logprobs", "top_logprobs", "return_token_ids", "include"}
    assert not asked & set(fake.last.body)


async def test_a_model_that_refuses_to_be_forced_is_left_the_choice(
    fake: FakeProviders, claude: HostedProvider
) -> None:
    forced = replace(call(), tools=[ToolSpec("look", "", "")], must_call=True)
    await ask(claude.model("claude-sonnet-5-5"), forced)
    assert fake.last.body["tool_choice"] == {"type": "auto"}
    assert fake.last.body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


async def test_a_server_that_says_stop_after_tool_calls_is_understood(
    fake: FakeProviders, chat: HostedProvider
) -> None:
    fake.reply = Reply(text=(), tool_calls=CALLS, finish="stop")
    assert (await ask(chat.model("small"), call()))[1].finish is Finish.TOOL_CALLS


@pytest.mark.parametrize(("told", "finish"), [("length", Finish.LENGTH), ("content_filter", Finish.REFUSED)])
async def test_why_it_stopped_is_told(fake: FakeProviders, provider: HostedProvider, told: str, finish: Finish) -> None:
    fake.reply = Reply(finish=told)
    _, answer = await ask(provider.model("small"), call())
    assert answer.finish is finish


async def test_usage_that_was_not_told_is_unset(fake: FakeProviders, chat: HostedProvider) -> None:
    fake.reply = Reply(usage=None)
    _, answer = await ask(chat.model("small"), call())
    assert answer.usage == v1.Usage()


async def test_details_of_usage_are_kept(fake: FakeProviders, chat: HostedProvider) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 3}}
    fake.reply = Reply(usage={"prompt_tokens": 11, "completion_tokens": 7, **details})
    _, answer = await ask(chat.model("small"), call())
    assert (answer.usage.cached_input_tokens, answer.usage.reasoning_tokens) == (5, 3)


async def test_anthropics_input_tokens_include_those_of_the_cache(fake: FakeProviders, claude: HostedProvider) -> None:
    details = {"cached_tokens": 100, "cache_write_tokens": 20}
    fake.reply = Reply(usage={"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": details})
    _, answer = await ask(claude.model("small"), call())
    usage = answer.usage
    assert (usage.prompt_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (131, 100, 20)


async def test_the_cost_is_told_where_the_price_is_known(fake: FakeProviders, claude: HostedProvider) -> None:
    fake.reply = Reply(usage={"prompt_tokens": 1_000, "completion_tokens": 1_000}, model="claude-haiku-4-5")
    _, answer = await ask(claude.model("small"), call())
    assert answer.usage.cost_microusd == 6_000


async def test_lone_surrogates_are_replaced_and_split_pairs_joined(
    fake: FakeProviders, provider: HostedProvider
) -> None:
    fake.reply = Reply(text=("a\ud83d", "\ude00b", "\udc00", "c\ud83d"))
    _, answer = await ask(provider.model("small"), call())
    assert text_of(answer) == "a\N{GRINNING FACE}b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}"


ERRORS = [
    (429, "rate_limit_error", "slow down", "MODEL_RATE_LIMITED", True),
    (529, "overloaded_error", "overloaded", "MODEL_OVERLOADED", True),
    (500, "server_error", "oops", "MODEL_UNAVAILABLE", True),
    (503, "server_error", "down", "MODEL_UNAVAILABLE", True),
    (401, "authentication_error", f"bad key {KEY}", "MODEL_AUTHENTICATION", False),
    (404, "not_found_error", "no such model", "MODEL_NOT_FOUND", False),
    (400, "invalid_request_error", f"bad field, {KEY}", "MODEL_REJECTED_REQUEST", False),
]


@pytest.mark.parametrize(("status", "kind", "message", "reason", "retryable"), ERRORS)
async def test_an_error_of_the_provider_has_its_reason(
    fake: FakeProviders, provider: HostedProvider, status: int, kind: str, message: str, reason: str, retryable: bool
) -> None:
    fake.reply = Reply(status=status, error=(kind, message))
    failed = await failure(provider)
    assert (failed.reason, failed.retryable) == (reason, retryable)
    assert len(fake.requests) == 1
    assert KEY not in f"{failed} {failed.metadata}"


async def test_how_long_to_wait_is_kept(fake: FakeProviders, provider: HostedProvider) -> None:
    fake.reply = Reply(status=429, error=("rate_limit_error", "slow"), headers={"Retry-After": "7"})
    assert (await failure(provider)).retry_after_s == 7


async def test_openais_empty_purse_is_not_a_rate_limit(fake: FakeProviders, chat: HostedProvider) -> None:
    fake.reply = Reply(status=429, error=("insufficient_quota", "pay"))
    failed = await failure(chat)
    assert (failed.reason, failed.retryable) == ("MODEL_QUOTA_EXCEEDED", False)
    assert failed.stop_reason == v1.StopReason.STOP_REASON_INSUFFICIENT_CREDITS


async def test_anthropics_empty_purse_is_not_a_rejection(fake: FakeProviders, claude: HostedProvider) -> None:
    fake.reply = Reply(status=400, error=("invalid_request_error", "Your credit balance is too low to access"))
    assert (await failure(claude)).reason == "MODEL_QUOTA_EXCEEDED"


async def test_openais_overflow_of_the_context_is_known(fake: FakeProviders, chat: HostedProvider) -> None:
    fake.reply = Reply(status=400, error=("context_length_exceeded", "maximum context length is 8192 tokens"))
    assert (await failure(chat)).reason == "CONTEXT_OVERFLOW"


async def test_anthropics_overflow_of_the_context_is_known(fake: FakeProviders, claude: HostedProvider) -> None:
    fake.reply = Reply(
        status=400, error=("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
    )
    assert (await failure(claude)).reason == "CONTEXT_OVERFLOW"


async def test_llama_cpps_overflow_of_the_context_is_known(fake: FakeProviders, chat: HostedProvider) -> None:
    fake.reply = Reply(status=400, error=("exceed_context_size_error", "too long"))
    assert (await failure(chat)).reason == "CONTEXT_OVERFLOW"


async def test_a_stream_that_ends_without_saying_why_is_cut_off(fake: FakeProviders, provider: HostedProvider) -> None:
    fake.reply = Reply(finish="")
    failed = await failure(provider)
    assert (failed.reason, failed.retryable) == ("MODEL_ANSWER_INVALID", True)
    assert failed.stop_reason == v1.StopReason.STOP_REASON_INVALID_LLM_RESPONSE


async def test_a_connection_that_breaks_is_unavailable(fake: FakeProviders, provider: HostedProvider) -> None:
    fake.reply = Reply(break_after=1, then="cut")
    assert (await failure(provider)).reason == "MODEL_UNAVAILABLE"


async def test_an_undecodable_event_is_an_invalid_answer(fake: FakeProviders, chat: HostedProvider) -> None:
    fake.reply = Reply(break_after=1, then="garbage")
    assert (await failure(chat)).reason == "MODEL_ANSWER_INVALID"


async def test_an_error_inside_the_stream_has_its_reason(fake: FakeProviders, claude: HostedProvider) -> None:
    fake.reply = Reply(break_after=1, then="error", error=("overloaded_error", "overloaded"))
    failed = await failure(claude)
    assert (failed.reason, failed.retryable) == ("MODEL_OVERLOADED", True)


@pytest.mark.parametrize("provide", [compatible, anthropic, responses])
async def test_a_silent_stream_times_out(fake: FakeProviders, provide: Provide) -> None:
    impatient = provide(fake, SILENCE_S)
    fake.reply = Reply(break_after=1, then="stall")
    failed = await failure(impatient)
    assert (failed.reason, failed.retryable) == ("MODEL_TIMEOUT", True)
    await asyncio.wait_for(fake.disconnects.get(), PATIENCE_S)
    await impatient.aclose()


async def test_an_answer_with_nothing_in_it_is_invalid(fake: FakeProviders, provider: HostedProvider) -> None:
    fake.reply = Reply(text=())
    assert (await failure(provider)).reason == "MODEL_ANSWER_INVALID"


async def test_a_provider_that_is_not_there_is_unavailable() -> None:
    gone = hosted.compatible(Endpoint(name="openai", base_url="http://127.0.0.1:9/v1"), None, PATIENCE_S)
    failed = await failure(gone)
    assert (failed.reason, failed.retryable) == ("MODEL_UNAVAILABLE", True)
    await gone.aclose()


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_a_call_that_is_given_up_ends_at_the_provider(
    fake: FakeProviders, provider: HostedProvider, how: str
) -> None:
    slow = provider.model("small")
    await ask(slow, call())  # so that the library is loaded
    fake.reply = Reply(text=("a",) * 1_000, break_after=2, then="stall")
    stream = slow.stream(call())
    await anext(stream)
    if how == "close":
        await stream.aclose()
    else:
        waiting = asyncio.create_task(drained(stream))
        await asyncio.wait_for(fake.stalled.get(), PATIENCE_S)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await asyncio.wait_for(fake.disconnects.get(), PATIENCE_S / 2)


async def drained(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def test_reasoning_goes_back_with_its_signature_to_who_signed_it(
    fake: FakeProviders, claude: HostedProvider
) -> None:
    fake.reply = Reply(thinking=("hm",), signature="c2ln", redacted="b3BhcXVl")
    _, answer = await ask(claude.model("small"), call())
    await ask(claude.model("small"), call(messages=[*entries(answer.parts), user("and?")]))
    assert fake.last.body["messages"][0]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "text", "text": "Hello there"},
    ]


async def test_signed_reasoning_is_not_sent_to_anybody_else(
    fake: FakeProviders, claude: HostedProvider, chat: HostedProvider
) -> None:
    fake.reply = Reply(thinking=("hm",), signature="c2ln", redacted="b3BhcXVl")
    _, answer = await ask(claude.model("small"), call())
    await ask(chat.model("small"), call(messages=[*entries(answer.parts), user("and?")]))
    assert fake.last.body["messages"] == [
        {"role": "assistant", "content": "Hello there"},
        {"role": "user", "content": "and?"},
    ]


async def test_what_gemini_tells_beside_a_call_goes_back_beside_it_and_to_nobody_else(
    fake: FakeProviders, chat: HostedProvider, claude: HostedProvider
) -> None:
    thought = {"google": {"thought_signature": "c2ln:bmVk"}}
    fake.reply = Reply(text=(), tool_calls=CALLS[:1], beside_calls={"call_1": thought}, finish="tool_calls")
    _, answer = await ask(chat.model("small"), call())
    assert [part.WhichOneof("part") for part in answer.parts] == ["omitted_reasoning", "tool_call"]
    fake.reply = Reply()
    for messages in (entries(answer.parts), entries(answer.parts[::-1])):
        await ask(chat.model("small"), call(messages=[*messages, user("and?")]))
        (made,) = fake.last.body["messages"][0]["tool_calls"]
        assert made["extra_content"] == thought
    await ask(claude.model("small"), call(messages=[*entries(answer.parts), user("and?")]))
    assert "c2ln" not in json.dumps(fake.last.body)


async def test_openais_reasoning_is_not_shown_to_a_model_of_its_that_does_not_reason(fake: FakeProviders) -> None:
    openai = responses(fake)
    fake.reply = Reply(thinking=("one",), signature="ZW5j")
    _, answer = await ask(openai.model("gpt-5-mini"), call())
    await ask(openai.model("gpt-4.1"), call(messages=[*entries(answer.parts), user("and?")]))
    assert [said["role"] for said in fake.last.body["input"]] == ["assistant", "user"]
    await openai.aclose()


async def test_openais_encrypted_reasoning_goes_back_to_openai(fake: FakeProviders) -> None:
    openai = responses(fake)
    fake.reply = Reply(thinking=("one", "two"), signature="ZW5j")
    _, answer = await ask(openai.model("gpt-5-mini"), call())
    assert [part.reasoning.reasoning for part in answer.parts[:2]] == ["one", "two"]
    await ask(openai.model("gpt-5-mini"), call(messages=[*entries(answer.parts), user("and?")]))
    reasoning = fake.last.body["input"][0]
    assert (reasoning["id"], reasoning["encrypted_content"]) == ("rs_1", "ZW5j")
    assert [piece["text"] for piece in reasoning["summary"]] == ["one", "two"]
    assert fake.last.body["store"] is False
    await openai.aclose()


def entries(parts: Any) -> list[v1.Message]:
    """The entries of an answer in a history, all with one id."""
    return [entry(part) for part in parts]


def entry(part: v1.ContentPart) -> v1.Message:
    match part.WhichOneof("part"):
        case "reasoning":
            said = v1.ReasoningMessage(reasoning=part.reasoning.reasoning, signature=part.reasoning.signature)
            return v1.Message(id="message-1", reasoning_message=said)
        case "tool_call":
            told = part.tool_call
            made = v1.ToolCall(tool_call_id=told.id, name=told.name, arguments=told.input.json)
            return v1.Message(id="message-1", tool_call_message=v1.ToolCallMessage(tool_calls=[made]))
        case "omitted_reasoning":
            kept = part.omitted_reasoning.signature
            hidden = v1.HiddenReasoningMessage(state="omitted", hidden_reasoning=kept)
            return v1.Message(id="message-1", hidden_reasoning_message=hidden)
        case "redacted_reasoning":
            hidden = v1.HiddenReasoningMessage(state="redacted", hidden_reasoning=part.redacted_reasoning.data)
            return v1.Message(id="message-1", hidden_reasoning_message=hidden)
        case _:
            return v1.Message(
                id="message-1", assistant_message=v1.AssistantMessage(content=v1.Content(text=part.text.text))
            )


def user(text: str) -> v1.Message:
    return v1.Message(id="message-9", user_message=v1.UserMessage(content=v1.Content(text=text)))


async def test_the_whole_history_is_sent_in_order(fake: FakeProviders, provider: HostedProvider) -> None:
    messages = [user("first"), *entries([v1.ContentPart(text=v1.Text(text="second"))]), user("third")]
    await ask(provider.model("small"), call(system="zeroth", messages=messages))
    sent = json.dumps(fake.last.body)
    places = [sent.index(word) for word in ("first", "second", "third")]
    assert places == sorted(places)
    assert "zeroth" in sent
    assert fake.last.body["stream"] is True


async def test_the_list_of_models_is_the_providers(fake: FakeProviders, chat: HostedProvider) -> None:
    fake.models = [{"id": "org/large", "max_model_len": 8_192}, {"id": "small"}]
    assert [(model.handle, model.context_window) for model in await chat.list()] == [
        ("openai/org/large", 8_192),
        ("openai/small", 0),
    ]
    assert fake.last.headers["authorization"] == f"Bearer {KEY}"
    assert chat.model("org/large").info.context_window == 8_192


async def test_anthropics_models_have_prices_and_aliases(fake: FakeProviders, claude: HostedProvider) -> None:
    fake.models = [{"id": "claude-sonnet-4-5-20250929"}, {"id": "claude-unheard-of"}]
    dated, alias, unknown = await claude.list()
    assert (dated.handle, alias.handle) == ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5")
    assert (alias.input_microusd_per_mtok, alias.output_microusd_per_mtok) == (3_000_000, 15_000_000)
    assert alias.context_window > 0
    assert not unknown.HasField("input_microusd_per_mtok")
    assert fake.last.headers["x-api-key"] == KEY


@pytest.mark.parametrize("status", [401, 500])
async def test_a_provider_that_does_not_list_its_models_says_so(
    fake: FakeProviders, chat: HostedProvider, status: int
) -> None:
    fake.models_status = status
    with pytest.raises(ModelFailed, match=str(status)):
        await chat.list()
