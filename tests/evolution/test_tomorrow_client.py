"""Our client and our command of today with a server of tomorrow: what they do not know harms nothing, and is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from typer.testing import CliRunner

from sendoff import AsyncClient, RetryPolicy, Transcript, v1
from sendoff.cli.app import app
from tests.evolution.older_server import OlderServer, older_server
from tests.evolution.recordings import names, recording
from tests.evolution.tomorrow import NEW_VALUE, TOMORROW, answered_tomorrow, untold

QUESTION = "Why do ships have bells?"
ANSWER = f"You said: {QUESTION}"
OPTIONS: dict[str, Any] = {
    "request_id": "ships-1",
    "labels": {"topic": "ships"},
    "metadata": {"order": 7},
    "max_steps": 3,
}


@asynccontextmanager
async def tomorrow() -> AsyncIterator[tuple[AsyncClient, OlderServer]]:
    async with (
        older_server(answered_tomorrow(recording(names()[-1]))) as server,
        AsyncClient(server.address, retry=RetryPolicy(max_attempts=1)) as client,
    ):
        yield client, server


async def sent(client: AsyncClient) -> v1.Run:
    agent = await client.create_agent(name="subject", metadata={"z": 1, "a": [True, None, 9007199254740993]})
    return await client.send(agent.id, QUESTION, **OPTIONS)


async def test_a_run_is_followed_over_frames_events_and_messages_that_nobody_knows_yet() -> None:
    async with tomorrow() as (client, _):
        run = await sent(client)
        transcript, events = Transcript(), []
        async for entry in client.watch(run.id, include_deltas=True):
            transcript.apply(entry)
            if isinstance(entry, v1.RunEvent):
                events.append(entry)
        ended = await client.wait_run(run.id)

    assert transcript.text == ANSWER
    assert [event.sequence for event in events] == [*range(1, ended.last_sequence + 1)]
    assert None in [event.WhichOneof("event") for event in events], "no event was new"
    assert (ended.status, ended.stop_reason) == (v1.RUN_STATUS_COMPLETED, NEW_VALUE)


async def test_what_the_client_hands_on_has_lost_nothing() -> None:
    async with tomorrow() as (client, _):
        run = await sent(client)
        handed: list[Any] = [run, await client.get_agent(run.agent_id), await client.wait_run(run.id)]
        handed += [entry async for entry in client.watch(run.id, after_sequence=2)]
        handed += [message async for message in client.run_messages(run.id, page_size=1)]
        handed += [step async for step in client.run_steps(run.id)]
        handed += [each async for each in client.agents(page_size=1)]
        handed += [await client.models(), await client.server_info()]

    for message in handed:
        name = message.DESCRIPTOR.full_name.removeprefix("sendoff.v1.")
        again = TOMORROW.messages[name].FromString(message.SerializeToString())
        assert untold(again) == []


async def command(address: str, *words: str) -> tuple[int, str, str]:
    environment = {"SENDOFF_API_KEY": None, "COLUMNS": "200"}
    line = ["--address", address, *words]
    outcome = await asyncio.to_thread(CliRunner().invoke, app, line, env=environment)
    return outcome.exit_code, outcome.stdout, outcome.stderr


async def test_the_command_shows_what_it_knows_and_numbers_for_the_rest() -> None:
    async with tomorrow() as (client, server):
        run = await sent(client)
        code, shown, _ = await command(server.address, "get", run.id)
        listed, runs, _ = await command(server.address, "agents", "ls")
        watched, text, notes = await command(server.address, "watch", run.id)

    assert (code, listed, watched) == (0, 0, 0)
    assert "completed" in shown
    assert str(NEW_VALUE) in shown
    assert run.agent_id in runs
    assert text.strip() == ANSWER
    assert f"completed ({NEW_VALUE})" in notes


async def test_the_command_tells_programs_the_same() -> None:
    async with tomorrow() as (client, server):
        run = await sent(client)
        _, got, _ = await command(server.address, "get", "--json", run.id)
        _, watched, _ = await command(server.address, "watch", "--json", run.id)

    finished = json.loads(watched.splitlines()[-1])["event"]["finished"]["run"]
    for told in (json.loads(got), finished):
        assert (told["id"], told["status"], told["stop_reason"]) == (run.id, "RUN_STATUS_COMPLETED", NEW_VALUE)
