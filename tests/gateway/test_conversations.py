"""Conversations through the official client and raw: kept, listed, forked, cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import letta_client
import pytest

from sendoff_server.app import Server
from sendoff_server.models.scripted import ECHO, SCRIPT
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, url

NOBODY = "conv-5d2e9b71-c0a8-4f36-a1d4-8be370f2c94e"
SLOW = script(text="slow", first_delay_ms=60_000)


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as made:
        yield made


@pytest.fixture(params=EACH_WAY, ids=str)
async def sdk(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Sdk]:
    kind: Kind = request.param
    async with connected(url(server), kind) as made:
        yield made


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    async with knocking(server) as made:
        yield made


async def talked(sdk: Sdk, conversation_id: str, *texts: str, **fields: Any) -> None:
    for text in texts:
        await sdk("conversations.messages.create", conversation_id, input=text, streaming=False, **fields)


async def told(sdk: Sdk, conversation_id: str, **fields: Any) -> list[str]:
    """What users said, oldest first."""
    listed = await sdk.all("conversations.messages.list", conversation_id, order="asc", **fields)
    return [each.content for each in listed if each.message_type == "user_message"]


# ---- kept ----


async def test_a_conversation_is_kept_as_it_was_set(sdk: Sdk) -> None:
    agent_id = await sdk.agent(ECHO)
    made = await sdk(
        "conversations.create", agent_id=agent_id, summary="table booking", description="for two", model=SCRIPT
    )
    assert (made.agent_id, made.summary, made.description, made.model) == (
        agent_id,
        "table booking",
        "for two",
        SCRIPT,
    )
    assert (made.archived, made.archived_at, made.last_message_at) == (False, None, None)
    assert await sdk("conversations.retrieve", made.id) == made

    changed = await sdk("conversations.update", made.id, summary="a table", archived=True)
    assert (changed.summary, changed.description, changed.archived) == ("a table", "for two", True)
    assert changed.archived_at is not None
    assert (await sdk("conversations.update", made.id, archived=False)).archived_at is None
    assert (await sdk("conversations.update", made.id, model=None)).model is None


async def test_a_deleted_conversation_is_gone(sdk: Sdk) -> None:
    made = await sdk("conversations.create", agent_id=await sdk.agent(ECHO))
    assert await sdk("conversations.delete", made.id) is None
    for call in ("retrieve", "delete", "update"):
        with pytest.raises(letta_client.NotFoundError):
            await sdk(f"conversations.{call}", made.id)


async def test_blocks_of_a_conversation_s_own_are_refused_by_name(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    body = {"isolated_block_labels": ["human"]}
    response = await door.http.post("/v1/conversations/", params={"agent_id": agent_id}, json=body)
    assert response.status_code == 422
    assert "isolated_block_labels" in response.json()["detail"]
    made = await door.http.post("/v1/conversations/", params={"agent_id": agent_id}, json={"isolated_block_labels": []})
    assert made.json()["isolated_block_ids"] == []


async def test_what_only_the_api_knows_is_kept_beside_what_others_keep(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    made = await door.http.post(
        "/v1/conversations/", params={"agent_id": agent_id}, json={"context_window_limit": 9_000}
    )
    path = f"/v1/conversations/{made.json()['id']}"
    assert (await door.get(path))["context_window_limit"] == 9_000
    assert (await door.http.patch(path, json={"summary": "s"})).json()["context_window_limit"] == 9_000
    assert (await door.http.patch(path, json={"context_window_limit": None})).json()["context_window_limit"] is None
    assert (await door.http.patch(path, json={})).json()["summary"] == "s"


# ---- listed ----


async def test_conversations_are_listed_newest_first_and_behind_a_cursor(sdk: Sdk) -> None:
    agent_id, other = await sdk.agent(ECHO), await sdk.agent(ECHO)
    made = [(await sdk("conversations.create", agent_id=agent_id)).id for _ in range(4)]
    await sdk("conversations.create", agent_id=other)

    async def listed(**query: Any) -> list[str]:
        return [each.id for each in await sdk("conversations.list", agent_id=agent_id, **query)]

    assert await listed() == made[::-1]
    assert await listed(order="asc") == made
    assert await listed(limit=2) == made[:1:-1]
    assert await listed(after=made[2]) == [made[1], made[0]]
    assert await listed(after=made[1], order="asc", limit=1) == [made[2]]
    assert await listed(after=NOBODY) == made[::-1], "an unknown cursor is ignored"
    assert len(await sdk("conversations.list")) == 5


async def test_conversations_are_found_by_summary_and_by_whether_they_are_archived(sdk: Sdk) -> None:
    agent_id = await sdk.agent(ECHO)
    made = [await sdk("conversations.create", agent_id=agent_id, summary=text) for text in ("Ships", "shipping", "tea")]
    await sdk("conversations.create", agent_id=agent_id, summary="ships unseen", hidden=True)
    await sdk("conversations.update", made[1].id, archived=True)

    async def listed(**query: Any) -> list[str]:
        return [each.summary for each in await sdk("conversations.list", agent_id=agent_id, order="asc", **query)]

    assert await listed() == ["Ships", "tea"], "what is archived or hidden is not listed by itself"
    assert await listed(summary_search="SHIP") == ["Ships"]
    assert await listed(summary_search="ship", archive_status="all") == ["Ships", "shipping"]
    assert await listed(archive_status="archived") == ["shipping"]


async def test_conversations_are_listed_by_what_happened_last(sdk: Sdk) -> None:
    agent_id = await sdk.agent(ECHO)
    first, second = [(await sdk("conversations.create", agent_id=agent_id)).id for _ in range(2)]
    await talked(sdk, second, "hello")
    await talked(sdk, first, "hello")
    for order_by in ("last_message_at", "last_run_completion"):
        listed = await sdk("conversations.list", agent_id=agent_id, order_by=order_by)
        assert [each.id for each in listed] == [first, second]
        assert all(each.last_message_at is not None for each in listed)
        behind = await sdk("conversations.list", agent_id=agent_id, order_by=order_by, after=first)
        assert [each.id for each in behind] == [second]


async def test_a_list_is_as_long_as_it_was_asked_for(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    made = []
    for _ in range(120):
        response = await door.http.post("/v1/conversations/", params={"agent_id": agent_id}, json={})
        made.append(response.json()["id"])
    listed = await door.get("/v1/conversations/", agent_id=agent_id, limit=110)
    assert [each["id"] for each in listed] == made[:-111:-1]
    for query in ({"order_by": "size"}, {"archive_status": "lost"}, {"limit": "0"}, {"agent_id": "agent-x"}):
        assert (await door.http.get("/v1/conversations/", params=query)).status_code == 422


# ---- forked ----


async def test_a_fork_begins_with_the_history_of_the_other_and_goes_its_own_way(sdk: Sdk) -> None:
    agent_id = await sdk.agent(ECHO)
    source = await sdk("conversations.create", agent_id=agent_id, summary="ships")
    await talked(sdk, source.id, "one", "two")
    fork = await sdk("conversations.fork", source.id)
    assert (fork.agent_id, fork.summary) == (agent_id, "ships")
    await talked(sdk, fork.id, "three")
    assert await told(sdk, fork.id) == ["one", "two", "three"]
    assert await told(sdk, source.id) == ["one", "two"]

    listed = await sdk.all("conversations.messages.list", source.id, order="asc")
    (first,) = [each.id for each in listed if each.message_type == "user_message" and each.content == "one"]
    early = await sdk("conversations.fork", source.id, message_id=first, hidden=True)
    assert await told(sdk, early.id) == ["one"]
    assert early.id not in [each.id for each in await sdk("conversations.list", agent_id=agent_id)]


async def test_an_agent_s_own_conversation_is_forked_by_either_name(sdk: Sdk) -> None:
    agent_id = await sdk.agent(ECHO)
    await talked(sdk, "default", "one", agent_id=agent_id)
    for name, more in (("default", {"agent_id": agent_id}), (agent_id, {})):
        fork = await sdk("conversations.fork", name, **more)
        assert await told(sdk, fork.id) == ["one"]
    with pytest.raises(letta_client.NotFoundError):
        await sdk("conversations.fork", "default")
    with pytest.raises(letta_client.UnprocessableEntityError):
        await sdk("conversations.fork", agent_id, message_id="message-x")


async def test_a_key_makes_one_conversation_or_fork_however_often_it_is_sent(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    for path in (f"/v1/conversations/?agent_id={agent_id}", f"/v1/conversations/default/fork?agent_id={agent_id}"):
        key = {"idempotency-key": path}
        first = await door.post(path, {}, **key)
        assert (await door.post(path, {}, **key))["id"] == first["id"]
    assert len(await door.get("/v1/conversations/", agent_id=agent_id)) == 2


# ---- cancelled, and busy ----


async def test_a_conversation_at_work_is_busy_for_streams_and_cancelled_by_each_of_its_names(sdk: Sdk) -> None:
    agent_id = await sdk.agent(SCRIPT)
    own = await sdk("conversations.create", agent_id=agent_id)
    for name, more in ((own.id, {}), ("default", {"agent_id": agent_id}), (agent_id, {})):
        sent: dict[str, Any] = {"conversation_id": own.id} if name == own.id else {}
        run = await sdk("agents.messages.create_async", agent_id, input=SLOW, extra_body=sent)
        with pytest.raises(letta_client.ConflictError) as refused:
            await sdk("conversations.messages.create", name, input="hello", **more)
        body = refused.value.response.json()
        assert body["run_id"] == run.id
        assert f"(run_id={run.id}) is currently being processed for this conversation" in body["detail"]
        assert await sdk("conversations.cancel", name, **more) == {run.id: "cancelled"}
        assert (await sdk("runs.retrieve", run.id)).status == "cancelled", "by the time of the answer it has ended"
        with pytest.raises(letta_client.ConflictError, match="No active runs to cancel"):
            await sdk("conversations.cancel", name, **more)


async def test_a_conversation_is_named_by_what_a_call_takes(door: Door) -> None:
    agent_id = await door.agent(model=ECHO)
    for method in ("GET", "PATCH", "DELETE"):
        for name, status in ((NOBODY, 404), ("default", 422), (agent_id, 422), (NOBODY.upper(), 422)):
            response = await door.http.request(method, f"/v1/conversations/{name}")
            assert (response.status_code, method, name) == (status, method, name)
    for verb in ("messages", "stream", "cancel", "compact", "recompile", "fork"):
        for name, status in (("default", 404), (NOBODY, 404), ("conv-x", 422)):
            body = {"input": "hello"} if verb == "messages" else {}
            response = await door.http.post(f"/v1/conversations/{name}/{verb}", json=body)
            assert (response.status_code, verb, name) == (status, verb, name)
