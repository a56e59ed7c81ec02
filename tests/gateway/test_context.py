"""Verbs on what the model is shown, through the official client and raw."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import letta_client
import pytest

from sendoff_server.app import Server
from sendoff_server.models.scripted import ECHO, SCRIPT
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, forgetful, url


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as made:
        yield made


@pytest.fixture(params=EACH_WAY, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as made:
        yield made


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    async with knocking(server) as made:
        yield made


async def said(sdk: Sdk, server: Server, agent_id: str, *texts: str) -> None:
    for text in texts:
        assert (await sdk.run(server, agent_id, text)).status == "completed"


# ---- compaction ----


async def test_an_agent_is_compacted_and_its_messages_stay_readable(sdk: Sdk, server: Server) -> None:
    agent_id = await sdk.agent(ECHO)
    await said(sdk, server, agent_id, "one", "two", "three")
    done = await sdk("agents.messages.compact", agent_id)
    assert (done.num_messages_before, done.num_messages_after) == (7, 3)
    assert "user: one" in done.summary
    run, *_ = await sdk.all("runs.list", agent_id=agent_id)
    assert run.metadata["run_type"] == "compact_conversation"
    listed = await sdk.all("agents.messages.list", agent_id, order="asc")
    spoken = [each.content for each in listed if each.message_type == "user_message"]
    assert spoken[:3] == ["one", "two", "three"]
    assert "system_alert" in spoken[3], "a compaction is listed as the API lists them"


async def test_a_conversation_is_compacted_by_each_of_its_names(sdk: Sdk, server: Server) -> None:
    agent_id = await sdk.agent(ECHO)
    conversation = await sdk("conversations.create", agent_id=agent_id)
    for name, more in ((conversation.id, {}), ("default", {"agent_id": agent_id}), (agent_id, {})):
        for text in ("one", "two"):
            sent = {"input": text, "streaming": False, **more}
            await sdk("conversations.messages.create", name, **sent)
        done = await sdk("conversations.messages.compact", name, **more)
        assert done.num_messages_after < done.num_messages_before


async def test_what_can_not_become_shorter_is_refused_with_400(sdk: Sdk) -> None:
    agent_id = await sdk.agent(ECHO)
    with pytest.raises(letta_client.BadRequestError, match="would not become shorter"):
        await sdk("agents.messages.compact", agent_id, compaction_settings=None)


async def test_settings_of_one_compaction_are_refused_by_name(sdk: Sdk) -> None:
    agent_id = await sdk.agent(ECHO)
    with pytest.raises(letta_client.UnprocessableEntityError, match="compaction_settings"):
        await sdk("agents.messages.compact", agent_id, compaction_settings={"model": ECHO})


async def test_an_agent_at_work_is_neither_compacted_nor_reset(sdk: Sdk, server: Server) -> None:
    agent_id = await sdk.agent(SCRIPT)
    slow = script(text="slow", first_delay_ms=60_000)
    run = await sdk("agents.messages.create_async", agent_id, input=slow)
    for call, fields in (("compact", {}), ("reset", {"add_default_initial_messages": True})):
        with pytest.raises(letta_client.ConflictError) as refused:
            await sdk(f"agents.messages.{call}", agent_id, **fields)
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert refused.value.response.json()["run_id"] == run.id
    await sdk("agents.messages.cancel", agent_id)


async def test_a_model_that_gives_no_summary_is_told_of_and_not_asked_again(door: Door) -> None:
    agent_id = await door.agent(model=SCRIPT)
    for _ in range(2):
        run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(text="well")})
        await door.ended(run["id"])
    response = await door.http.post(f"/v1/agents/{agent_id}/summarize", json={})
    assert (response.status_code, response.json()["reason"]) == (502, "COMPACTION_FAILED")
    assert response.headers["x-should-retry"] == "false"


async def test_a_compaction_whose_answer_was_lost_is_not_made_twice(kind: Kind, server: Server) -> None:
    async with connected(url(server), kind) as sdk:
        agent_id = await sdk.agent(ECHO)
        await said(sdk, server, agent_id, "one", "two", "three")
    async with connected(url(server), kind, http_client=forgetful(kind)) as sdk:
        assert (await sdk("agents.messages.compact", agent_id)).num_messages_before == 7
        assert len(await sdk.all("runs.list", agent_id=agent_id)) == 4


async def test_the_same_key_is_the_same_compaction(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    for text in ("one", "two"):
        await door.ended((await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": text}))["id"])
    path = f"/v1/agents/{agent_id}/summarize"
    first = await door.post(path, {}, **{"idempotency-key": "mine"})
    assert await door.post(path, {}, **{"idempotency-key": "mine"}) == first


async def test_what_is_in_context_is_told_of_agents_and_conversations(sdk: Sdk, server: Server) -> None:
    agent_id = await sdk.agent(ECHO)
    await said(sdk, server, agent_id, "one", "two", "three")
    listed = await sdk.all("agents.messages.list", agent_id, order="asc")
    assert (await sdk("agents.retrieve", agent_id)).message_ids == [each.id for each in listed]
    fork = await sdk("conversations.fork", agent_id)
    assert fork.in_context_message_ids == [each.id for each in listed]
    await sdk("conversations.messages.compact", fork.id)
    in_context = (await sdk("conversations.retrieve", fork.id)).in_context_message_ids
    everything = await sdk.all("conversations.messages.list", fork.id, order="asc")
    assert in_context == [listed[0].id, everything[-1].id, listed[-1].id], "system prompt, summary, what was kept"
    assert (await sdk("conversations.list", agent_id=agent_id))[0].in_context_message_ids == []


# ---- reset ----


async def test_a_reset_agent_begins_anew_and_its_messages_stay_readable(sdk: Sdk, server: Server) -> None:
    agent_id = await sdk.agent(ECHO)
    await said(sdk, server, agent_id, "one", "two")
    state = await sdk("agents.messages.reset", agent_id, add_default_initial_messages=True)
    assert state.id == agent_id
    assert len(state.message_ids) == 1, "the system prompt alone"
    listed = await sdk.all("agents.messages.list", agent_id, order="asc")
    assert [each.content for each in listed if each.message_type == "user_message"] == ["one", "two"]
    with pytest.raises(letta_client.BadRequestError):
        await sdk("agents.messages.compact", agent_id)


async def test_a_reset_denies_what_is_pending_and_the_next_message_is_answered(sdk: Sdk, server: Server) -> None:
    agent_id = await sdk.agent(SCRIPT)
    asks = script(steps=[{"tool_calls": [{"name": "mine", "arguments": {}}]}, {"text": "done"}])
    run = await sdk("agents.messages.create_async", agent_id, input=asks, client_tools=[{"name": "mine"}])
    assert (await sdk.ended(server, run.id)).stop_reason == "requires_approval"
    state = await sdk("agents.messages.reset", agent_id)
    assert state.pending_approval is None
    answered = await sdk("agents.messages.create", agent_id, input=script(text="again"))
    assert answered.messages[-1].content == "again"


async def test_a_reset_may_come_without_a_body_and_wants_a_flag(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    path = f"/v1/agents/{agent_id}/reset-messages"
    assert (await door.http.patch(path)).json()["id"] == agent_id
    response = await door.http.patch(path, json={"add_default_initial_messages": "perhaps"})
    assert response.status_code == 422
    assert "add_default_initial_messages" in response.json()["detail"]
    unknown = "agent-5d2e9b71-c0a8-4f36-a1d4-8be370f2c94e"
    assert (await door.http.patch(f"/v1/agents/{unknown}/reset-messages", json={})).status_code == 404


# ---- the system prompt ----


async def test_a_recompiled_system_prompt_shows_the_memory_as_it_is(sdk: Sdk, server: Server) -> None:
    blocks = [{"label": "human", "value": "likes lanterns"}]
    agent_id = await sdk.agent(ECHO, system="Be brief.", memory_blocks=blocks)
    conversation = await sdk("conversations.create", agent_id=agent_id)
    own = await compiled(sdk, "agents.recompile", agent_id, dry_run=True, update_timestamp=False)
    assert own.startswith("Be brief.")
    assert "likes lanterns" in own
    assert await compiled(sdk, "conversations.recompile", "default", agent_id=agent_id) == own
    assert await compiled(sdk, "conversations.recompile", agent_id, dry_run=True) == own
    assert conversation.id in await compiled(sdk, "conversations.recompile", conversation.id)


async def compiled(sdk: Sdk, call: str, *args: Any, **fields: Any) -> str:
    """The client hands on the body as it is, which is a JSON string."""
    return str(json.loads(await sdk(call, *args, **fields)))


async def test_a_recompilation_wants_flags_and_an_agent_that_there_is(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    response = await door.http.post(f"/v1/agents/{agent_id}/recompile", params={"dry_run": "perhaps"})
    assert (response.status_code, "dry_run" in response.json()["detail"]) == (422, True)
    unknown = "agent-5d2e9b71-c0a8-4f36-a1d4-8be370f2c94e"
    for path, status in ((f"/v1/agents/{unknown}", 404), ("/v1/conversations/default", 404), ("/v1/agents/x", 422)):
        assert (await door.http.post(f"{path}/recompile", json={})).status_code == status
