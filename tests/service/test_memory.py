"""An agent's memory in its runs: what a tool keeps in one step, the next one is shown, also after a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sendoff import v1
from sendoff_server.models.port import ModelCall
from tests.faults.caller import Caller, calling, patiently, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.service.tool_runs import agent_with

_HELD = "held"
_FACT = "Name: Zoë. Likes window tables."
_INSERT = {"name": "memory_insert", "arguments": {"label": "human", "new_string": _FACT}}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, at(0, _HELD))


@pytest.fixture
async def caller(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def _block(caller: Caller, **fields: object) -> v1.Block:
    block = v1.Block(label="human", description="What we know about the guest", **fields)  # type: ignore[arg-type]
    return await caller.blocks.CreateBlock(v1.CreateBlockRequest(block=block))


async def _agent(caller: Caller, *block_ids: str) -> str:
    """An agent that names the built-in tools."""
    names = ("conversation_search", "memory_insert", "memory_replace")
    return await agent_with(caller, *names, system="Be kind.", block_ids=block_ids)


async def _calls(gate: HeldCalls, count: int) -> list[ModelCall]:
    return [await patiently(gate.begun.get()) for _ in range(count)]


async def test_what_is_kept_in_one_step_stands_in_the_system_prompt_of_the_next(
    gate: HeldCalls, caller: Caller
) -> None:
    block = await _block(caller, value="Likes tea.")
    agent = await _agent(caller, block.id)
    run = await caller.ended((await caller.send(agent, script(steps=[{"tool_calls": [_INSERT]}, {"text": "ok"}]))).id)
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    first, second = (call.system for call in await _calls(gate, 2))
    assert "<value>\nLikes tea.\n</value>" in first
    assert f"<value>\nLikes tea.\n{_FACT}\n</value>" in second
    assert first.startswith("Be kind.\n\n<memory_blocks>")
    assert (await caller.blocks.GetBlock(v1.GetBlockRequest(block_id=block.id))).value == f"Likes tea.\n{_FACT}"


async def test_a_change_of_a_block_is_seen_by_the_next_run(gate: HeldCalls, caller: Caller) -> None:
    block = await _block(caller, value="Likes tea.")
    agent = await _agent(caller, block.id)
    await caller.ended((await caller.send(agent, script(text="1"))).id)
    changed = v1.UpdateBlockRequest(block_id=block.id, block=v1.Block(value="Likes milk."))
    await caller.blocks.UpdateBlock(changed)
    await caller.ended((await caller.send(agent, script(text="2"))).id)
    first, second = (call.system for call in await _calls(gate, 2))
    assert first.replace("Likes tea.", "Likes milk.").replace("chars_current=10", "chars_current=11") == second


async def test_with_a_system_prompt_of_its_own_a_run_is_shown_no_memory(gate: HeldCalls, caller: Caller) -> None:
    agent = await _agent(caller, (await _block(caller, value="x")).id)
    await caller.ended((await caller.send(agent, script(text="1"), override_system="Alone.")).id)
    assert [call.system for call in await _calls(gate, 1)] == ["Alone."]


async def test_memory_stands_in_front_of_skills(gate: HeldCalls, caller: Caller) -> None:
    agent = await _agent(caller, (await _block(caller, value="x")).id)
    skills = [v1.ClientSkill(name="pdf", location="skills/pdf/SKILL.md")]
    await caller.ended((await caller.send(agent, script(text="1"), client_skills=skills)).id)
    (call,) = await _calls(gate, 1)
    assert call.system.index("</memory_metadata>\n\n<available_skills>") > call.system.index("<memory_blocks>")


async def test_an_agent_without_blocks_is_told_of_no_memory(gate: HeldCalls, caller: Caller) -> None:
    await caller.ended((await caller.send(await _agent(caller), script(text="1"))).id)
    assert [call.system for call in await _calls(gate, 1)] == ["Be kind."]


async def test_what_was_said_long_ago_is_found_again(gate: HeldCalls, caller: Caller) -> None:
    agent = await _agent(caller)
    await caller.ended((await caller.send(agent, script(text="The code is 4711."))).id)
    search = {"name": "conversation_search", "arguments": {"query": "code 4711", "roles": ["assistant"]}}
    run = await caller.ended((await caller.send(agent, script(steps=[{"tool_calls": [search]}, {"text": "ok"}]))).id)
    returned = [
        each.tool_return.text
        for message in await caller.messages(run.id)
        for each in message.tool_return_message.tool_returns
    ]
    assert len(returned) == 1
    assert "newest first: 1\n" in returned[0]
    assert returned[0].endswith(":\nThe code is 4711.")


async def test_changes_of_one_answer_are_made_in_its_order_and_a_refused_one_stops_none(
    gate: HeldCalls, caller: Caller
) -> None:
    block = await _block(caller, value="0", limit=9)
    labelled = [
        {"name": "memory_insert", "arguments": {"label": "human", "new_string": text}} for text in ("1", "x" * 9, "2")
    ]
    agent = await _agent(caller, block.id)
    run = await caller.ended((await caller.send(agent, script(steps=[{"tool_calls": labelled}, {"text": "ok"}]))).id)
    (message,) = [each for each in await caller.messages(run.id) if each.HasField("tool_return_message")]
    statuses = [each.status for each in message.tool_return_message.tool_returns]
    success, error = v1.TOOL_RETURN_STATUS_SUCCESS, v1.TOOL_RETURN_STATUS_ERROR
    assert statuses == [success, error, success]
    assert "<value>\n0\n1\n2\n</value>" in (await _calls(gate, 2))[1].system
