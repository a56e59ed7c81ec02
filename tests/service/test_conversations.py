"""Conversations of one agent are apart: each has its own order, history, model and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server import ids
from tests.faults.caller import Caller, calling, patiently, refused, request, script
from tests.faults.gated import at, hold_calls
from tests.faults.run_log import check_log
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

_HELD = "held"
_UNKNOWN = ids.derive("conv", "nobody's")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so when they begin."""
    return hold_calls(monkeypatch, at(0, _HELD))


@pytest.fixture
async def caller(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def _said(caller: Caller, agent: str, *texts: str, conversation: str | None = None) -> list[v1.Run]:
    """Runs of these inputs, that have ended."""
    return [await caller.ended((await caller.send(agent, text, conversation_id=conversation)).id) for text in texts]


async def _messages(caller: Caller, conversation: str, **fields: Any) -> list[v1.Message]:
    """All of them, page by page."""
    ask = v1.ListMessagesRequest(conversation_id=conversation, **fields)
    found: list[v1.Message] = []
    while True:
        page = await caller.conversations.ListMessages(ask)
        found += page.messages
        if not page.next_page_token:
            return found
        ask.page_token = page.next_page_token


def _told(messages: list[v1.Message]) -> list[str]:
    return [message.user_message.content.text or message.assistant_message.content.text for message in messages]


async def _get(caller: Caller, conversation: str) -> v1.Conversation:
    return await caller.conversations.GetConversation(v1.GetConversationRequest(conversation_id=conversation))


async def _fork(caller: Caller, source: str, /, **fields: Any) -> v1.Conversation:
    return await caller.conversations.ForkConversation(v1.ForkConversationRequest(conversation_id=source, **fields))


async def _delete(caller: Caller, conversation: str, *, cancel_runs: bool = False) -> None:
    ask = v1.DeleteConversationRequest(conversation_id=conversation, cancel_runs=cancel_runs)
    await caller.conversations.DeleteConversation(ask, timeout=20)


async def _listed(caller: Caller, agent: str, **fields: Any) -> list[str]:
    """Ids of the agent's conversations, page by page."""
    ask = v1.ListConversationsRequest(agent_id=agent, page_size=2, **fields)
    found: list[str] = []
    while True:
        page = await caller.conversations.ListConversations(ask)
        found += [each.id for each in page.conversations]
        if not page.next_page_token:
            return found
        ask.page_token = page.next_page_token


# ---- lists ----


async def test_conversations_are_listed_by_what_is_set_and_by_what_happened_last(caller: Caller) -> None:
    agent = await caller.agent()
    ships = await caller.conversation(agent, summary="Ships", archived=True)
    tea, hidden, boats = [
        await caller.conversation(agent, **fields)
        for fields in ({"summary": "tea"}, {"summary": "ships", "hidden": True}, {"summary": "boats and SHIPS"})
    ]
    assert await _listed(caller, agent) == [boats, tea, ships]
    assert await _listed(caller, agent, show_hidden=True, order_by="create_time") == [ships, tea, hidden, boats]
    assert await _listed(caller, agent, summary_search="ships", archived=False) == [boats]
    assert await _listed(caller, agent, archived=True) == [ships]
    assert await _listed(caller, agent, after_conversation_id=boats) == [tea, ships]
    await _said(caller, agent, script(text="well"), conversation=tea)
    await _said(caller, agent, script(text="well"), conversation=ships)
    assert await _listed(caller, agent, order_by="last_run_time desc") == [ships, tea, boats]
    assert await _listed(caller, agent, order_by="last_message_time") == [boats, tea, ships]
    refusal = await refused(_listed(caller, agent, after_conversation_id=_UNKNOWN))
    assert refusal.reason == "CONVERSATION_NOT_FOUND"


async def test_it_is_told_since_when_a_conversation_is_archived(caller: Caller) -> None:
    agent = await caller.agent()
    conversation = await caller.conversation(agent, archived=True, hidden=True, description="for two")
    before = await _get(caller, conversation)
    assert before.archive_time == before.create_time

    async def change(**fields: Any) -> v1.Conversation:
        mask = FieldMask(paths=list(fields))
        ask = v1.UpdateConversationRequest(
            conversation_id=conversation, conversation=v1.Conversation(**fields), update_mask=mask
        )
        return await caller.conversations.UpdateConversation(ask)

    assert (await change(summary="ships", archived=True)).archive_time == before.archive_time
    fork = await _fork(caller, conversation)
    assert (fork.description, fork.archived, fork.hidden, fork.HasField("archive_time")) == (
        "for two",
        False,
        False,
        False,
    )
    assert not (await change(archived=False)).HasField("archive_time")
    assert (await change(archived=True)).archive_time.ToNanoseconds() > before.archive_time.ToNanoseconds()


# ---- runs ----


async def test_conversations_of_one_agent_run_in_parallel_and_each_in_order_of_acceptance(
    gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    lanes = [None, await caller.conversation(agent), await caller.conversation(agent)]
    accepted = {
        lane: [(await caller.send(agent, script(text=_HELD), conversation_id=lane)).id for _ in range(3)]
        for lane in lanes
    }
    for round_ in range(3):
        under_way = {(await patiently(gate.held.get()))[0].run_id for _ in lanes}
        assert under_way == {runs[round_] for runs in accepted.values()}
        assert gate.under_way == 3
        gate.release(3)
    for lane, runs in accepted.items():
        ended = [await caller.ended(run_id) for run_id in runs]
        assert {run.status for run in ended} == {v1.RUN_STATUS_COMPLETED}
        assert {run.conversation_id for run in ended} == {lane or ""}
        for run in ended:
            check_log(run, await caller.log(run.id))
        listed = await caller.list_all(agent_id=agent, conversation_id=lane or "default", order_by="create_time")
        assert [run.id for run in listed] == runs
    assert len(await caller.list_all(agent_id=agent)) == 9


async def test_the_model_sees_the_history_of_the_conversation_and_no_other(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    lane = await caller.conversation(agent)
    await _said(caller, agent, "in the default one")
    await _said(caller, agent, "one", "two", conversation=lane)
    calls = [await patiently(gate.begun.get()) for _ in range(3)]
    assert _told(list(calls[-1].messages)) == ["one", "You said: one", "two"]


async def test_the_conversation_s_model_wins_over_the_agent_s_and_the_request_s_over_both(caller: Caller) -> None:
    agent = await caller.agent("scripted/script")
    lane = await caller.conversation(agent, model="scripted/echo")

    async def model(run: v1.Run) -> str:
        log = await caller.log((await caller.ended(run.id)).id)
        return next(event.step_started.model_handle for event in log if event.HasField("step_started"))

    text = script(text="hello")
    assert await model(await caller.send(agent, text)) == "scripted/script"
    assert await model(await caller.send(agent, text, conversation_id=lane)) == "scripted/echo"
    overridden = await caller.send(agent, text, conversation_id=lane, override_model="scripted/script")
    assert await model(overridden) == "scripted/script"
    cleared = v1.UpdateConversationRequest(conversation_id=lane, update_mask=FieldMask(paths=["model"]))
    assert not (await caller.conversations.UpdateConversation(cleared)).HasField("model")
    assert await model(await caller.send(agent, text, conversation_id=lane)) == "scripted/script"


async def test_the_agent_may_be_left_out_and_must_be_right_when_it_is_told(caller: Caller) -> None:
    agent, other = await caller.agent(), await caller.agent()
    lane = await caller.conversation(agent)
    run = await caller.send("", script(text="hello"), conversation_id=lane)
    assert (run.agent_id, run.conversation_id) == (agent, lane)
    refusal = await refused(caller.send(other, "hello", conversation_id=lane))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["agent_id"])
    for agent_id in ("", agent):
        refusal = await refused(caller.send(agent_id, "hello", conversation_id=_UNKNOWN))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CONVERSATION_NOT_FOUND")
        assert refusal.metadata == {"conversation_id": _UNKNOWN}


async def test_a_repeat_is_the_same_run_with_and_without_the_agent_and_otids_are_of_their_conversation(
    caller: Caller,
) -> None:
    agent = await caller.agent()
    lanes = [await caller.conversation(agent) for _ in range(2)]
    first = await caller.send(agent, script(text="a"), conversation_id=lanes[0], request_id="k")
    again = await caller.send("", script(text="a"), conversation_id=lanes[0], request_id="k")
    assert again.id == first.id
    elsewhere = await refused(caller.send(agent, script(text="a"), conversation_id=lanes[1], request_id="k"))
    assert (elsewhere.code, elsewhere.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")

    said = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="b"), otid="o"))
    runs = set()
    for lane in (*lanes, lanes[0]):
        sent = v1.CreateMessageAsyncRequest(conversation_id=lane, messages=v1.InputMessages(messages=[said]))
        runs.add((await caller.runs.CreateMessageAsync(sent)).id)
    assert len(runs) == 2


