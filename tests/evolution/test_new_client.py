"""Our client of today with servers of yesterday: what they could do works, and what they could not is told as such.

The servers answer with the bytes that were recorded of real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from sendoff import AsyncClient, Client, RetryPolicy, errors, v1
from tests.evolution.older_server import OlderServer, older_server
from tests.evolution.recordings import names, recording
from tests.evolution.storyteller import NOBODY

WITH_TOOLS = ["tools", "replicas"]
WITHOUT_CALLBACKS = ["runs", "tools"]
QUESTION = "Why do ships have bells?"
ANSWER = f"You said: {QUESTION}"


@asynccontextmanager
async def connected(name: str) -> AsyncIterator[tuple[AsyncClient, OlderServer]]:
    async with (
        older_server(recording(name)) as server,
        AsyncClient(server.address, retry=RetryPolicy(max_attempts=1)) as client,
    ):
        yield client, server


def send_options() -> dict[str, Any]:
    return {"request_id": "ships-1", "labels": {"topic": "ships"}, "metadata": {"order": 7}, "max_steps": 3}


async def subject(client: AsyncClient) -> str:
    metadata = {"z": 1, "a": [True, None, 9007199254740993]}
    return (await client.create_agent(name="subject", metadata=metadata)).id


def text_of(messages: list[v1.Message]) -> str:
    return [each.assistant_message.content.text for each in messages if each.HasField("assistant_message")][-1]


@pytest.mark.parametrize("name", names())
async def test_a_message_is_sent_once_and_followed_to_its_end(name: str) -> None:
    async with connected(name) as (client, _):
        agent = await subject(client)
        run = await client.send(agent, QUESTION, **send_options())
        again = await client.send(agent, QUESTION, **send_options())
        entries = [entry async for entry in client.watch(run.id, include_deltas=True)]
        ended = await client.wait_run(run.id)
        messages = [message async for message in client.run_messages(run.id, page_size=1)]

        events = [entry for entry in entries if isinstance(entry, v1.RunEvent)]
        assert again.id == run.id
        assert [event.sequence for event in events] == list(range(1, ended.last_sequence + 1))
        assert events[-1].WhichOneof("event") == "finished"
        assert (ended.status, ended.stop_reason) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)
        assert text_of(messages) == ANSWER
        assert "".join(entry.text for entry in entries if isinstance(entry, v1.MessageDelta)) == ANSWER
        with pytest.raises(errors.IdempotencyMismatch):
            await client.send(agent, "Another question", **send_options())


@pytest.mark.parametrize("name", names())
async def test_a_log_is_read_on_from_any_place(name: str) -> None:
    async with connected(name) as (client, _):
        run = await client.send(await subject(client), QUESTION, **send_options())
        listed = [event async for event in client.run_events(run.id, page_size=2)]
        later = [entry async for entry in client.watch(run.id, after_sequence=2)]
        snapshot, *rest = [entry async for entry in client.watch(run.id, snapshot=True)]

        assert later == listed[2:]
        assert isinstance(snapshot, v1.RunSnapshot)
        assert (snapshot.as_of_sequence, rest) == (len(listed), [])


@pytest.mark.parametrize("name", names())
async def test_a_run_is_cancelled_and_another_fails(name: str) -> None:
    async with connected(name) as (client, _):
        agent = await subject(client)
        failing = '{"script": {"error": {"kind": "rejected"}}}'
        failed = await client.wait_run((await client.send(agent, failing, override_model="scripted/script")).id)
        slow = '{"script": {"text": "Never", "first_delay_ms": 60000}}'
        run = await client.send(agent, slow, override_model="scripted/script")
        await client.wait_run(run.id, v1.WaitUntil.WAIT_UNTIL_STARTED)
        await client.cancel_run(run.id, reason="no time left")
        cancelled = await client.wait_run(run.id)

        assert (failed.status, failed.error.reason) == (v1.RUN_STATUS_FAILED, "MODEL_REJECTED_REQUEST")
        assert (cancelled.status, cancelled.cancel_reason) == (v1.RUN_STATUS_CANCELLED, "no time left")


@pytest.mark.parametrize("name", names())
async def test_agents_and_conversations_are_kept(name: str) -> None:
    async with connected(name) as (client, _):
        agent = await subject(client)
        listed = [each async for each in client.agents(page_size=1)]
        renamed = await client.update_agent(agent, name="changed", tags=["c"])
        made = await client.create_conversation(agent, summary="On bells", labels={"a": "b"})
        run = await client.wait_run((await client.send("", "Ding", conversation_id=made.id)).id)
        said = [message async for message in client.messages(made.id)]
        fork = await client.fork_conversation(made.id)
        await client.delete_conversation(fork.id)
        info = await client.server_info()
        models = await client.models()

        assert agent in [each.id for each in listed]
        assert (renamed.name, list(renamed.tags)) == ("changed", ["c"])
        assert run.conversation_id == made.id
        assert text_of(said) == "You said: Ding"
        assert "durable_accept" in info.features
        assert "scripted/echo" in [model.handle for model in models.models]


@pytest.mark.parametrize("name", names())
async def test_refusals_are_the_errors_that_they_are_today(name: str) -> None:
    async with connected(name) as (client, _):
        with pytest.raises(errors.NotFound, match="as recorded") as missing:
            await client.get_run(f"run-{NOBODY}")
        with pytest.raises(errors.InvalidRequest) as misnamed:
            await client.get_run("run-1")

        assert missing.value.reason == "RUN_NOT_FOUND"
        assert missing.value.metadata == {"run_id": f"run-{NOBODY}"}
        assert [violation.field for violation in misnamed.value.violations] == ["run_id"]


@pytest.mark.parametrize("name", WITH_TOOLS)
async def test_an_approval_is_asked_for_and_given(name: str) -> None:
    async with connected(name) as (client, _):
        block = await client.create_block(label="human", description="Whom you talk to")
        (tool,) = [each async for each in client.tools(names=["memory_insert"])]
        arguments = v1.JsonObject(json='{"label": "human", "new_string": "Likes ships."}')
        agent = await client.create_agent(
            name="keeper",
            block_ids=[block.id],
            tool_ids=[tool.id],
            tool_rules=[
                v1.ToolRule(tool_name=tool.name, run_first=v1.ToolRule.RunFirst(args=arguments)),
                v1.ToolRule(tool_name=tool.name, requires_approval=v1.ToolRule.RequiresApproval()),
            ],
            model_settings=v1.ModelSettings(temperature=0.5),
            context_window_limit=100_000,
        )
        run = await client.wait_run((await client.send(agent.id, "I like ships.")).id)
        (action,) = run.pending_actions
        answered = await client.approve(action, reason="Of course")
        ended = await client.wait_run(answered.run.id)

        assert action.call.name == "memory_insert"
        assert (ended.status, ended.turn_id) == (v1.RUN_STATUS_COMPLETED, run.turn_id)
        assert "Likes ships." in (await client.get_block(block.id)).value
        assert [step.run_id async for step in client.run_steps(ended.id)] == [ended.id]


async def test_deliveries_are_pulled_and_acknowledged() -> None:
    async with connected("replicas") as (client, server):
        agent = await subject(client)
        made = await client.create_endpoint(include_run=True, agent_id=agent)
        run = await client.wait_run((await client.send(agent, "Call back")).id)
        receiving = client.receive_deliveries(made.endpoint.id)
        received = await anext(receiving)
        received.ack()
        await receiving.aclose()

        assert (received.delivery.run_id, received.run.id) == (run.id, run.id)
        assert server.unexpected == []


@pytest.mark.parametrize("name", WITHOUT_CALLBACKS)
async def test_what_the_older_server_has_not_is_told_as_such(name: str) -> None:
    async with connected(name) as (client, server):
        for call in (client.endpoints(), client.audit_entries()):
            with pytest.raises(errors.Unsupported) as missing:
                await anext(call)
            assert missing.value.code is grpc.StatusCode.UNIMPLEMENTED
            assert "older than this client" in missing.value.message
            assert server.address in missing.value.message


def blocking_story(address: str) -> Iterator[object]:
    with Client(address, retry=RetryPolicy(max_attempts=1)) as client:
        agent = client.create_agent(name="subject", metadata={"z": 1, "a": [True, None, 9007199254740993]})
        run = client.send(agent.id, QUESTION, **send_options())
        *_, last = client.watch(run.id, include_deltas=True)
        yield last.WhichOneof("event") if isinstance(last, v1.RunEvent) else None
        yield client.wait_run(run.id).status
        yield text_of([*client.run_messages(run.id, page_size=1)])


@pytest.mark.parametrize("name", names())
async def test_the_blocking_client_does_the_same(name: str) -> None:
    async with older_server(recording(name)) as server:
        told = await asyncio.to_thread(lambda: list(blocking_story(server.address)))

    assert told == ["finished", v1.RUN_STATUS_COMPLETED, ANSWER]
