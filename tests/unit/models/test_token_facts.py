"""Log-probabilities and token ids: asked for in each provider's words, and told in ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.clock import SystemClock
from sendoff_server.models import hosted
from sendoff_server.models.catalogue import catalogue
from sendoff_server.models.endpoints import ENDPOINTS, Endpoint
from sendoff_server.models.hosted import HostedProvider
from sendoff_server.models.listing import Shop, unlisted
from sendoff_server.models.port import ModelCall
from sendoff_server.settings import ProviderSettings, Settings
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers
from tests.unit.models.asking import ask, call
from tests.unit.models.test_library import PATIENCE_S, responses

TOKENS = (("Hello", -0.25, 17), (" there", -1.5, 4))


@pytest.fixture
async def fake() -> AsyncIterator[FakeProviders]:
    async with fake_providers() as running:
        running.reply = Reply(tokens=TOKENS)
        yield running


@pytest.fixture
async def vllm(fake: FakeProviders) -> AsyncIterator[HostedProvider]:
    made = hosted.compatible(Endpoint(name="vllm", base_url=f"{fake.url}/v1"), None, PATIENCE_S)
    yield made
    await made.aclose()


def asking(**more: Any) -> ModelCall:
    return replace(call(), **more)


def told() -> list[v1.TokenLogprob]:
    return [
        v1.TokenLogprob(
            token=token,
            logprob=logprob,
            bytes=token.encode(),
            top_logprobs=[
                v1.TokenLogprob.Alternative(token=token, logprob=logprob, bytes=token.encode()),
                v1.TokenLogprob.Alternative(token="?", logprob=-9.0, bytes=b"?"),
            ],
        )
        for token, logprob, _ in TOKENS
    ]


async def test_log_probabilities_of_chat_completions(fake: FakeProviders, vllm: HostedProvider) -> None:
    _, answer = await ask(vllm.model("small"), asking(top_logprobs=2))
    assert {key: fake.last.body.get(key) for key in ("logprobs", "top_logprobs")} == {
        "logprobs": True,
        "top_logprobs": 2,
    }
    assert "return_token_ids" not in fake.last.body
    assert list(answer.tokens) == [v1.TokenTurn(role="assistant", content="Hello there", logprobs=told())]


async def test_token_ids_of_vllm_come_with_their_log_probabilities(fake: FakeProviders, vllm: HostedProvider) -> None:
    _, answer = await ask(vllm.model("small"), asking(token_ids=True))
    assert fake.last.body["return_token_ids"] is True
    (turn,) = answer.tokens
    assert turn == v1.TokenTurn(
        role="assistant", content="Hello there", output_ids=[17, 4], output_token_logprobs=[-0.25, -1.5]
    )


async def test_log_probabilities_of_the_responses_api(fake: FakeProviders) -> None:
    openai = responses(fake)
    _, answer = await ask(openai.model("gpt-4.1"), asking(top_logprobs=2))
    await openai.aclose()
    assert fake.last.body["include"] == ["message.output_text.logprobs"]
    assert fake.last.body["top_logprobs"] == 2
    assert list(answer.tokens) == [v1.TokenTurn(role="assistant", content="Hello there", logprobs=told())]


async def test_nothing_is_told_where_nothing_was_asked_or_known(fake: FakeProviders, vllm: HostedProvider) -> None:
    assert not (await ask(vllm.model("small"), call()))[1].tokens
    fake.reply = Reply()
    assert not (await ask(vllm.model("small"), asking(top_logprobs=0, token_ids=True)))[1].tokens


@pytest.mark.parametrize(
    ("provider", "name", "logprobs", "token_ids"),
    [
        ("openai", "anything", True, False),
        ("vllm", "org/model", True, True),
        ("deepseek", "deepseek-chat", True, False),
        ("deepseek", "deepseek-reasoner", False, False),
        ("xai", "grok-3", True, False),
        ("xai", "grok-3-mini", False, False),
        ("xai", "grok-4", False, False),
        ("groq", "llama", False, False),
        ("openrouter", "org/model", False, False),
    ],
)
def test_what_a_compatible_provider_can_tell_is_known(
    provider: str, name: str, logprobs: bool, token_ids: bool
) -> None:
    (endpoint,) = (endpoint for endpoint in ENDPOINTS if endpoint.name == provider)
    info = hosted.compatible(replace(endpoint, base_url="http://127.0.0.1:9/v1"), None, PATIENCE_S).model(name).info
    assert (info.supports_logprobs, info.supports_token_ids) == (logprobs, token_ids)


async def test_what_openai_and_anthropic_can_tell_is_known(fake: FakeProviders, tmp_path: Path) -> None:
    nothing = dict.fromkeys(ProviderSettings.model_fields)
    keys = ProviderSettings.model_validate(nothing | {"openai_api_key": "k", "anthropic_api_key": "k"})
    models = catalogue(Settings(data_dir=tmp_path), keys, SystemClock())
    shelves = {name: models._shelves[name].provider for name in ("openai", "anthropic")}
    told = {
        f"{provider}/{name}": shelves[provider].model(name).info.supports_logprobs
        for provider, name in [("openai", "gpt-4.1"), ("openai", "gpt-5"), ("openai", "o3"), ("anthropic", "claude-x")]
    }
    await models.aclose()
    assert told == {"openai/gpt-4.1": True, "openai/gpt-5": False, "openai/o3": False, "anthropic/claude-x": False}


async def test_a_list_that_tells_what_each_model_can_is_believed(fake: FakeProviders) -> None:
    router = hosted.compatible(Endpoint(name="openrouter", base_url=f"{fake.url}/v1"), None, PATIENCE_S)
    fake.models = [
        {"id": "a", "supported_parameters": ["logprobs", "tools", "top_logprobs"]},
        {"id": "b", "supported_parameters": ["tools"]},
    ]
    assert [(model.handle, model.supports_logprobs) for model in await router.list()] == [
        ("openrouter/a", True),
        ("openrouter/b", False),
    ]
    assert router.model("a").info.supports_logprobs
    assert not unlisted(Shop(name="openrouter", url=""), "a").supports_logprobs