async def test_a_conversation_tells_what_it_is_doing(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    lane = await caller.conversation(agent)
    idle = await _get(caller, lane)
    assert (idle.HasField("active_run_id"), idle.queued_runs, idle.HasField("last_message_time")) == (False, 0, False)
    runs = [await caller.send("", script(text=_HELD), conversation_id=lane) for _ in range(3)]
    await patiently(gate.held.get())
    busy = await _get(caller, lane)
    assert (busy.active_run_id, busy.queued_runs) == (runs[0].id, 2)
    gate.release(3)
    await caller.ended(runs[-1].id)
    after = await _get(caller, lane)
    assert (after.HasField("active_run_id"), after.queued_runs) == (False, 0)
    assert after.last_message_time == (await _messages(caller, lane))[0].create_time
    assert after.etag == idle.etag


# ---- made, changed ----


async def test_a_conversation_is_made_once_per_request_id(caller: Caller) -> None:
    agent = await caller.agent()
    wanted = v1.Conversation(summary="ships", labels={"a": "b"}, metadata=v1.JsonObject(json='{"n": 1}'))
    ask = v1.CreateConversationRequest(agent_id=agent, conversation=wanted, request_id="k")
    made = await asyncio.gather(*(caller.conversations.CreateConversation(ask) for _ in range(5)))
    assert len({each.id for each in made}) == 1
    assert (made[0].agent_id, made[0].summary, dict(made[0].labels)) == (agent, "ships", {"a": "b"})
    assert made[0].metadata.json == '{"n": 1}'
    assert made[0] == await _get(caller, made[0].id)
    ask.conversation.summary = "shoes"
    refusal = await refused(caller.conversations.CreateConversation(ask))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")
    assert refusal.metadata["resource_id"] == made[0].id


async def test_a_conversation_needs_an_agent_and_a_model_that_exist(caller: Caller) -> None:
    nobody = v1.CreateConversationRequest(agent_id=ids.derive("agent", "nobody"))
    assert (await refused(caller.conversations.CreateConversation(nobody))).reason == "AGENT_NOT_FOUND"
    agent = await caller.agent()
    assert (await refused(caller.conversation(agent, model="scripted/none"))).reason == "MODEL_NOT_FOUND"
    lane = await caller.conversation(agent)
    change = v1.UpdateConversationRequest(conversation_id=lane, conversation=v1.Conversation(model="scripted/none"))
    assert (await refused(caller.conversations.UpdateConversation(change))).reason == "MODEL_NOT_FOUND"


async def test_conversations_are_listed_newest_first_by_agent(caller: Caller) -> None:
    agent, other = await caller.agent(), await caller.agent()
    made = [await caller.conversation(agent) for _ in range(5)]
    theirs = await caller.conversation(other)
    ask = v1.ListConversationsRequest(agent_id=agent, page_size=2)
    found: list[str] = []
    while True:
        page = await caller.conversations.ListConversations(ask)
        found += [each.id for each in page.conversations]
        if not page.next_page_token:
            break
        ask.page_token = page.next_page_token
    assert found == made[::-1]
    every = await caller.conversations.ListConversations(v1.ListConversationsRequest())
    assert [each.id for each in every.conversations] == [theirs, *made[::-1]]


async def test_an_update_changes_what_it_names_and_nothing_under_a_stale_etag(caller: Caller) -> None:
    lane = await caller.conversation(await caller.agent(), summary="old", labels={"a": "1", "b": "2"})
    before = await _get(caller, lane)
    named = v1.UpdateConversationRequest(conversation_id=lane, conversation=v1.Conversation(labels={"c": "3"}))
    first = await caller.conversations.UpdateConversation(named)
    assert (first.summary, dict(first.labels)) == ("old", {"c": "3"})
    assert first.etag != before.etag
    assert first.update_time.ToNanoseconds() >= before.update_time.ToNanoseconds()
    masked = v1.UpdateConversationRequest(
        conversation_id=lane,
        conversation=v1.Conversation(summary="new", etag=first.etag),
        update_mask=FieldMask(paths=["summary", "labels"]),
    )
    second = await caller.conversations.UpdateConversation(masked)
    assert (second.summary, dict(second.labels)) == ("new", {})
    assert second == await _get(caller, lane)
    refusal = await refused(caller.conversations.UpdateConversation(masked))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert (await _get(caller, lane)) == second


# ---- deleted ----


async def test_a_conversation_with_active_runs_is_deleted_only_with_their_cancel(
    gate: HeldCalls, caller: Caller
) -> None:
    agent = await caller.agent()
    lane, stays = await caller.conversation(agent), await caller.conversation(agent)
    neighbour = await caller.send("", script(text=_HELD), conversation_id=stays)
    runs = [await caller.send("", script(text=_HELD), conversation_id=lane) for _ in range(3)]
    for _ in range(2):
        await patiently(gate.held.get())
    refusal = await refused(_delete(caller, lane))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONVERSATION_HAS_ACTIVE_RUNS")
    assert refusal.metadata == {"conversation_id": lane, "active_runs": "3"}
    assert (await caller.get(runs[0].id)).status == v1.RUN_STATUS_RUNNING

    await _delete(caller, lane, cancel_runs=True)
    for run in runs:
        assert (await refused(caller.get(run.id))).reason == "RUN_NOT_FOUND"
    for call in (_get(caller, lane), _messages(caller, lane), caller.send(agent, "x", conversation_id=lane)):
        assert (await refused(call)).reason == "CONVERSATION_NOT_FOUND"
    assert (await refused(_delete(caller, lane))).reason == "CONVERSATION_NOT_FOUND"
    gate.release()
    assert (await caller.ended(neighbour.id)).status == v1.RUN_STATUS_COMPLETED


async def test_the_conversations_of_a_deleted_agent_are_gone(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent()
    lane = await caller.conversation(agent)
    run = await caller.send("", script(text=_HELD), conversation_id=lane)
    await patiently(gate.held.get())
    refusal = await refused(caller.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=agent)))
    assert refusal.reason == "AGENT_HAS_ACTIVE_RUNS"
    await caller.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=agent, cancel_runs=True), timeout=20)
    assert (await refused(caller.get(run.id))).reason == "RUN_NOT_FOUND"
    for call in (_get(caller, lane), caller.send("", "x", conversation_id=lane)):
        assert (await refused(call)).reason == "CONVERSATION_NOT_FOUND"


