"""Agents that name tools, runs that call them, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, patiently, script
from tests.faults.run_log import check_log
from tests.fixtures.scripted_gate import HeldCalls


def show_all() -> HeldCalls:
    """A gate that holds nothing: `begun` tells what models are shown, call by call."""
    return HeldCalls(lambda call, sent: False)


async def listed(caller: Caller, *names: str) -> v1.ListToolsResponse:
    return await caller.tools.ListTools(v1.ListToolsRequest(names=names), timeout=PATIENCE_S)


async def agent_with(caller: Caller, *names: str, **fields: Any) -> str:
    """An agent that names these tools, which are found by their names; MCP servers are waited for."""
    page = await listed(caller, *names)
    while page.silent_mcp_servers:
        page = await listed(caller, *names)
    assert [tool.name for tool in page.tools] == sorted(names)
    agent = v1.Agent(model="scripted/script", tool_ids=[tool.id for tool in page.tools], **fields)
    return (await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent), timeout=PATIENCE_S)).id


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def calls(*names: str, **arguments: Any) -> dict[str, Any]:
    """A step that calls these tools, each with these arguments."""
    return {"tool_calls": [call(name, **arguments) for name in names]}


def script_of(steps: Sequence[dict[str, Any]]) -> str:
    return script(steps=list(steps))


async def run_of(caller: Caller, agent: str, *steps: dict[str, Any]) -> v1.Run:
    """A run that makes these steps and then says "done", once it has ended."""
    run = await caller.ended((await caller.send(agent, script_of(steps))).id)
    check_log(run, await caller.log(run.id))
    return run


async def last_return_shown(shown: HeldCalls, model_calls: int) -> str:
    """What the newest of so many calls of models was shown of a tool last."""
    asked = [await patiently(shown.begun.get()) for _ in range(model_calls)]
    newest: v1.Message = asked[-1].messages[-1]
    return newest.tool_return_message.tool_returns[-1].tool_return.text


async def starts(caller: Caller, run: v1.Run) -> list[v1.ToolCallStarted]:
    """The calls that the log tells were started."""
    return [event.tool_call_started for event in await caller.log(run.id) if event.HasField("tool_call_started")]


async def until_called(caller: Caller, run: v1.Run, times: int = 1) -> None:
    """Wait until the log tells of so many starts of calls."""
    run = await caller.get(run.id)
    while len(await starts(caller, run)) < times:
        run = await caller.changed(run.id, run.last_sequence)
