"""What an agent and its conversations have their model called with is what it is called with."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import Any

import pytest

from sendoff import AsyncClient, errors, v1
from sendoff_server.settings import Settings
from tests.service.test_loop import before_a_provider

OWN = v1.ModelSettings(temperature=0.5, seed=3)


def script(**told: Any) -> str:
    return json.dumps({"script": told})


async def ended(client: AsyncClient, agent: v1.Agent, text: str, **options: Any) -> v1.Run:
    run = await client.send(agent.id, text, **options)
    return await client.wait_run(run.id)


async def test_a_model_is_called_with_the_settings_of_its_agent(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script", model_settings=OWN)
    run = await ended(client, agent, script(text="yes", expect_settings={"temperature": 0.5, "seed": "3"}))
    assert run.stop_reason == v1.STOP_REASON_END_TURN


async def test_settings_of_a_conversation_win_field_by_field(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script", model_settings=OWN)
    conversation = await client.create_conversation(agent.id, model_settings=v1.ModelSettings(temperature=0.9))
    expected = {"temperature": 0.9, "seed": "3"}
    run = await ended(client, agent, script(text="yes", expect_settings=expected), conversation_id=conversation.id)
    assert run.stop_reason == v1.STOP_REASON_END_TURN


async def test_a_form_of_a_conversation_takes_the_place_of_the_agents(client: AsyncClient) -> None:
    schema = v1.JsonSchemaFormat(json_schema=v1.JsonObject(json='{"schema":{}}'))
    settings = v1.ModelSettings(response_format=v1.ResponseFormat(json_schema=schema))
    agent = await client.create_agent(model="scripted/script", model_settings=settings)
    text = v1.ModelSettings(response_format=v1.ResponseFormat(text=v1.TextFormat()))
    conversation = await client.create_conversation(agent.id, model_settings=text)
    expected: dict[str, Any] = {"response_format": {"text": {}}}
    run = await ended(client, agent, script(text="yes", expect_settings=expected), conversation_id=conversation.id)
    assert run.stop_reason == v1.STOP_REASON_END_TURN


async def test_an_update_replaces_the_settings_and_reaches_the_next_run(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script", model_settings=OWN)
    changed = await client.update_agent(agent.id, model_settings=v1.ModelSettings(top_p=0.25))
    assert changed.model_settings == v1.ModelSettings(top_p=0.25)
    run = await ended(client, agent, script(text="yes", expect_settings={"top_p": 0.25}))
    assert run.stop_reason == v1.STOP_REASON_END_TURN


async def test_an_answer_ends_at_the_most_tokens_that_it_may_have(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script", model_settings=v1.ModelSettings(max_output_tokens=3))
    run = await ended(client, agent, script(words=9))
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_MAX_TOKENS_EXCEEDED)
    said = [each.assistant_message.content.text async for each in client.run_messages(run.id)][-1]
    assert len(said.split()) == 3


async def test_an_agent_calls_one_tool_at_a_time_where_its_conversation_wants_that(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script")
    one = v1.ModelSettings(parallel_tool_calls=False)
    conversation = await client.create_conversation(agent.id, model_settings=one)
    asked = script(tool_calls=[{"name": "a"}, {"name": "b"}], expect_settings={"parallel_tool_calls": False})
    tools = [v1.ClientTool(name="a"), v1.ClientTool(name="b")]
    run = await ended(client, agent, asked, conversation_id=conversation.id, client_tools=tools)
    assert run.stop_reason == v1.STOP_REASON_REQUIRES_APPROVAL
    pending = [each async for each in client.actions(agent_id=agent.id)]
    assert [each.call.name for each in pending] == ["a"]


async def test_a_context_holds_no_more_than_the_limit_of_its_agent(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script", context_window_limit=400)
    run = await ended(client, agent, script(text="yes") + " " * 4_000)
    assert run.stop_reason == v1.STOP_REASON_CONTEXT_WINDOW_OVERFLOW_IN_SYSTEM_PROMPT
    wide = await client.create_conversation(agent.id, context_window_limit=40_000)
    run = await ended(client, agent, script(text="yes") + " " * 4_000, conversation_id=wide.id)
    assert run.stop_reason == v1.STOP_REASON_END_TURN


async def test_what_is_not_in_range_is_refused_with_its_name(client: AsyncClient) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await client.create_agent(model="scripted/script", model_settings=v1.ModelSettings(temperature=3))
    assert [each.field for each in caught.value.violations] == ["agent.model_settings.temperature"]


async def test_a_run_with_another_model_keeps_the_settings_that_apply(
    settings: Settings,
) -> None:
    await asyncio.to_thread(import_module, "pydantic_ai.models.anthropic")  # on a busy machine that outlasts a call
    async with before_a_provider(settings) as (caller, provider):
        own = v1.ModelSettings(temperature=0.5, seed=3)
        agent = await caller.agent("openai/small", model_settings=own)
        run = await caller.ended((await caller.send(agent, "hello", override_model="anthropic/small")).id)
        assert run.status == v1.RUN_STATUS_COMPLETED, run
        body = provider.last.body
        assert body["temperature"] == 0.5
        assert "seed" not in body, "Anthropic has none"
