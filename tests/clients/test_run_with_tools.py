"""Turns whose tools run at the caller, against the server as it is."""

from __future__ import annotations

import asyncio
from typing import Any

from sendoff import AsyncClient, Client, Turn, v1
from sendoff_server import app
from tests.clients.test_real_server import COMPLETED
from tests.faults.caller import script
from tests.fixtures.server import ServerProcess

PAGE: dict[str, Any] = {"name": "read_page", "arguments": {"book": "atlas", "page": 7}}
LEARNS: dict[str, Any] = {"name": "memory_insert", "arguments": {"label": "human", "new_string": "Reads atlases."}}


def read_page(book: str, page: int) -> dict[str, str]:
    """Read a page.

    Args:
        book: Its title.
        page: Which one, from 1.
    """
    return {book: f"text of page {page}"}


async def test_tools_and_approvals_are_seen_to_until_the_turn_is_over(server: app.Server) -> None:
    asked: list[str] = []

    def approve(action: v1.PendingAction) -> bool:
        asked.append(action.call.name)
        return True

    def talk() -> tuple[Turn, str, list[v1.ToolReturn]]:
        with Client(server.grpc.address) as client:
            block = client.create_block(label="human")
            (insert,) = client.tools(names=["memory_insert"])
            rule = v1.ToolRule(tool_name=insert.name, requires_approval=v1.ToolRule.RequiresApproval())
            agent = client.create_agent(
                model="scripted/script", block_ids=[block.id], tool_ids=[insert.id], tool_rules=[rule]
            )
            steps = [{"tool_calls": [PAGE]}, {"tool_calls": [LEARNS]}, {"text": "Noted."}]
            turn = client.run_with_tools(
                agent.id, script(steps=steps), tools=[read_page], approve=approve, timeout_s=60
            )
            messages = client.messages("default", agent_id=agent.id, order_by="position")
            given = [each for message in messages for each in message.tool_return_message.tool_returns]
            return turn, client.get_block(block.id).value, given

    turn, known, given = await asyncio.to_thread(talk)

    assert (turn.run.status, turn.text, turn.rounds, turn.open_actions) == (COMPLETED, "Noted.", 2, [])
    assert (asked, known) == (["memory_insert"], "Reads atlases.")
    assert given[0].tool_return.text == '{"atlas": "text of page 7"}'


async def test_a_tool_is_called_once_though_the_server_is_killed_meanwhile(server_process: ServerProcess) -> None:
    await server_process.start()
    called = 0

    async def restart() -> str:
        nonlocal called
        called += 1
        await server_process.kill()
        await server_process.start()
        return "back"

    async with AsyncClient(server_process.address) as client:
        agent = await client.create_agent(model="scripted/script")
        steps = [{"tool_calls": [{"name": "restart", "arguments": {}}]}, {"text": "It is back."}]
        turn = await client.run_with_tools(agent.id, script(steps=steps), tools=[restart], timeout_s=120)

    assert (turn.text, turn.rounds, called) == ("It is back.", 1, 1)


async def test_another_process_goes_on_with_a_turn_by_its_request_id(client: AsyncClient) -> None:
    agent = await client.create_agent(model="scripted/script")
    message = script(steps=[{"tool_calls": [PAGE]}, {"text": "It says so."}])
    first = await client.run_with_tools(agent.id, message, tools=[read_page], max_rounds=0, request_id="one")
    assert [action.call.name for action in first.open_actions] == ["read_page"]

    second = await client.run_with_tools(agent.id, message, tools=[read_page], request_id="one", timeout_s=60)
    third = await client.run_with_tools(agent.id, message, tools=[read_page], request_id="one", timeout_s=60)

    assert (second.text, second.rounds) == ("It says so.", 1)
    assert (third.text, third.rounds, third.run.id) == ("It says so.", 0, second.run.id)
