"""Settings reach the providers in their own words, whole."""

from __future__ import annotations

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
from sendoff_server.models.port import Finish, ToolSpec
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers
from tests.unit.models.asking import ask, call

SCHEMA = '{"schema":{"type":"object","properties":{"city":{"type":"string"}}}}'
BY_SCHEMA = v1.ResponseFormat(json_schema=v1.JsonSchemaFormat(json_schema=v1.JsonObject(json=SCHEMA)))
SOME_JSON = v1.ResponseFormat(json_object=v1.JsonObjectFormat())

Provide = Callable[[FakeProviders], HostedProvider]


def compatible(fake: FakeProviders) -> HostedProvider:
    endpoint = Endpoint(name="openai", system="openai-compatible", base_url=f"{fake.url}/v1")
    return hosted.compatible(endpoint, SecretStr("key"), 5)


def anthropic(fake: FakeProviders) -> HostedProvider:
    return hosted.anthropic(SecretStr("key"), 5, fake.url)


def responses(fake: FakeProviders) -> HostedProvider:
    url = f"{fake.url}/v1"
    return HostedProvider(Shop(name="openai", url=f"{url}/models"), lambda: openai_connection("key", 5, url))


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with fake_providers() as running:
        yield running


async def sent(fake: FakeProviders, provide: Provide, *, tools: bool = False, **settings: Any) -> dict[str, Any]:
    """The body of the request that such settings make."""
    provider = provide(fake)
    try:
        asked = replace(call("hi"), settings=v1.ModelSettings(**settings))
        if tools:
            asked = replace(asked, tools=[ToolSpec("look", "Looks.", '{"type":"object","properties":{}}')])
        await ask(provider.model("small"), asked)
    finally:
        await provider.aclose()
    return fake.last.body


CHAT: dict[str, Any] = {
    "temperature": 0.25,
    "top_p": 0.5,
    "max_output_tokens": 64,
    "frequency_penalty": -0.5,
    "seed": 7,
    "reasoning_effort": v1.REASONING_EFFORT_LOW,
    "verbosity": v1.VERBOSITY_HIGH,
    "response_format": BY_SCHEMA,
}


async def test_chat_completions_are_told_every_setting(fake: FakeProviders) -> None:
    body = await sent(fake, compatible, **CHAT)
    assert {name: body[name] for name in ("temperature", "top_p", "max_tokens", "frequency_penalty", "seed")} == {
        "temperature": 0.25,
        "top_p": 0.5,
        "max_tokens": 64,
        "frequency_penalty": -0.5,
        "seed": 7,
    }
    assert (body["reasoning_effort"], body["verbosity"]) == ("low", "high")
    schema = {"name": "answer", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}


async def test_the_responses_api_is_told_every_setting_that_it_has(fake: FakeProviders) -> None:
    settings: dict[str, Any] = {
        name: value for name, value in CHAT.items() if name not in ("frequency_penalty", "seed")
    }
    body = await sent(fake, responses, **settings)
    assert (body["temperature"], body["top_p"], body["max_output_tokens"]) == (0.25, 0.5, 64)
    assert body["reasoning"] == {"effort": "low"}
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert body["text"] == {
        "verbosity": "high",
        "format": {"type": "json_schema", "name": "answer", "schema": schema},
    }


async def test_anthropic_is_told_every_setting_that_it_has(fake: FakeProviders) -> None:
    told: dict[str, Any] = {"temperature": 0.25, "top_p": 0.5, "max_output_tokens": 64, "response_format": BY_SCHEMA}
    body = await sent(fake, anthropic, **told, reasoning_effort=v1.REASONING_EFFORT_HIGH)
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.25, 0.5, 64)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert body["output_config"] == {"effort": "high", "format": {"type": "json_schema", "schema": schema}}


async def test_anthropic_is_told_how_much_it_may_reason(fake: FakeProviders) -> None:
    body = await sent(fake, anthropic, max_reasoning_tokens=2_048)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2_048}
    assert body["max_tokens"] > 2_048
    assert (await sent(fake, anthropic, max_reasoning_tokens=0))["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("provide", "member", "told"),
    [
        (compatible, "response_format", {"type": "json_object"}),
        (responses, "text", {"format": {"type": "json_object"}}),
    ],
)
async def test_some_json_object_can_be_asked_for(
    fake: FakeProviders, provide: Provide, member: str, told: dict[str, Any]
) -> None:
    assert (await sent(fake, provide, response_format=SOME_JSON))[member] == told


@pytest.mark.parametrize("provide", [compatible, responses, anthropic])
async def test_what_is_not_set_is_left_to_the_provider(fake: FakeProviders, provide: Provide) -> None:
    body = await sent(fake, provide)
    names = ("temperature", "top_p", "seed", "frequency_penalty", "reasoning_effort", "response_format", "text")
    assert [name for name in (*names, "output_config", "thinking") if name in body] == []


async def test_tools_are_strict_where_that_is_wanted(fake: FakeProviders) -> None:
    (tool,) = (await sent(fake, compatible, tools=True, strict=True))["tools"]
    assert tool["function"]["strict"] is True
    (tool,) = (await sent(fake, compatible, tools=True))["tools"]
    assert tool["function"].get("strict") is not True


async def test_an_answer_that_the_limit_cuts_off_says_so(fake: FakeProviders) -> None:
    fake.reply = Reply(text=("Hel",), finish="length")
    provider = compatible(fake)
    asked = replace(call("hi"), settings=v1.ModelSettings(max_output_tokens=1))
    _, answer = await ask(provider.model("small"), asked)
    await provider.aclose()
    assert answer.finish is Finish.LENGTH


async def test_a_model_says_what_it_can_be_set_to(fake: FakeProviders) -> None:
    fake.models = [{"id": "gpt-4o"}, {"id": "gpt-5"}]
    names = {}
    for provide in (compatible, anthropic):
        provider = provide(fake)
        names[provide] = set((await provider.list())[0].supported_settings)
        await provider.aclose()
    assert "seed" in names[compatible]
    assert "seed" not in names[anthropic]
    real = hosted.openai(SecretStr("key"), 5)
    assert "temperature" in real.info("gpt-4o").supported_settings
    assert "temperature" not in real.info("gpt-5").supported_settings
    assert "reasoning_effort" in real.info("gpt-5").supported_settings
