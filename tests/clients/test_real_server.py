"""Both clients and the command, against the server as it is."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

import sendoff
from sendoff import AsyncClient, Client, Transcript, v1
from sendoff_server import app
from tests.faults.caller import script
from tests.fixtures.server import Serve, ServerProcess

COMPLETED = v1.RunStatus.RUN_STATUS_COMPLETED


async def send_script(client: AsyncClient, **members: Any) -> v1.Run:
    agent = await client.create_agent(model="scripted/script")
    return await client.send(agent.id, script(**members))


async def command(address: str, *words: str, code: int = 0) -> tuple[str, str]:
    """Run the command in a process of its own; what it said on stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff", "--address", address, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == code, err.decode()
    return out.decode(), err.decode()


async def test_what_is_sent_is_answered(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/echo", name="echo")

    sent = await client.send(agent.id, "hello there", labels={"k": "v"})
    ended = await client.wait_run(sent.id, timeout_s=30)

    assert (ended.status, dict(ended.labels)) == (COMPLETED, {"k": "v"})
    texts = [
        m.assistant_message.content.text async for m in client.run_messages(sent.id) if m.HasField("assistant_message")
    ]
    assert texts == ["You said: hello there"]
    assert [run.id async for run in client.runs(agent_id=agent.id)] == [sent.id]


async def test_a_watch_and_the_pages_of_the_log_are_the_same(client: AsyncClient) -> None:
    run = await send_script(client, words=20)

    watched = [entry async for entry in client.watch(run.id)]
    paged = [event async for event in client.run_events(run.id, page_size=2)]

    assert watched == paged
    assert [event.sequence for event in paged] == list(range(1, len(paged) + 1))


async def test_a_transcript_of_deltas_is_the_message(client: AsyncClient) -> None:
    run = await send_script(client, words=30, delay_ms=2)
    live, deltas = Transcript(), 0

    async for entry in client.watch(run.id, include_deltas=True):
        live.apply(entry)
        deltas += isinstance(entry, v1.MessageDelta)

    final = Transcript()
    for message in [m async for m in client.run_messages(run.id)]:
        final.apply(v1.RunEvent(message=message))
    assert deltas > 0
    assert live.text == final.text != ""


async def test_a_watch_over_many_short_streams_is_the_log(serve: Serve) -> None:
    async with serve(max_stream_age_s=0.05) as server, AsyncClient(server.grpc.address) as client:
        run = await send_script(client, words=60, delay_ms=5)

        watched = [entry async for entry in client.watch(run.id)]

        assert watched == [event async for event in client.run_events(run.id)]


async def test_the_blocking_client_does_the_same(server: app.Server) -> None:
    def talk() -> tuple[v1.Run, str, bool]:
        with Client(server.grpc.address) as client:
            agent = client.create_agent(model="scripted/echo")
            run = client.send(agent.id, "hello")
            transcript = Transcript()
            for entry in client.watch(run.id, include_deltas=True):
                transcript.apply(entry)
            return client.wait_run(run.id), transcript.text, client.health()

    run, text, healthy = await asyncio.to_thread(talk)

    assert (run.status, text, healthy) == (COMPLETED, "You said: hello", True)


async def test_errors_of_the_server_have_their_classes(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/echo")
    await client.send(agent.id, "one", request_id="mine")

    with pytest.raises(sendoff.IdempotencyMismatch) as mismatch:
        await client.send(agent.id, "two", request_id="mine")
    with pytest.raises(sendoff.NotFound) as missing:
        await client.get_run("run-00000000-0000-4000-8000-000000000000")
    with pytest.raises(sendoff.InvalidRequest) as wrong:
        await client.get_run("run-1")
    with pytest.raises(sendoff.EtagMismatch):
        await client.update_agent(agent.id, etag="old", name="b")

    assert mismatch.value.metadata["key"] == "mine"
    assert missing.value.reason == "RUN_NOT_FOUND"
    assert [violation.field for violation in wrong.value.violations] == ["run_id"]


async def test_a_watch_outlives_a_server_that_is_killed(server_process: ServerProcess) -> None:
    await server_process.start()
    async with AsyncClient(server_process.address) as client:
        run = await send_script(client, words=40, delay_ms=25)
        watched: list[Any] = []
        killed = False
        async with asyncio.timeout(60):
            async for entry in client.watch(run.id, include_deltas=True):
                if isinstance(entry, v1.RunEvent):
                    watched.append(entry)
                elif not killed:
                    killed = True
                    await server_process.kill()
                    await server_process.start()

        assert killed
        assert watched == [event async for event in client.run_events(run.id)]
        assert watched[-1].finished.run.status == COMPLETED


async def test_the_command_talks_to_the_server(server: app.Server) -> None:
    address = server.grpc.address

    created, _ = await command(address, "agents", "create", "--model", "scripted/echo")
    agent = created.strip()
    answer, told = await command(address, "send", agent, "hello there", "--watch")
    listed, _ = await command(address, "runs", "ls", "--agent", agent, "--json")
    _, missing = await command(address, "get", "run-00000000-0000-4000-8000-000000000000", code=3)

    assert answer == "You said: hello there\n"
    assert "completed (end_turn)" in told
    assert json.loads(listed)["status"] == "RUN_STATUS_COMPLETED"
    assert missing.startswith("error: there is no run")


async def test_a_run_that_fails_is_an_exit_code_of_the_command(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script")

    _, told = await command(
        client.connection.address, "send", agent.id, script(error={"kind": "quota"}), "--wait", code=1
    )

    assert "failed (" in told
    assert "MODEL_QUOTA_EXCEEDED" in told


async def test_a_run_is_cancelled_by_the_command(client: AsyncClient) -> None:
    run = await send_script(client, text="a b c", hang=True)

    await command(client.connection.address, "wait", run.id, "--until", "started")
    await command(client.connection.address, "cancel", run.id)
    await command(client.connection.address, "wait", run.id, code=8)


async def test_a_conversation_is_begun_spoken_in_forked_and_deleted_with_the_command(server: app.Server) -> None:
    async def sendoff_(*words: str) -> str:
        return (await command(server.grpc.address, *words))[0].strip()

    agent = await sendoff_("agents", "create", "--model", "scripted/script")
    begun = await sendoff_("conversations", "create", agent, "--model", "scripted/echo", "--summary", "ships")
    assert await sendoff_("send", agent, "bells", "--conversation", begun, "--wait") == "You said: bells"
    fork = await sendoff_("conversations", "fork", begun)
    told = ["KIND\tTEXT", "user\tbells", "assistant\tYou said: bells"]
    for conversation in (begun, fork):
        assert (await sendoff_("conversations", "messages", conversation)).splitlines() == told
    listed = (await sendoff_("conversations", "ls", "--agent", agent)).splitlines()[1:]
    assert [row.split("\t")[:2] for row in listed] == [[fork, "ships"], [begun, "ships"]]
    await sendoff_("conversations", "rm", begun)
    await command(server.grpc.address, "conversations", "show", begun, code=3)
    assert (await sendoff_("conversations", "messages", fork)).splitlines() == told
