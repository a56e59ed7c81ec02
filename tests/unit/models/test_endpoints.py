"""Every provider of the table is reached where it is, with its key, under its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from sendoff import v1
from sendoff_server.clock import SystemClock
from sendoff_server.errors import ModelNotFound
from sendoff_server.models import hosted
from sendoff_server.models.catalogue import ModelCatalogue, catalogue
from sendoff_server.models.endpoints import ENDPOINTS, Endpoint, configured
from sendoff_server.models.port import ModelFailed
from sendoff_server.settings import ProviderSettings, Settings
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers
from tests.unit.models.asking import ask, call, text_of

KEY = "key-very-secret"
OWN_PLACES = tuple(endpoint for endpoint in ENDPOINTS if endpoint.base_url)
each = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)


@pytest.fixture
async def fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeProviders]:
    monkeypatch.setenv("OPENAI_API_KEY", "somebody-elses")  # which the SDK would send to anybody
    async with fake_providers() as running:
        yield running


def providers(**told: str) -> ProviderSettings:
    """Settings with nothing from the environment."""
    nothing = dict.fromkeys(ProviderSettings.model_fields)
    return ProviderSettings.model_validate(nothing | told)


def models_of(endpoint: Endpoint, fake: FakeProviders, tmp_path: Path, *keys: str) -> ModelCatalogue:
    fake.models = [{"id": f"{endpoint.list_prefix}small"}, {"id": f"{endpoint.list_prefix}org/large"}]
    told = {endpoint.url_field: f"{fake.url}/v1/"} | dict.fromkeys(keys, KEY)
    return catalogue(Settings(data_dir=tmp_path), providers(**told), SystemClock())


@each
async def test_its_models_are_listed_and_called_with_its_key(
    endpoint: Endpoint, fake: FakeProviders, tmp_path: Path
) -> None:
    models = models_of(endpoint, fake, tmp_path, endpoint.key_fields[0])
    handle = f"{endpoint.name}/org/large"

    listed = [model.handle for model in (await models.list()).models if not model.handle.startswith("local/")]
    _, answer = await ask(await models.find(handle), call(handle=handle))
    await models.aclose()

    assert listed == [handle, f"{endpoint.name}/small"]
    assert text_of(answer) == "Hello there"
    assert answer.usage == v1.Usage(prompt_tokens=11, completion_tokens=7, total_tokens=18)
    assert fake.last.body["model"] == "org/large"
    assert [request.path for request in fake.requests] == ["/v1/models", "/v1/chat/completions"]
    assert {request.headers["authorization"] for request in fake.requests} == {f"Bearer {KEY}"}


@each
async def test_without_a_key_none_is_sent(endpoint: Endpoint, fake: FakeProviders, tmp_path: Path) -> None:
    models = models_of(endpoint, fake, tmp_path)
    handle = f"{endpoint.name}/small"

    await ask(await models.find(handle), call(handle=handle))
    await models.aclose()

    assert len(fake.requests) == 2
    assert not any("authorization" in request.headers for request in fake.requests)


@each
async def test_a_failure_does_not_tell_the_key(
    endpoint: Endpoint, fake: FakeProviders, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    models = models_of(endpoint, fake, tmp_path, endpoint.key_fields[0])
    handle = f"{endpoint.name}/small"
    told = []
    for status in (400, 401, 429, 500):
        fake.reply = Reply(status=status, error=("some_error", f"{KEY} is not good"))
        with pytest.raises(ModelFailed) as caught:
            await ask(await models.find(handle), call(handle=handle))
        told.append(f"{caught.value!r} {caught.value}")
    await models.aclose()

    assert len(told) == 4
    assert KEY not in f"{told} {capfd.readouterr()}"


@pytest.mark.parametrize("status", [401, 500])
@each
async def test_a_list_that_is_refused_does_not_tell_the_key(
    endpoint: Endpoint, fake: FakeProviders, tmp_path: Path, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    models = models_of(endpoint, fake, tmp_path, endpoint.key_fields[0])
    fake.models_status = status

    listed = await models.list()
    await models.aclose()

    assert list(listed.unreachable) == [endpoint.name]
    assert KEY not in f"{listed} {capfd.readouterr()}"


@each
async def test_what_is_not_configured_is_refused_with_the_variable_to_set(endpoint: Endpoint, tmp_path: Path) -> None:
    models = catalogue(Settings(data_dir=tmp_path), providers(), SystemClock())

    with pytest.raises(ModelNotFound) as caught:
        await models.find(f"{endpoint.name}/small")

    needed = endpoint.key_fields if endpoint.base_url else [endpoint.url_field]
    assert [name for name in needed if name.upper() not in caught.value.message] == []


@pytest.mark.parametrize("endpoint", OWN_PLACES, ids=lambda endpoint: endpoint.name)
def test_a_key_alone_is_enough_for_a_provider_with_a_place_of_its_own(endpoint: Endpoint) -> None:
    for field in endpoint.key_fields:
        ((reached, key),) = configured(providers(**{field: KEY}))
        assert reached is endpoint
        assert reached.base_url.startswith("https://")
        assert key == SecretStr(KEY)


@pytest.mark.parametrize("name", ["openai", "ollama", "vllm", "lmstudio"])
def test_a_key_alone_does_not_tell_where_a_server_of_ones_own_is(name: str) -> None:
    assert list(configured(providers(**{f"{name}_api_key": KEY}))) == []


@each
def test_a_place_of_ones_own_is_given_no_url_to_fetch(endpoint: Endpoint) -> None:
    ((reached, key),) = configured(providers(**{endpoint.url_field: "http://10.0.0.1/v1", endpoint.key_fields[0]: KEY}))
    assert hosted.compatible(reached, key, 5).model("small").wants_image_bytes


def test_those_that_fetch_pictures_from_outside_are_given_their_urls() -> None:
    fetching = {endpoint.name for endpoint in ENDPOINTS if endpoint.fetches_images}
    assert fetching == {"groq", "mistral", "openrouter", "xai", "together"}
    for name in fetching:
        ((reached, key),) = configured(providers(**{f"{name}_api_key": KEY}))
        assert not hosted.compatible(reached, key, 5).model("small").wants_image_bytes
    assert not hosted.openai(SecretStr(KEY), 5).model("gpt-5").wants_image_bytes
    assert not hosted.anthropic(SecretStr(KEY), 5, None).model("claude").wants_image_bytes
    assert hosted.anthropic(SecretStr(KEY), 5, "http://10.0.0.1").model("claude").wants_image_bytes


def test_googles_newer_variable_wins() -> None:
    ((google, key),) = configured(providers(gemini_api_key="older", google_api_key="newer"))
    assert (google.name, key) == ("google", SecretStr("newer"))


async def test_a_bare_list_is_read_too(fake: FakeProviders, tmp_path: Path) -> None:
    (together,) = (endpoint for endpoint in ENDPOINTS if endpoint.name == "together")
    fake.wraps_models = False
    models = models_of(together, fake, tmp_path)

    listed = await models.list()
    await models.aclose()

    assert {"together/small", "together/org/large"} <= {model.handle for model in listed.models}


@each
async def test_usage_is_asked_for_unless_that_is_refused(
    endpoint: Endpoint, fake: FakeProviders, tmp_path: Path
) -> None:
    models = models_of(endpoint, fake, tmp_path)
    await ask(await models.find(f"{endpoint.name}/small"), call(handle=f"{endpoint.name}/small"))
    await models.aclose()

    asked = fake.last.body.get("stream_options")
    assert asked == (None if endpoint.name == "mistral" else {"include_usage": True})


@pytest.mark.parametrize(
    ("prices_of", "model"),
    [
        ("groq", "llama-3.3-70b-versatile"),
        ("mistral", "mistral-large-latest"),
        ("google", "gemini-2.5-flash"),
        ("deepseek", "deepseek-chat"),
        ("openrouter", "openai/gpt-5"),
        ("x-ai", "grok-4"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    ],
)
async def test_prices_are_known(fake: FakeProviders, prices_of: str, model: str) -> None:
    assert prices_of in [endpoint.prices_of for endpoint in ENDPOINTS]
    fake.models = [{"id": model}]
    fake.reply = Reply(usage={"prompt_tokens": 1_000, "completion_tokens": 1_000}, model=model)
    provider = hosted.compatible(Endpoint(name="x", base_url=f"{fake.url}/v1", prices_of=prices_of), None, 5)

    (listed,) = await provider.list()
    _, answer = await ask(provider.model(model), call(handle=f"x/{model}"))
    await provider.aclose()

    assert listed.input_microusd_per_mtok > 0
    both = listed.input_microusd_per_mtok + listed.output_microusd_per_mtok
    assert answer.usage.cost_microusd == pytest.approx(both / 1_000, abs=1)


async def test_a_place_of_ones_own_has_no_known_prices(fake: FakeProviders, tmp_path: Path) -> None:
    (deepseek,) = (endpoint for endpoint in ENDPOINTS if endpoint.name == "deepseek")
    models = models_of(deepseek, fake, tmp_path)
    fake.models = [{"id": "deepseek-chat"}]
    fake.reply = Reply(model="deepseek-chat")

    found = await models.find("deepseek/deepseek-chat")
    _, answer = await ask(found, call(handle="deepseek/deepseek-chat"))
    await models.aclose()

    assert not found.info.HasField("input_microusd_per_mtok")
    assert not answer.usage.HasField("cost_microusd")
