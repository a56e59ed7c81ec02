"""P6. History stays valid: after a cancel, a crash or a denial every tool call has a return, and the next model call
works."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sendoff_server.tools.port import ToolCall, ToolResult
from tests.contract.promises.doors import Door, Open, calls_of, denies, gives, returns_of
from tests.faults.caller import patiently, script
from tests.fixtures.server import ServerProcess
from tests.fixtures.tools import Workshop

MINE = [{"name": "mine"}]


async def _history(door: Door, agent: str) -> list[dict[str, Any]]:
    """All messages, once another run has ended well."""
    run_id = (await door.send(agent, script(text="and on"))).run_id
    ended = await patiently(door.ended(run_id))
    assert (ended["status"], ended["stop_reason"]) == ("completed", "end_turn")
    return await door.history(agent)


async def test_a_cancel_while_tools_work_leaves_no_call_without_a_return(workshop: Workshop, door: Door) -> None:
    async def hangs(call: ToolCall) -> ToolResult:
        await asyncio.Event().wait()
        raise AssertionError

    workshop.has("slow", hangs)
    agent = await door.agent()
    run_id = (await door.send(agent, script(steps=[{"tool_calls": [{"name": "slow"}, {"name": "slow"}]}]))).run_id
    await patiently(workshop.begun.get())
    await door.cancel(agent, run_id)
    assert (await patiently(door.ended(run_id)))["status"] == "cancelled"

    history = await _history(door, agent)
    assert len(calls_of(history)) == 2
    assert returns_of(history) == dict.fromkeys(calls_of(history), "error")


@pytest.mark.parametrize("by", ["denial", "cancel", "message"])
async def test_what_was_pending_has_a_return_once_it_is_settled(workshop: Workshop, door: Door, by: str) -> None:
    agent = await door.agent()
    play = script(steps=[{"tool_calls": [{"name": "risky"}, {"name": "mine"}, {"name": "plain"}]}, {"text": "well"}])
    asked = (await door.send(agent, play, client_tools=MINE)).run_id
    assert (await patiently(door.ended(asked)))["stop_reason"] == "requires_approval"
    risky, mine = await door.pending(agent)
    if by == "denial":
        answered = (await door.answer(agent, denies(risky), gives(mine, "seven"))).run_id
        assert (await patiently(door.ended(answered)))["stop_reason"] == "end_turn"
    elif by == "cancel":
        await door.cancel(agent, asked)

    history = await _history(door, agent)
    assert len(calls_of(history)) == 3
    assert set(returns_of(history)) == set(calls_of(history))
    assert returns_of(history)[risky] == "error"
    assert [call.tool.name for call in workshop.calls if call.tool.name == "risky"] == []


async def test_a_crash_while_a_tool_works_leaves_no_call_without_a_return_once_it_goes_on(
    server_process: ServerProcess, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_process.module, server_process.http_address = "tests.faults.stopping_server", "127.0.0.1:0"
    monkeypatch.setenv("SUBJECT_TOOL_FILE", str(tmp_path / "done by the tool"))
    monkeypatch.setenv("SUBJECT_TOOL_EFFECT", "TOOL_EFFECT_IDEMPOTENT")
    monkeypatch.setenv("SUBJECT_STOP", "tool before")
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        agent = await door.agent()
        steps = [{"tool_calls": [{"name": "quick"}, {"name": "look"}]}, {"text": "seven"}]
        run_id = (await door.send(agent, script(steps=steps))).run_id
        await server_process.logged("stopped here")
        await server_process.kill()
    monkeypatch.delenv("SUBJECT_STOP")
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        await patiently(door.ended(run_id))
        history = await _history(door, agent)
        assert len(calls_of(history)) == 2
        assert set(returns_of(history)) == set(calls_of(history))
