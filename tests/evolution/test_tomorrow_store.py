"""A server of today on what a server of tomorrow has written: it goes on, and what it does not know stays as it is."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest

from sendoff_server.settings import Settings
from tests.evolution import wire_calls
from tests.evolution.contracts import PACKAGE
from tests.evolution.storyteller import Fields, Storyteller
from tests.evolution.today import TODAY
from tests.evolution.tomorrow import TOMORROW, told, untold
from tests.evolution.tool_story import keeper
from tests.fixtures.server import Serve

BODIES = {
    "agent": "Agent",
    "run": "Run",
    "message": "Message",
    "step": "Step",
    "conversation": "Conversation",
    "block": "Block",
    "action": "PendingAction",
}
"""Tables with the messages that their column `body` holds."""
REQUEST_KEYS = "key & 0xfffff = 0"
"""Of the rows of run_log: where the request of a run is, and not one of its events."""


def write_as_tomorrow(database: Path) -> None:
    """Have everything in the database say all that is new."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, name in BODIES.items():
            rewrite(connection, table, name, "true")
        rewrite(connection, "run_log", "CreateMessageAsyncRequest", REQUEST_KEYS)
        rewrite(connection, "run_log", "RunEvent", f"NOT ({REQUEST_KEYS})")


def rewrite(connection: sqlite3.Connection, table: str, name: str, condition: str) -> None:
    rows = connection.execute(f"SELECT rowid, body FROM {table} WHERE {condition}").fetchall()
    assert rows, f"nothing in {table}"
    for key, body in rows:
        changed = told(name, body, values=name in {"Run", "RunEvent", "Step"})
        connection.execute(f"UPDATE {table} SET body = ? WHERE rowid = ?", (changed, key))


class Yesterday:
    """What was made before a server of tomorrow came: an agent, its run, a conversation, and one that asks."""

    async def make(self, story: Storyteller) -> None:
        block = await story.call("BlockService/CreateBlock", block={"label": "human", "description": "Who"})
        self.block = block.id
        self.agent = (await story.call("AgentService/CreateAgent", agent={"name": "subject"})).id
        self.run = await self._ran(story, agent_id=self.agent)
        made = await story.call("ConversationService/CreateConversation", agent_id=self.agent)
        self.conversation = made.id
        await self._ran(story, conversation_id=self.conversation)
        self.keeper = (await keeper(story, self.block)).id
        self.asking = await self._ran(story, agent_id=self.keeper)

    async def _ran(self, story: Storyteller, **where: object) -> str:
        run = await story.call("RunService/CreateMessageAsync", input={"text": "Hello"}, **where)
        await story.call("RunService/WaitRun", run_id=run.id)
        return str(run.id)


async def raw(channel: grpc.aio.Channel, method: str, **fields: object) -> list[bytes]:
    path = f"{PACKAGE}.{method}"
    request = TODAY.request(path, fields).SerializeToString()
    made = await wire_calls.ask(channel, path, request, streams=TODAY.methods[path].server_streaming)
    assert made.ok, (method, made.code, made.details)
    return made.responses


@pytest.fixture
async def rewritten(serve: Serve, settings: Settings) -> Yesterday:
    yesterday = Yesterday()
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        await yesterday.make(Storyteller(channel, TODAY))
    write_as_tomorrow(settings.data_dir / "sendoff.db")
    return yesterday


async def test_what_it_reads_and_hands_on_has_lost_nothing(rewritten: Yesterday, serve: Serve) -> None:
    run, default = {"run_id": rewritten.run}, {"conversation_id": "default", "agent_id": rewritten.agent}
    asked: list[tuple[str, str, Fields]] = [
        ("", "RunService/GetRun", dict(run)),
        ("", "RunService/WaitRun", dict(run)),
        ("runs", "RunService/ListRuns", {}),
        ("events", "RunService/ListRunEvents", dict(run)),
        ("event", "RunService/WatchRun", dict(run)),
        ("messages", "RunService/ListRunMessages", dict(run)),
        ("messages", "ConversationService/ListMessages", dict(default)),
        ("steps", "StepService/ListSteps", dict(run)),
        ("", "AgentService/GetAgent", {"agent_id": rewritten.agent}),
        ("agents", "AgentService/ListAgents", {}),
        ("", "ConversationService/GetConversation", {"conversation_id": rewritten.conversation}),
        ("", "BlockService/GetBlock", {"block_id": rewritten.block}),
        ("actions", "ActionService/ListPendingActions", {}),
    ]
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        lost = {}
        for part, method, fields in asked:
            found = [each for told in await raw(channel, method, **fields) for each in parts(method, part, told)]
            assert found, method
            lost[method] = [name for each in found for name in untold(each)]

    assert lost == {method: [] for _, method, _ in asked}


def parts(method: str, part: str, told: bytes) -> list[Any]:
    """What was stored, of an answer that was not."""
    answer: Any = TOMORROW.parse_response(f"{PACKAGE}.{method}", told)
    if not part:
        return [answer]
    if part == "event":
        return [answer.event] if answer.HasField("event") else []
    return list(getattr(answer, part))


async def test_it_changes_what_it_knows_and_leaves_the_rest(rewritten: Yesterday, serve: Serve) -> None:
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        await raw(
            channel,
            "AgentService/UpdateAgent",
            agent_id=rewritten.agent,
            agent={"name": "changed"},
            update_mask="name",
        )
        (told,) = await raw(channel, "AgentService/GetAgent", agent_id=rewritten.agent)

    (agent,) = parts("AgentService/GetAgent", "", told)
    assert (agent.name, untold(agent)) == ("changed", [])


async def test_conversations_go_on_behind_messages_that_it_does_not_know(rewritten: Yesterday, serve: Serve) -> None:
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        story = Storyteller(channel, TODAY)
        run = await story.call("RunService/CreateMessageAsync", agent_id=rewritten.agent, input={"text": "Go on"})
        ended = await story.call("RunService/WaitRun", run_id=run.id)
        (action,) = (await story.call("ActionService/ListPendingActions")).actions
        answer: Fields = {"approval": {"tool_call_id": action.tool_call_id, "approve": True}}
        where: Fields = {"conversation_id": "default", "agent_id": rewritten.keeper}
        answered = await story.call("ActionService/RespondToActions", decisions=[answer], **where)
        continued = await story.call("RunService/WaitRun", run_id=answered.run.id)

    assert [ended.status, continued.status] == [3, 3], "RUN_STATUS_COMPLETED"


async def test_the_rest_door_tells_what_it_can_say(rewritten: Yesterday, serve: Serve) -> None:
    async with serve(http_address="127.0.0.1:0") as server:
        assert server.http is not None
        base = f"http://{server.http.address}/v1"
        run = await get(f"{base}/runs/{rewritten.run}")
        messages = await get(f"{base}/runs/{rewritten.run}/messages")
        streamed = await text(f"{base}/runs/{rewritten.run}/stream")
        steps = await get(f"{base}/runs/{rewritten.run}/steps")
        agent = await get(f"{base}/agents/{rewritten.agent}")

    assert (run["id"], run["status"], run["stop_reason"]) == (rewritten.run, "completed", "error")
    assert [message["message_type"] for message in messages] == ["assistant_message"]
    assert "user_message" not in streamed
    assert "You said: Hello" in streamed
    assert len(steps) == 1
    assert agent["name"] == "subject"


async def get(url: str) -> Any:
    return json.loads(await text(url))


async def text(url: str) -> str:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(url)).raise_for_status().text
