"""Tools that run at the caller, approvals, memory and Python tools, through both clients and the command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sendoff import AsyncClient, Client, v1
from sendoff_server import app
from tests.clients.test_real_server import COMPLETED, command
from tests.faults.caller import script
from tests.fixtures.server import Serve

ASKS = v1.StopReason.STOP_REASON_REQUIRES_APPROVAL
LOOK_UP = [v1.ClientTool(name="look_up", description="Looks into the caller's own books.")]
CALL = {"tool_calls": [{"name": "look_up", "arguments": {"page": 7}}]}


async def test_a_tool_of_the_caller_is_called_there_and_the_run_that_continues_has_its_result(
    client: AsyncClient,
) -> None:
    agent = await client.create_agent(model="scripted/script")
    sent = await client.send(agent.id, script(steps=[CALL, {"text": "It says so."}]), client_tools=LOOK_UP)
    stopped = await client.wait_run(sent.id, timeout_s=30)
    (action,) = [each async for each in client.actions(agent_id=agent.id)]
    assert (stopped.stop_reason, action.run_id) == (ASKS, sent.id)
    assert (action.kind, json.loads(action.call.arguments)) == (v1.ActionKind.ACTION_KIND_CLIENT_TOOL, {"page": 7})

    response = await client.return_result(action, "the page says so")
    ended = await client.wait_run(response.run.id, timeout_s=30)

    messages = [message async for message in client.run_messages(ended.id)]
    assert ended.status == COMPLETED
    (given,) = [each for message in messages for each in message.tool_return_message.tool_returns]
    assert given.tool_return.text == "the page says so"
    assert messages[-1].assistant_message.content.text == "It says so."
    assert [each async for each in client.actions(agent_id=agent.id)] == []


async def test_the_blocking_client_runs_its_tools_as_well(server: app.Server) -> None:
    def talk() -> tuple[v1.Run, str]:
        with Client(server.grpc.address) as client:
            agent = client.create_agent(model="scripted/script")
            run = client.send(agent.id, script(steps=[CALL, CALL, {"text": "Both."}]), client_tools=LOOK_UP)
            while (run := client.wait_run(run.id, timeout_s=30)).pending_actions:
                run = client.return_result(run.pending_actions[0], "found").run
            return run, list(client.run_messages(run.id))[-1].assistant_message.content.text

    run, told = await asyncio.to_thread(talk)

    assert (run.status, told) == (COMPLETED, "Both.")


async def test_a_tool_that_runs_elsewhere_is_put_met_and_answered_with_the_command(
    server: app.Server, tmp_path: Path
) -> None:
    async def sendoff_(*words: str, code: int = 0) -> str:
        return (await command(server.grpc.address, *words, code=code))[0].strip()

    file = tmp_path / "look_up.json"
    file.write_text(json.dumps({"name": "look_up", "type": "CLIENT", "json_schema": {"type": "object"}}))
    tool = await sendoff_("tools", "put", str(file))
    agent = await sendoff_("agents", "create", "--model", "scripted/script", "--tool", tool)

    await sendoff_("send", agent, script(steps=[CALL, {"text": "It says so."}]), "--wait", code=10)
    listed = (await sendoff_("actions", "ls")).splitlines()[1:]
    run = listed[0].split("\t")[0]
    answer = await sendoff_("actions", "return", run, "the page says so", "--watch")

    assert len(listed) == 1
    assert answer == "It says so."
    assert (await sendoff_("actions", "ls")).splitlines()[1:] == []
    assert (await sendoff_("watch", run, "--turn")).endswith("It says so.")


@pytest.mark.parametrize("approved", [True, False])
async def test_a_call_of_a_python_tool_is_decided_on_with_the_command(
    serve: Serve, tmp_path: Path, approved: bool
) -> None:
    async with serve(python_tools=True) as server:

        async def sendoff_(*words: str, code: int = 0) -> str:
            return (await command(server.grpc.address, *words, code=code))[0].strip()

        file = tmp_path / "roll.py"
        file.write_text('def roll(sides: int) -> str:\n    """Roll a die."""\n    return f"rolled {sides}"\n')
        tool = await sendoff_("tools", "put", str(file), "--requires-approval")
        agent = await sendoff_("agents", "create", "--model", "scripted/script", "--tool", tool)
        asks = {"tool_calls": [{"name": "roll", "arguments": {"sides": 6}}]}
        run = await sendoff_("send", agent, script(steps=[asks, {"text": "Well."}]))
        await sendoff_("wait", run, code=10)
        words = ["approve", run] if approved else ["deny", run, "--reason", "no gambling"]
        following = await sendoff_("actions", *words)
        await sendoff_("wait", following)
        returned = await sendoff_("messages", following)

    assert ("rolled 6" in returned) is approved
    assert ("no gambling" in returned) is not approved


async def test_what_an_agent_remembers_is_read_with_the_command(server: app.Server) -> None:
    async def sendoff_(*words: str) -> str:
        return (await command(server.grpc.address, *words))[0].strip()

    block = await sendoff_("blocks", "put", "--label", "human", "--value", "Likes tea.")
    built_in = [row.split("\t") for row in (await sendoff_("tools", "ls", "--type", "built_in")).splitlines()[1:]]
    insert = next(tool for tool, name, *_ in built_in if name == "memory_insert")
    agent = await sendoff_("agents", "create", "--model", "scripted/script", "--block", block, "--tool", insert)
    remembers = {"name": "memory_insert", "arguments": {"label": "human", "new_string": "Is called Zoë."}}
    await sendoff_("send", agent, script(steps=[{"tool_calls": [remembers]}, {"text": "Noted."}]), "--wait")

    assert await sendoff_("blocks", "get", block, "--value") == "Likes tea.\nIs called Zoë."