async def test_a_key_of_a_deleted_conversation_is_free_again(caller: Caller) -> None:
    agent = await caller.agent()
    lanes = [await caller.conversation(agent) for _ in range(2)]
    first = await caller.ended((await caller.send("", script(text="a"), conversation_id=lanes[0], request_id="k")).id)
    await _delete(caller, lanes[0])
    second = await caller.send("", script(text="b"), conversation_id=lanes[1], request_id="k")
    assert second.id != first.id


# ---- messages ----


async def test_messages_come_newest_first_or_oldest_first_in_pages(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    lane = await caller.conversation(agent)
    await _said(caller, agent, "elsewhere")
    await _said(caller, agent, "one", "two", "three", conversation=lane)
    told = ["one", "You said: one", "two", "You said: two", "three", "You said: three"]
    for page_size in (0, 1, 4, 6):
        assert _told(await _messages(caller, lane, page_size=page_size)) == told[::-1]
        assert _told(await _messages(caller, lane, page_size=page_size, order_by="position")) == told
    assert _told(await _messages(caller, "default", agent_id=agent)) == ["You said: elsewhere", "elsewhere"]
    only = [v1.MESSAGE_TYPE_ASSISTANT_MESSAGE]
    assert _told(await _messages(caller, lane, message_types=only, page_size=2)) == told[::-2]
    assert await _messages(caller, lane, message_types=[v1.MESSAGE_TYPE_EVENT_MESSAGE]) == []


async def test_messages_of_a_run_that_waits_are_not_there_yet(gate: HeldCalls, caller: Caller) -> None:
    lane = await caller.conversation(await caller.agent())
    runs = [await caller.send("", script(text=_HELD), conversation_id=lane) for _ in range(2)]
    await patiently(gate.held.get())
    assert [message.run_id for message in await _messages(caller, lane)] == [runs[0].id]
    gate.release(2)
    await caller.ended(runs[1].id)
    assert len(await _messages(caller, lane)) == 4


async def test_a_page_token_is_of_its_own_query_only(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    await _said(caller, agent, "one", "two")
    ask = v1.ListMessagesRequest(conversation_id="default", agent_id=agent, page_size=1)
    token = (await caller.conversations.ListMessages(ask)).next_page_token
    other = v1.ListMessagesRequest(conversation_id="default", agent_id=agent, order_by="position", page_token=token)
    refusal = await refused(caller.conversations.ListMessages(other))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


async def test_messages_of_a_conversation_are_asked_for_with_its_agent_or_without(caller: Caller) -> None:
    agent, other = await caller.agent(), await caller.agent()
    lane = await caller.conversation(agent)
    assert await _messages(caller, lane, agent_id=agent) == []
    assert (await refused(_messages(caller, lane, agent_id=other))).fields == ["agent_id"]
    nobody = await refused(_messages(caller, "default", agent_id=ids.derive("agent", "nobody")))
    assert nobody.reason == "AGENT_NOT_FOUND"


# ---- forks ----


async def test_a_fork_goes_on_from_the_history_and_the_source_does_not_notice(gate: HeldCalls, caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    source = await caller.conversation(agent, summary="ships", model="scripted/echo", labels={"a": "b"})
    await _said(caller, agent, "one", conversation=source)
    fork = await _fork(caller, source)
    assert (fork.agent_id, fork.summary, fork.model, dict(fork.labels)) == (agent, "ships", "scripted/echo", {"a": "b"})
    assert fork.id != source
    assert fork.HasField("last_message_time")
    await _said(caller, agent, "there", conversation=source)
    await _said(caller, agent, "here", conversation=fork.id)
    calls = [await patiently(gate.begun.get()) for _ in range(3)]
    assert _told(list(calls[-1].messages)) == ["one", "You said: one", "here"]
    assert _told(await _messages(caller, source, order_by="position"))[2:] == ["there", "You said: there"]
    assert _told(await _messages(caller, fork.id, order_by="position"))[2:] == ["here", "You said: here"]
    assert {message.conversation_id for message in await _messages(caller, fork.id)} == {fork.id}
    await _delete(caller, source)
    assert _told(await _messages(caller, fork.id, order_by="position", page_size=3)) == [
        *("one", "You said: one", "here", "You said: here"),
    ]


async def test_a_fork_ends_with_the_message_that_was_named(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    await _said(caller, agent, "one", "two")
    messages = await _messages(caller, "default", agent_id=agent, order_by="position")
    for count, message in enumerate(messages, 1):
        fork = await _fork(caller, "default", agent_id=agent, at_message_id=message.id)
        assert _told(await _messages(caller, fork.id, order_by="position")) == _told(messages)[:count]
    named = v1.Conversation(summary="mine")
    again = await _fork(caller, fork.id, conversation=named, request_id="k")
    assert again == await _fork(caller, fork.id, conversation=named, request_id="k")
    assert again.summary == "mine"
    refusal = await refused(_fork(caller, fork.id, at_message_id=messages[0].id, request_id="k"))
    assert refusal.reason == "IDEMPOTENCY_MISMATCH"


async def test_a_message_that_is_not_there_or_not_final_is_not_forked_at(gate: HeldCalls, caller: Caller) -> None:
    lane = await caller.conversation(await caller.agent())
    run = await caller.send("", script(text=_HELD), conversation_id=lane)
    await patiently(gate.held.get())
    (under_way,) = await _messages(caller, lane)
    for message_id in (under_way.id, ids.derive("message", "nobody's")):
        refusal = await refused(_fork(caller, lane, at_message_id=message_id))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND")
        assert refusal.metadata == {"message_id": message_id, "conversation_id": lane}
    assert await _messages(caller, (await _fork(caller, lane)).id) == []
    gate.release()
    await caller.ended(run.id)
    assert len(await _messages(caller, (await _fork(caller, lane, at_message_id=under_way.id)).id)) == 1
    assert (await refused(_fork(caller, _UNKNOWN))).reason == "CONVERSATION_NOT_FOUND"


async def test_conversations_outlive_the_server(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent("scripted/echo")
        lane = await caller.conversation(agent, model="scripted/echo")
        await _said(caller, agent, "one", conversation=lane)
        fork = (await _fork(caller, lane)).id
    async with serve() as server, calling(server.grpc.address) as caller:
        await _said(caller, "", "two", conversation=fork)
        assert _told(await _messages(caller, fork, order_by="position")) == [
            *("one", "You said: one", "two", "You said: two"),
        ]
        assert (await caller.runs.CreateMessageAsync(request("", "x", conversation_id=lane))).agent_id == agent
