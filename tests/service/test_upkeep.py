"""Conversations are compacted and reset when somebody asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from sendoff import v1
from sendoff_server.models.port import ModelCall
from sendoff_server.models.scripted import ECHO, SCRIPT
from sendoff_server.settings import Settings
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import check_log, kinds
from tests.fixtures.fake_providers import Reply
from tests.fixtures.server import Serve
from tests.fixtures.tools import open_workshop
from tests.service.answering import furnish, stopped
from tests.service.history_checks import faults_of_history
from tests.service.test_compaction import REJECTED, UNCOUNTED, Gate, small_provider, texts_shown, told_to

UNASKED = ("approval_response_message",)
"""Kinds that no model is shown."""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()
    hold_calls(monkeypatch, made)
    return made


@pytest.fixture
async def caller(gate: Gate, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def say(caller: Caller, agent: str, *texts: str, **fields: Any) -> None:
    for text in texts:
        run = await caller.ended((await caller.send(agent, text, **fields)).id)
        assert run.status == v1.RUN_STATUS_COMPLETED, run


async def compact(caller: Caller, agent: str, **fields: Any) -> v1.CompactConversationResponse:
    fields = {"conversation_id": "default", "agent_id": agent, **fields}
    request = v1.CompactConversationRequest(**fields)
    return await caller.conversations.CompactConversation(request, timeout=PATIENCE_S)


async def reset(caller: Caller, agent: str, **fields: Any) -> v1.ResetConversationResponse:
    fields = {"conversation_id": "default", "agent_id": agent, **fields}
    return await caller.conversations.ResetConversation(v1.ResetConversationRequest(**fields), timeout=PATIENCE_S)


async def listed(caller: Caller, agent: str) -> list[v1.Message]:
    """All messages of the agent's own conversation, oldest first."""
    request = v1.ListMessagesRequest(conversation_id="default", agent_id=agent, order_by="position")
    return list((await caller.conversations.ListMessages(request, timeout=PATIENCE_S)).messages)


async def shown_next(caller: Caller, gate: Gate, agent: str) -> list[str]:
    """What the model is shown in front of the next message."""
    gate.calls()
    await say(caller, agent, "and now")
    (call,) = gate.calls()
    *before, last = texts_shown(call)
    assert last == "and now"
    return before


# ---- compaction ----


async def test_a_compaction_puts_older_messages_into_a_summary_and_keeps_them_readable(
    caller: Caller, gate: Gate
) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two", "three")
    done = await compact(caller, agent)
    assert (done.num_messages_before, done.num_messages_after) == (7, 3), "the system prompt is counted"
    assert done.summary.startswith("You said: The conversation to shorten:")
    assert "user: one" in done.summary
    summary, *kept = await shown_next(caller, gate, agent)
    assert done.summary in summary
    assert kept == ["You said: three"]
    spoken = [each.user_message.content.text for each in await listed(caller, agent)]
    assert [text for text in spoken if text in ("one", "two", "three")] == ["one", "two", "three"]


async def test_a_compaction_is_a_run_of_its_conversation(caller: Caller) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    done = await compact(caller, agent)
    run = await caller.get(done.run_id)
    assert (run.kind, run.status) == (v1.RUN_KIND_COMPACTION, v1.RUN_STATUS_COMPLETED)
    assert run.usage.total_tokens > 0, "the summary's model call is counted"
    check_log(run, await caller.log(run.id))
    assert kinds(await caller.messages(run.id)) == ["user_message"]


async def test_nothing_is_written_where_nothing_would_become_shorter(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    for _ in range(2):
        refusal = await refused(compact(caller, agent))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_TO_COMPACT")
    await say(caller, agent, "one")
    await compact(caller, agent)
    before = await listed(caller, agent)
    refusal = await refused(compact(caller, agent))
    assert refusal.reason == "NOTHING_TO_COMPACT", "a summary alone does not become shorter"
    assert await listed(caller, agent) == before


async def test_a_conversation_at_work_is_not_compacted_or_reset(caller: Caller) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    run = await caller.send(agent, script(text="slow", first_delay_ms=60_000), override_model=SCRIPT)
    await caller.started(run.id)
    for act in (compact, reset):
        refusal = await refused(act(caller, agent))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "CONVERSATION_BUSY")
        assert refusal.metadata["run_id"] == run.id
    await caller.cancel(run.id)
    await caller.ended(run.id)
    assert (await compact(caller, agent)).summary


