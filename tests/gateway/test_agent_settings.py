"""What an agent is set to through the official client is told back, and is what its model is called with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import letta_client
import pytest
from pydantic import SecretStr

from sendoff import v1
from sendoff_server import app
from sendoff_server.app import Server
from sendoff_server.gateway.nouns.agent_settings import AGENT_TYPES
from sendoff_server.models.catalogue import ModelCatalogue
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.port import DEFAULT_TENANT
from tests.faults.caller import script
from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, url

SCHEMA = {"name": "place", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
BY_SCHEMA = {"type": "json_schema", "json_schema": SCHEMA}


@pytest.fixture(params=EACH_WAY, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as client:
        yield client


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    async with knocking(server) as made:
        yield made


@pytest.fixture
async def rig(settings: Settings) -> AsyncIterator[tuple[Server, FakeProviders]]:
    """A server, and the provider of its models, which notes what it is asked."""
    await asyncio.to_thread(import_module, "pydantic_ai.models.anthropic")  # on a busy machine that outlasts a call
    async with fake_providers() as provider:
        provider.models = [{"id": "small", "context_window": 20_000}]
        providers = ProviderSettings.model_construct(
            openai_api_key=SecretStr("sk-secret"),
            openai_base_url=f"{provider.url}/v1",
            anthropic_api_key=SecretStr("sk-secret"),
            anthropic_base_url=provider.url,
        )
        with_door = settings.model_copy(update={"http_address": "127.0.0.1:0"})
        async with app.running(with_door, providers) as running:
            yield running, provider


OPENAI: dict[str, Any] = {
    "provider_type": "openai",
    "temperature": 0.25,
    "max_output_tokens": 64,
    "parallel_tool_calls": False,
    "reasoning": {"reasoning_effort": "low"},
    "response_format": BY_SCHEMA,
    "strict": True,
}


# ---- how the model is called ----


async def test_model_settings_reach_the_provider_and_are_told_back(
    rig: tuple[Server, FakeProviders], kind: Kind
) -> None:
    server, provider = rig
    async with connected(url(server), kind) as sdk:
        agent = await sdk("agents.create", model="openai/small", model_settings=OPENAI, include_base_tools=False)
        assert agent.api_model_settings.temperature == 0.25
        assert agent.api_model_settings.reasoning.reasoning_effort == "low"
        assert agent.response_format.json_schema == SCHEMA
        assert (agent.llm_config.temperature, agent.llm_config.max_tokens) == (0.25, 64)
        run = await sdk.run(server, agent.id, "hello")
        assert run.stop_reason == "end_turn"
    body = provider.last.body
    assert (body["temperature"], body["max_tokens"], body["reasoning_effort"]) == (0.25, 64, "low")
    assert body["response_format"] == BY_SCHEMA


async def test_anthropic_has_settings_of_its_own_shape(rig: tuple[Server, FakeProviders], kind: Kind) -> None:
    server, provider = rig
    told = {"provider_type": "anthropic", "temperature": 1, "thinking": {"type": "enabled", "budget_tokens": 2_048}}
    async with connected(url(server), kind) as sdk:
        agent = await sdk("agents.create", model="anthropic/small", model_settings=told, include_base_tools=False)
        assert agent.api_model_settings.provider_type == "anthropic"
        assert agent.api_model_settings.thinking.budget_tokens == 2_048
        await sdk.run(server, agent.id, "hello")
    assert provider.last.body["thinking"] == {"type": "enabled", "budget_tokens": 2_048}


async def test_an_answer_that_is_too_long_ends_its_run_with_the_precise_reason(
    rig: tuple[Server, FakeProviders], kind: Kind
) -> None:
    server, provider = rig
    provider.reply = Reply(text=("Hel",), finish="length")
    async with connected(url(server), kind) as sdk:
        agent = await sdk.agent("openai/small", max_tokens=1)
        run = await sdk.run(server, agent, "hello")
    assert (run.status, run.stop_reason) == ("failed", "max_tokens_exceeded")
    assert provider.last.body["max_tokens"] == 1


async def test_members_that_are_older_say_the_same(server: Server, sdk: Sdk) -> None:
    form = {"type": "json_object"}
    older: dict[str, Any] = {"max_tokens": 50, "parallel_tool_calls": False, "response_format": form}
    agent = await sdk.agent(**older, reasoning=False)
    expected = {
        "max_output_tokens": 50,
        "parallel_tool_calls": False,
        "response_format": {"json_object": {}},
        "reasoning_effort": "REASONING_EFFORT_NONE",
    }
    run = await sdk.run(server, agent, script(text="yes", expect_settings=expected))
    assert run.stop_reason == "end_turn"
    told = await sdk("agents.retrieve", agent)
    assert (told.api_model_settings.max_output_tokens, told.response_format.type) == (50, "json_object")


async def test_a_whole_llm_config_names_the_model_and_its_settings(server: Server, sdk: Sdk) -> None:
    config = {
        "model": "script",
        "model_endpoint_type": "openai",
        "model_endpoint": "https://api.example/v1",
        "model_wrapper": None,
        "handle": "scripted/script",
        "context_window": 9_000,
        "temperature": 0.5,
        "max_tokens": 70,
        "enable_reasoner": True,
        "max_reasoning_tokens": 0,
        "parallel_tool_calls": True,
    }
    agent = await sdk("agents.create", llm_config=config, include_base_tools=False)
    assert (agent.model, agent.llm_config.context_window) == ("scripted/script", 9_000)
    expected = {"temperature": 0.5, "max_output_tokens": 70, "parallel_tool_calls": True}
    run = await sdk.run(server, agent.id, script(text="yes", expect_settings=expected))
    assert run.stop_reason == "end_turn"


async def test_what_was_told_can_be_sent_back(server: Server, sdk: Sdk) -> None:
    agent = await sdk("agents.create", model="scripted/script", model_settings=OPENAI, compaction_settings={})
    same = {
        "model_settings": agent.api_model_settings.model_dump(by_alias=True),
        "compaction_settings": agent.compaction_settings.model_dump(by_alias=True),
        "llm_config": agent.llm_config.model_dump(by_alias=True),
    }
    again = await sdk("agents.update", agent.id, **same)
    assert again.api_model_settings == agent.api_model_settings
    assert again.compaction_settings == agent.compaction_settings


async def test_settings_that_the_model_cannot_be_set_to_are_refused_by_name(
    rig: tuple[Server, FakeProviders], kind: Kind
) -> None:
    server, _ = rig
    async with connected(url(server), kind) as sdk:
        for name, value in {"response_format": {"type": "json_object"}, "verbosity": "high"}.items():
            told = {"provider_type": "anthropic", name: value}
            with pytest.raises(letta_client.UnprocessableEntityError, match=rf"model_settings\.{name}"):
                await sdk("agents.create", model="anthropic/small", model_settings=told)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"temperature": 3}, "model_settings.temperature"),
        ({"temperature": "warm"}, "model_settings.temperature"),
        ({"max_output_tokens": 0}, "model_settings.max_output_tokens"),
        ({"reasoning": "much"}, "model_settings.reasoning"),
        ({"reasoning": {"reasoning_effort": "huge"}}, "model_settings.reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "model_settings.response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "model_settings.response_format"),
        ({"thinking": {"type": "maybe"}}, "model_settings.thinking.type"),
        ({"tool_call_parser": "hermes"}, "model_settings.tool_call_parser"),
        ("warm", "model_settings"),
    ],
)
async def test_a_setting_of_another_form_is_refused_with_its_place(door: Door, asked: object, named: str) -> None:
    response = await door.http.post("/v1/agents/", json={"model": "scripted/echo", "model_settings": asked})
    assert response.status_code == 422
    assert re.search(rf"{re.escape(named)}\b", response.json()["detail"]), response.text


# ---- context ----


async def test_a_context_has_the_limit_that_the_agent_is_set_to(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent(context_window_limit=400)
    assert (await sdk("agents.retrieve", agent)).llm_config.context_window == 400
    run = await sdk.run(server, agent, script(text="yes") + " " * 4_000)
    assert run.stop_reason == "context_window_overflow_in_system_prompt"
    await sdk("agents.update", agent, context_window_limit=40_000)
    run = await sdk.run(server, agent, script(text="yes") + " " * 4_000)
    assert run.stop_reason == "end_turn"


async def test_compaction_settings_are_told_back_and_replaced(server: Server, sdk: Sdk) -> None:
    told = {"mode": "all", "model": "scripted/echo", "prompt": "Sum it up.", "clip_chars": 500}
    agent = await sdk("agents.create", model="scripted/script", compaction_settings=told)
    settings = agent.compaction_settings
    assert (settings.mode, settings.model, settings.prompt, settings.clip_chars) == tuple(told.values())
    assert settings.sliding_window_percentage is None
    changed = await sdk("agents.update", agent.id, compaction_settings={"sliding_window_percentage": 0.5})
    settings = changed.compaction_settings
    assert (settings.mode, settings.sliding_window_percentage, settings.prompt) == ("sliding_window", 0.5, None)


@pytest.mark.parametrize(
    ("asked", "named", "status"),
    [
        ({"mode": "magic"}, "compaction_settings.mode", 422),
        ({"sliding_window_percentage": 2}, "compaction_settings.sliding_window_percentage", 422),
        ({"mode": "self_compact_all", "model": "scripted/echo"}, "compaction_settings.model", 422),
        ({"model_settings": {"temperature": 9}}, "compaction_settings.model_settings.temperature", 422),
        ({"model": "scripted/none"}, "scripted/none", 404),
    ],
)
async def test_a_compaction_that_cannot_be_is_refused_by_name(
    door: Door, asked: object, named: str, status: int
) -> None:
    response = await door.http.post("/v1/agents/", json={"model": "scripted/echo", "compaction_settings": asked})
    assert response.status_code == status
    assert named in response.json()["detail"]


async def test_an_agent_that_keeps_no_buffer_is_shown_nothing_of_earlier_requests(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent(message_buffer_autoclear=True)
    assert (await sdk("agents.retrieve", agent)).message_buffer_autoclear is True
    for _ in range(2):
        run = await sdk.run(server, agent, script(text="yes", expect_messages=1))
        assert run.stop_reason == "end_turn"
    kept = [each.message_type for each in (await sdk("agents.messages.list", agent)).items]
    assert sorted(kept) == ["assistant_message"] * 2 + ["system_message"] + ["user_message"] * 2


async def test_a_model_is_told_times_in_the_zone_of_its_agent(rig: tuple[Server, FakeProviders], kind: Kind) -> None:
    server, provider = rig
    provider.choose = lambda body: Reply() if len(body["messages"]) > 2 else _looking
    async with connected(url(server), kind) as sdk:
        agent = await sdk("agents.create", model="openai/small", timezone="Asia/Tokyo", tools=["conversation_search"])
        assert agent.timezone == "Asia/Tokyo"
        run = await sdk.run(server, agent.id, "look")
        assert run.stop_reason == "end_turn"
    (told,) = [each["content"] for each in provider.last.body["messages"] if each["role"] == "tool"]
    assert "JST+0900" in told


_looking = Reply(
    text=(), tool_calls=(("call_number_1", "conversation_search", ('{"query":"x"}',)),), finish="tool_calls"
)


REVEAL = """import os
def reveal() -> str:
    return os.environ["WORD"]
"""


async def test_secrets_are_given_to_python_tools_and_told_only_where_they_are_asked_for(
    serve: Serve, kind: Kind
) -> None:
    async with serve(http_address="127.0.0.1:0", python_tools=True) as server, connected(url(server), kind) as sdk:
        tool = v1.Tool(name="reveal", type=v1.TOOL_TYPE_PYTHON, source_code=REVEAL)
        await server.use_cases.tools.upsert(DEFAULT_TENANT, v1.UpsertToolRequest(tool=tool))
        agent = await sdk.agent(secrets={"WORD": "lantern"}, tools=["reveal"])
        assert (await sdk("agents.retrieve", agent)).secrets == []
        (secret,) = (await sdk("agents.retrieve", agent, include=["agent.secrets"])).secrets
        assert (secret.key, secret.value, secret.agent_id) == ("WORD", "lantern", agent)
        run = await sdk.run(server, agent, script(steps=[{"tool_calls": [{"name": "reveal"}]}, {"text": "ok"}]))
        assert await _returned(sdk, run.id) == ["lantern"]
        await sdk("agents.update", agent, tool_exec_environment_variables={"WORD": "harbour"})
        run = await sdk.run(server, agent, script(steps=[{"tool_calls": [{"name": "reveal"}]}, {"text": "ok"}]))
        assert await _returned(sdk, run.id) == ["harbour"]


async def _returned(sdk: Sdk, run_id: str) -> list[str]:
    found = await sdk.all("runs.messages.list", run_id)
    return [each.tool_return for each in found if each.message_type == "tool_return_message"]


# ---- who it is ----


async def test_every_type_of_agent_is_taken_and_told_back(server: Server, sdk: Sdk) -> None:
    for each in AGENT_TYPES:
        agent = await sdk("agents.create", model="scripted/echo", agent_type=each)
        assert (agent.agent_type, agent.memory.agent_type) == (each, each)
    assert len(AGENT_TYPES) == 9


async def test_an_agent_without_a_name_is_given_one(server: Server, sdk: Sdk) -> None:
    agent = await sdk("agents.create", model="scripted/echo")
    assert re.fullmatch(r"([A-Z][a-z]+){2}", agent.name)


@pytest.mark.parametrize(
    ("member", "value", "named"),
    [
        ("name", "a/b", "name"),
        ("name", "a\nb", "name"),
        ("agent_type", "wizard", "agent_type"),
        ("timezone", "Mars/Olympus", "timezone"),
        ("context_window_limit", 0, "context_window_limit"),
        ("secrets", {"KEY": "x"}, "secrets"),
        ("tool_exec_environment_variables", {"KEY": "x"}, "secrets"),
        ("secrets", ["KEY"], "secrets"),
        ("initial_message_sequence", [{"role": "user", "content": "hi"}], "initial_message_sequence"),
        ("include_multi_agent_tools", True, "include_multi_agent_tools"),
        ("reasoning", "yes", "reasoning"),
        ("metadata", [], "metadata"),
    ],
)
async def test_what_an_agent_cannot_be_is_refused_by_name(door: Door, member: str, value: object, named: str) -> None:
    response = await door.http.post("/v1/agents/", json={"model": "scripted/echo", member: value})
    assert response.status_code == 422
    assert named in response.json()["detail"]
    assert await door.get("/v1/agents/count") == 0


async def test_without_a_model_an_agent_gets_the_server_s_or_cannot_be(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await door.post("/v1/agents/", {}))["model"] == "scripted/echo"
    monkeypatch.setattr(ModelCatalogue, "default_handle", "")
    assert (await door.http.post("/v1/agents/", json={})).status_code == 400


@pytest.mark.parametrize(("model", "status"), [("script", 400), ("scripted/none", 404), ("no/such", 404)])
async def test_an_agent_needs_a_model_that_there_is(door: Door, model: str, status: int) -> None:
    response = await door.http.post("/v1/agents/", json={"model": model})
    assert response.status_code == status, response.text


async def test_a_tool_that_there_is_not_is_400(door: Door) -> None:
    response = await door.http.post("/v1/agents/", json={"model": "scripted/echo", "tools": ["no_such_tool"]})
    assert response.status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"timezone": "Mars/Olympus"},
        {"memory_blocks": [{"label": "a", "value": "x"}, {"label": "a", "value": "y"}]},
        {"memory_blocks": [{"label": "a", "value": "x"}, {"label": "", "value": "y"}]},
        {"model_settings": {"temperature": 9}},
        {"block_ids": ["block-00000000-0000-4000-8000-000000000000"]},
    ],
)
async def test_an_agent_that_cannot_be_made_leaves_no_blocks_behind(door: Door, server: Server, wrong: Any) -> None:
    body = {"model": "scripted/echo", "memory_blocks": [{"label": "a", "value": "x"}], **wrong}
    response = await door.http.post("/v1/agents/", json=body)
    assert response.is_client_error
    listed = await server.use_cases.blocks.list(DEFAULT_TENANT, v1.ListBlocksRequest())
    assert list(listed.blocks) == []


async def test_a_fault_of_a_block_is_told_with_its_place(door: Door) -> None:
    body = {"model": "scripted/echo", "memory_blocks": [{"label": "a", "value": "x"}, {"label": "", "value": "y"}]}
    response = await door.http.post("/v1/agents/", json=body)
    assert "memory_blocks[1].label" in response.json()["detail"]


async def test_a_change_leaves_alone_what_it_does_not_name(server: Server, sdk: Sdk) -> None:
    fields: dict[str, Any] = {"description": "d", "tags": ["a", "b"], "metadata": {"k": 1}, "system": "s"}
    agent = await sdk("agents.create", model="scripted/echo", agent_type="react_agent", timezone="UTC", **fields)
    changed = await sdk("agents.update", agent.id, tags=["c"], description=None, hidden=True)
    assert (changed.tags, changed.description, changed.metadata, changed.system) == (["c"], "d", {"k": 1}, "s")
    assert (changed.agent_type, changed.hidden) == ("react_agent", True)
    emptied = await sdk("agents.update", agent.id, tags=[], metadata={})
    assert (emptied.tags, emptied.metadata, emptied.agent_type) == ([], {}, "react_agent")


async def test_another_model_is_taken_only_if_it_can_be_set_as_the_agent_is(
    rig: tuple[Server, FakeProviders], kind: Kind
) -> None:
    server, _ = rig
    async with connected(url(server), kind) as sdk:
        agent = await sdk.agent("openai/small", model_settings={"provider_type": "openai", "temperature": 0.5})
        await sdk("agents.update", agent, model="anthropic/small")
        await sdk("agents.update", agent, model="openai/small", model_settings={"response_format": {"type": "text"}})
        await sdk("agents.update", agent, response_format={"type": "json_object"})
        with pytest.raises(letta_client.UnprocessableEntityError, match=r"model_settings\.response_format"):
            await sdk("agents.update", agent, model="anthropic/small")
        assert (await sdk("agents.retrieve", agent)).model == "openai/small"


# ---- models ----


async def test_models_are_told_with_their_providers_and_windows(rig: tuple[Server, FakeProviders], kind: Kind) -> None:
    server, _ = rig
    async with connected(url(server), kind) as sdk:
        models = {model.handle: model for model in await sdk("models.list")}
        small = models["openai/small"]
        assert (small.provider_type, small.context_window, small.max_context_window) == ("openai", 20_000, 20_000)
        claude = models["anthropic/small"]
        assert (claude.provider_type, claude.api_model_endpoint_type) == ("anthropic", "anthropic")
        assert models["scripted/small"].context_window == 1_000
        assert {model.handle for model in await sdk("models.list", provider_name="anthropic")} == {"anthropic/small"}