async def test_messages_wait_for_a_compaction_that_is_under_way(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    gate.calls()
    gate.holds_summaries = True
    compacting = asyncio.create_task(compact(caller, agent))
    held: ModelCall = await patiently(gate.begun.get())
    assert "user: one" in texts_shown(held)[0]
    behind = await caller.send(agent, "three")
    assert (await caller.get(behind.id)).status == v1.RUN_STATUS_CREATED
    gate.holds_summaries = False
    gate.release()
    done = await patiently(compacting)
    await caller.ended(behind.id)
    call = gate.calls()[-1]
    assert done.summary in texts_shown(call)[0]


async def test_a_compaction_can_be_cancelled_and_leaves_the_conversation_as_it_was(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    before = await listed(caller, agent)
    gate.holds_summaries = True
    compacting = asyncio.create_task(refused(compact(caller, agent)))
    await patiently(gate.held.get())
    (run,) = await caller.list_all(agent_id=agent, active=True)
    assert run.phase == v1.RUN_PHASE_COMPACTING
    await caller.cancel(run.id)
    refusal = await patiently(compacting)
    assert (refusal.reason, refusal.metadata["run_id"]) == ("COMPACTION_FAILED", run.id)
    ended = await caller.get(run.id)
    assert ended.status == v1.RUN_STATUS_CANCELLED
    check_log(ended, await caller.log(run.id))
    assert await listed(caller, agent) == before
    gate.holds_summaries = False
    assert (await compact(caller, agent)).summary


async def test_a_compaction_goes_on_when_who_asked_for_it_has_gone(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    gate.holds_summaries = True
    compacting = asyncio.create_task(compact(caller, agent))
    await patiently(gate.held.get())
    (run,) = await caller.list_all(agent_id=agent, active=True)
    compacting.cancel()
    await asyncio.gather(compacting, return_exceptions=True)
    gate.holds_summaries = False
    gate.release()
    assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
    assert kinds(await caller.messages(run.id)) == ["user_message"]


async def test_the_same_request_id_is_the_same_compaction(caller: Caller) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    first, *others = await asyncio.gather(*(compact(caller, agent, request_id="mine") for _ in range(4)))
    assert all(other == first for other in others)
    refusal = await refused(reset(caller, agent, request_id="mine"))
    assert refusal.reason == "IDEMPOTENCY_MISMATCH"


@pytest.mark.parametrize("reply", [REJECTED, Reply(text=("",))], ids=["rejected", "empty"])
async def test_a_summary_that_fails_leaves_the_conversation_as_it_was(reply: Reply, settings: Settings) -> None:
    async with small_provider(settings) as (caller, provider, agent):
        provider.choose = told_to(reply, UNCOUNTED)
        await say(caller, agent, "one", "two")
        before = await listed(caller, agent)
        refusal = await refused(compact(caller, agent))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "COMPACTION_FAILED")
        run = await caller.get(refusal.metadata["run_id"])
        assert (run.status, run.error.message) == (v1.RUN_STATUS_FAILED, refusal.metadata["why"])
        assert await listed(caller, agent) == before
        provider.choose = None
        await say(caller, agent, "three")
        shown = [message["content"] for message in provider.last.body["messages"]]
        assert shown[1] == "one"


async def test_a_compaction_goes_by_the_name_of_what_there_is(caller: Caller) -> None:
    agent, other = await caller.agent(ECHO), await caller.agent(ECHO)
    conversation = await caller.conversation(agent)
    for act in (compact, reset):
        refusal = await refused(act(caller, other, conversation_id=conversation))
        assert refusal.fields == ["agent_id"]
        refusal = await refused(act(caller, agent, conversation_id="conv-5d2e9b71-c0a8-4f36-a1d4-8be370f2c94e"))
        assert refusal.reason == "CONVERSATION_NOT_FOUND"
        refusal = await refused(act(caller, "agent-5d2e9b71-c0a8-4f36-a1d4-8be370f2c94e"))
        assert refusal.reason == "AGENT_NOT_FOUND"


async def test_one_conversation_is_compacted_and_no_other(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    conversation = await caller.conversation(agent)
    await say(caller, agent, "one", "two")
    await say(caller, agent, "three", "four", conversation_id=conversation)
    done = await compact(caller, agent, conversation_id=conversation)
    assert "user: three" in done.summary
    assert "one" not in done.summary
    assert (await shown_next(caller, gate, agent))[0] == "one"


# ---- reset ----


async def test_a_reset_conversation_begins_anew_and_stays_readable(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    before = await listed(caller, agent)
    done = await reset(caller, agent)
    run = await caller.get(done.run_id)
    assert (run.kind, run.status) == (v1.RUN_KIND_RESET, v1.RUN_STATUS_COMPLETED)
    check_log(run, await caller.log(run.id))
    assert await shown_next(caller, gate, agent) == []
    assert await shown_next(caller, gate, agent) == ["and now", "You said: and now"]
    after = await listed(caller, agent)
    assert after[: len(before)] == before
    assert kinds(after[len(before) :]) == ["system_message", *["user_message", "assistant_message"] * 2]


async def test_a_compacted_conversation_can_be_reset_and_compacted_again(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one", "two")
    await compact(caller, agent)
    await reset(caller, agent)
    assert (await refused(compact(caller, agent))).reason == "NOTHING_TO_COMPACT"
    await say(caller, agent, "three", "four")
    done = await compact(caller, agent)
    assert "user: three" in done.summary
    assert "one" not in done.summary
    assert done.num_messages_before == 5
    shown = await shown_next(caller, gate, agent)
    assert done.summary in shown[0]


async def test_a_reset_is_remembered_by_the_next_life_of_the_server(gate: Gate, serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent(ECHO)
        await say(caller, agent, "one")
        await reset(caller, agent)
    async with serve() as server, calling(server.grpc.address) as caller:
        assert await shown_next(caller, gate, agent) == []


async def test_what_is_pending_is_denied_by_a_reset_and_the_next_message_is_taken(
    gate: Gate, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(open_workshop(monkeypatch))
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent(ECHO)
        asked = await stopped(caller, agent, "risky", "mine", override_model=SCRIPT)
        refusal = await refused(compact(caller, agent))
        assert (refusal.reason, refusal.metadata["run_id"]) == ("PENDING_APPROVAL", asked.id)
        done = await reset(caller, agent)
        pending = v1.ListPendingActionsRequest(agent_id=agent)
        assert not (await caller.actions.ListPendingActions(pending, timeout=PATIENCE_S)).actions
        settled = await caller.get(asked.id)
        assert (settled.continued_by_run_id, list(settled.pending_actions)) == (done.run_id, [])
        assert (await caller.get(done.run_id)).turn_id == settled.turn_id
        written = kinds(await caller.messages(done.run_id))
        assert written == ["approval_response_message", "tool_return_message", "system_message"]
        entries = [each for each in await listed(caller, agent) if each.WhichOneof("kind") not in UNASKED]
        assert faults_of_history(entries) == []
        assert await shown_next(caller, gate, agent) == []


async def test_a_fork_of_a_reset_conversation_begins_where_it_does(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)
    await say(caller, agent, "one")
    (first,) = [each.id for each in await listed(caller, agent) if each.user_message.content.text == "one"]
    await reset(caller, agent)
    await say(caller, agent, "two")
    whole = v1.ForkConversationRequest(conversation_id="default", agent_id=agent)
    early = v1.ForkConversationRequest(conversation_id="default", agent_id=agent, at_message_id=first)
    for request, shown in ((whole, ["two", "You said: two"]), (early, ["one"])):
        fork = await caller.conversations.ForkConversation(request, timeout=PATIENCE_S)
        gate.calls()
        await say(caller, agent, "and now", conversation_id=fork.id)
        assert texts_shown(gate.calls()[0]) == [*shown, "and now"]


# ---- what is shown ----


async def test_the_context_is_told_as_the_next_model_call_would_be_shown_it(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(ECHO)

    async def in_context() -> list[str]:
        request = v1.GetConversationContextRequest(conversation_id="default", agent_id=agent)
        told = await caller.conversations.GetConversationContext(request, timeout=PATIENCE_S)
        assert not told.truncated
        return list(told.message_ids)

    async def shown() -> list[str]:
        gate.calls()
        await say(caller, agent, "and now")
        return [message.id for message in gate.calls()[0].messages[:-1]]

    assert await in_context() == []
    await say(caller, agent, "one", "two", "three")
    before = await in_context()
    assert await shown() == before
    await compact(caller, agent)
    after = await in_context()
    assert len(after) < len(before)
    assert await shown() == after
    await reset(caller, agent)
    assert await in_context() == await shown() == []


# ---- the system prompt ----


async def test_the_compiled_system_prompt_is_what_the_next_model_call_is_given(caller: Caller, gate: Gate) -> None:
    block = v1.Block(label="human", value="likes lanterns")
    block_id = (await caller.blocks.CreateBlock(v1.CreateBlockRequest(block=block), timeout=PATIENCE_S)).id
    agent = v1.Agent(model=ECHO, system="Be brief.", block_ids=[block_id])
    made = await caller.agents.CreateAgent(v1.CreateAgentRequest(agent=agent), timeout=PATIENCE_S)
    conversation = await caller.conversation(made.id)
    for lane in ("", "default", conversation):
        request = v1.CompileSystemRequest(agent_id=made.id, conversation_id=lane or None)
        compiled = (await caller.agents.CompileSystem(request, timeout=PATIENCE_S)).system
        assert "likes lanterns" in compiled
        gate.calls()
        await say(caller, made.id, "hello", conversation_id=lane or None)
        assert gate.calls()[0].system == compiled
    other = await caller.agent(ECHO)
    request = v1.CompileSystemRequest(agent_id=other, conversation_id=conversation)
    assert (await refused(caller.agents.CompileSystem(request, timeout=PATIENCE_S))).fields == ["agent_id"]
