"""Conversations, through both clients and the command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

import sendoff
from sendoff import methods, requests, v1
from tests.unit.client.commanding import Command
from tests.unit.client.logs import said
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, UNAVAILABLE, Asker, ScriptedServer

CONVERSATION_ID = "conv-00000000-0000-4000-8000-000000000001"
MADE = v1.Conversation(id=CONVERSATION_ID, agent_id=AGENT_ID, summary="ships", model="m", labels={"a": "b"})


# ---- both clients ----


async def test_a_conversation_is_made_and_forked_once_however_often_it_is_sent(
    asker: Asker, server: ScriptedServer
) -> None:
    server.plan(methods.CREATE_CONVERSATION, UNAVAILABLE, MADE)
    server.plan(methods.FORK_CONVERSATION, UNAVAILABLE, MADE)

    assert await asker.call("create_conversation", AGENT_ID, summary="ships", labels={"a": "b"}) == MADE
    assert await asker.call("fork_conversation", CONVERSATION_ID, at_message_id="message-1", model="m") == MADE

    for kind in (v1.CreateConversationRequest, v1.ForkConversationRequest):
        first, second = server.asked(kind)
        assert first == second
        assert len(first.request_id) == 36
    created, forked = server.requests[0], server.requests[2]
    assert (created.agent_id, created.conversation) == (AGENT_ID, v1.Conversation(summary="ships", labels={"a": "b"}))
    assert (forked.conversation_id, forked.at_message_id) == (CONVERSATION_ID, "message-1")
    assert forked.conversation == v1.Conversation(model="m")
    assert not forked.HasField("agent_id")


async def test_a_conversation_is_read_changed_and_deleted(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_CONVERSATION, UNAVAILABLE, MADE)
    server.plan(methods.UPDATE_CONVERSATION, UNAVAILABLE, MADE)
    server.plan(methods.DELETE_CONVERSATION, v1.DeleteConversationResponse())

    assert await asker.call("get_conversation", CONVERSATION_ID) == MADE
    assert await asker.call("update_conversation", CONVERSATION_ID, summary="ships") == MADE
    assert await asker.call("delete_conversation", CONVERSATION_ID, cancel_runs=True) is None

    assert server.asked(v1.DeleteConversationRequest) == [
        v1.DeleteConversationRequest(conversation_id=CONVERSATION_ID, cancel_runs=True)
    ]


async def test_what_must_not_be_done_twice_is_not_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.DELETE_CONVERSATION, UNAVAILABLE)
    server.plan(methods.UPDATE_CONVERSATION, UNAVAILABLE)

    with pytest.raises(sendoff.Unavailable):
        await asker.call("delete_conversation", CONVERSATION_ID)
    with pytest.raises(sendoff.Unavailable):
        await asker.call("update_conversation", CONVERSATION_ID, etag="1", summary="x")

    assert len(server.requests) == 2


def test_an_update_names_what_it_changes_also_what_it_takes_away() -> None:
    request = requests.update_conversation(CONVERSATION_ID, "1", {"model": None, "metadata": {"n": 1}}).request

    assert request == v1.UpdateConversationRequest(
        conversation_id=CONVERSATION_ID,
        conversation=v1.Conversation(metadata=v1.JsonObject(json='{"n": 1}'), etag="1"),
        update_mask=FieldMask(paths=["metadata", "model"]),
    )


async def test_conversations_are_listed_page_by_page(asker: Asker, server: ScriptedServer) -> None:
    pages = [
        v1.ListConversationsResponse(conversations=[v1.Conversation(id="1")], next_page_token="next"),
        v1.ListConversationsResponse(conversations=[v1.Conversation(id="2")]),
    ]
    server.plan(methods.LIST_CONVERSATIONS, *pages, v1.ListConversationsResponse())

    assert [each.id for each in await asker.every("conversations", AGENT_ID, page_size=1)] == ["1", "2"]
    asked: dict[str, Any] = {
        "archived": False,
        "summary_search": "ships",
        "order_by": "last_run_time desc",
        "show_hidden": True,
    }
    assert await asker.every("conversations", **asked) == []
    assert server.requests[2] == v1.ListConversationsRequest(**asked)

    assert [request.page_token for request in server.requests] == ["", "next", ""]
    assert [request.agent_id for request in server.requests] == [AGENT_ID, AGENT_ID, ""]


async def test_messages_are_listed_also_behind_an_empty_page(asker: Asker, server: ScriptedServer) -> None:
    pages = [
        v1.ListMessagesResponse(next_page_token="next"),
        v1.ListMessagesResponse(messages=[v1.Message(id="m")]),
    ]
    server.plan(methods.LIST_MESSAGES, *pages)
    types = [v1.MessageType.MESSAGE_TYPE_USER_MESSAGE]

    found = await asker.every("messages", "default", agent_id=AGENT_ID, order_by="position", message_types=types)

    assert [each.id for each in found] == ["m"]
    assert server.requests[1] == v1.ListMessagesRequest(
        conversation_id="default", agent_id=AGENT_ID, order_by="position", message_types=types, page_token="next"
    )


async def test_a_context_is_compacted_and_reset_once_however_often_it_is_sent(
    asker: Asker, server: ScriptedServer
) -> None:
    compacted = v1.CompactConversationResponse(run_id=RUN_ID, summary="ships")
    server.plan(methods.COMPACT_CONVERSATION, UNAVAILABLE, compacted)
    server.plan(methods.RESET_CONVERSATION, UNAVAILABLE, v1.ResetConversationResponse(run_id=RUN_ID))

    assert await asker.call("compact_conversation", "default", agent_id=AGENT_ID) == compacted
    assert (await asker.call("reset_conversation", CONVERSATION_ID)).run_id == RUN_ID

    first, second = server.asked(v1.CompactConversationRequest)
    assert first == second
    assert (first.conversation_id, first.agent_id, len(first.request_id)) == ("default", AGENT_ID, 36)
    first_reset, second_reset = server.asked(v1.ResetConversationRequest)
    assert first_reset == second_reset
    assert (first_reset.conversation_id, len(first_reset.request_id)) == (CONVERSATION_ID, 36)


async def test_the_system_prompt_of_a_conversation_is_read(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.COMPILE_SYSTEM, UNAVAILABLE, v1.CompileSystemResponse(system="Be brief."))

    assert await asker.call("compile_system", AGENT_ID, CONVERSATION_ID) == "Be brief."

    assert server.requests[1] == v1.CompileSystemRequest(agent_id=AGENT_ID, conversation_id=CONVERSATION_ID)


async def test_what_the_model_is_shown_of_a_conversation_is_read(asker: Asker, server: ScriptedServer) -> None:
    shown = v1.ConversationContext(message_ids=["message-1", "message-2"])
    server.plan(methods.GET_CONVERSATION_CONTEXT, UNAVAILABLE, shown)

    assert await asker.call("get_conversation_context", "default", agent_id=AGENT_ID) == shown

    asked = v1.GetConversationContextRequest(conversation_id="default", agent_id=AGENT_ID)
    assert server.requests == [asked, asked]


# ---- the command ----


async def test_conversations_are_made_forked_and_removed(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_CONVERSATION, MADE)
    server.plan(methods.FORK_CONVERSATION, MADE, MADE)
    server.plan(methods.DELETE_CONVERSATION, v1.DeleteConversationResponse())
    fields = ("--summary", "ships", "--model", "m", "--label", "a=b", "--request-id", "mine")

    assert (await command("conversations", "create", AGENT_ID, *fields)).stdout == f"{CONVERSATION_ID}\n"
    named = ("--agent", AGENT_ID, "--at", "message-1")
    assert (await command("conversations", "fork", "default", *named, *fields)).stdout == f"{CONVERSATION_ID}\n"
    shown = await command("conversations", "fork", CONVERSATION_ID, "--json")
    assert json.loads(shown.stdout)["id"] == CONVERSATION_ID
    assert (await command("conversations", "rm", CONVERSATION_ID, "--cancel-runs")).exit_code == 0

    wanted = v1.Conversation(summary="ships", model="m", labels={"a": "b"})
    assert server.requests[:2] == [
        v1.CreateConversationRequest(agent_id=AGENT_ID, conversation=wanted, request_id="mine"),
        v1.ForkConversationRequest(
            conversation_id="default",
            agent_id=AGENT_ID,
            at_message_id="message-1",
            conversation=wanted,
            request_id="mine",
        ),
    ]
    assert server.requests[3].cancel_runs


async def test_a_context_is_compacted_reset_and_shown(command: Command, server: ScriptedServer) -> None:
    compacted = v1.CompactConversationResponse(run_id=RUN_ID, summary="ships")
    server.plan(methods.COMPACT_CONVERSATION, compacted, compacted)
    server.plan(methods.RESET_CONVERSATION, v1.ResetConversationResponse(run_id=RUN_ID))
    server.plan(methods.COMPILE_SYSTEM, v1.CompileSystemResponse(system="Be brief."))
    in_context = v1.ConversationContext(message_ids=["message-1", "message-2"])
    server.plan(methods.GET_CONVERSATION_CONTEXT, in_context, in_context)

    named = ("default", "--agent", AGENT_ID)
    assert (await command("conversations", "compact", *named, "--request-id", "mine")).stdout == "ships\n"
    told = json.loads((await command("conversations", "compact", CONVERSATION_ID, "--json")).stdout)
    assert (told["run_id"], told["summary"]) == (RUN_ID, "ships")
    assert (await command("conversations", "reset", *named)).exit_code == 0
    shown = await command("agents", "system", AGENT_ID, "--conversation", CONVERSATION_ID)
    assert shown.stdout == "Be brief.\n"
    assert (await command("conversations", "context", *named)).stdout == "message-1\nmessage-2\n"
    as_json = json.loads((await command("conversations", "context", CONVERSATION_ID, "--json")).stdout)
    assert as_json["message_ids"] == ["message-1", "message-2"]

    asked = v1.CompactConversationRequest(conversation_id="default", agent_id=AGENT_ID, request_id="mine")
    assert server.requests[0] == asked
    assert server.requests[2].agent_id == AGENT_ID
    assert server.requests[3] == v1.CompileSystemRequest(agent_id=AGENT_ID, conversation_id=CONVERSATION_ID)


async def test_a_conversation_is_shown_in_lines_or_as_json(command: Command, server: ScriptedServer) -> None:
    busy = v1.Conversation(active_run_id=RUN_ID, queued_runs=2, last_message_time=Timestamp(seconds=1_700_000_000))
    busy.MergeFrom(MADE)
    server.plan(methods.GET_CONVERSATION, busy, busy)

    shown = (await command("conversations", "show", CONVERSATION_ID)).stdout
    as_json = json.loads((await command("conversations", "show", CONVERSATION_ID, "--json")).stdout)

    lines = dict(line.split(":", 1) for line in shown.splitlines())
    assert {name: value.strip() for name, value in lines.items()} == {
        "conversation": CONVERSATION_ID,
        "agent": AGENT_ID,
        "summary": "ships",
        "model": "m",
        "works on": RUN_ID,
        "queued": "2",
        "last message": "2023-11-14 22:13:20Z",
        "labels": "a=b",
    }
    assert as_json["active_run_id"] == RUN_ID


async def test_conversations_of_an_agent_are_listed(command: Command, server: ScriptedServer) -> None:
    page = v1.ListConversationsResponse(conversations=[MADE, MADE, MADE], next_page_token="more")
    server.plan(methods.LIST_CONVERSATIONS, page, page)

    rows = (await command("conversations", "ls", "--agent", AGENT_ID, "--limit", "2")).stdout.splitlines()
    lines = (await command("conversations", "ls", "--limit", "1", "--json")).stdout.splitlines()

    assert rows[0].split("\t") == ["CONVERSATION", "SUMMARY", "LAST MESSAGE", "QUEUED", "AGENT"]
    assert [row.split("\t") for row in rows[1:]] == [[CONVERSATION_ID, "ships", "", "", AGENT_ID]] * 2
    assert [json.loads(line)["summary"] for line in lines] == ["ships"]
    assert [request.agent_id for request in server.requests] == [AGENT_ID, ""]


async def test_conversations_are_searched(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.LIST_CONVERSATIONS, v1.ListConversationsResponse())

    await command("conversations", "ls", "--search", "ships", "--not-archived")

    assert server.requests == [v1.ListConversationsRequest(summary_search="ships", archived=False)]


async def test_the_newest_messages_of_a_conversation_are_shown_oldest_first(
    command: Command, server: ScriptedServer
) -> None:
    newest_first = v1.ListMessagesResponse(messages=[said("3", "three"), said("2", "two"), said("1", "one")])
    server.plan(methods.LIST_MESSAGES, newest_first, newest_first)

    shown = await command("conversations", "messages", "default", "--agent", AGENT_ID, "--limit", "2")
    as_json = await command("conversations", "messages", CONVERSATION_ID, "--json")

    assert shown.stdout == "KIND\tTEXT\nassistant\ttwo\nassistant\tthree\n"
    assert [json.loads(line)["id"] for line in as_json.stdout.splitlines()] == ["1", "2", "3"]
    asked = v1.ListMessagesRequest(conversation_id="default", agent_id=AGENT_ID, page_size=2)
    assert server.requests[0] == asked


async def test_a_message_is_sent_to_a_conversation_without_naming_its_agent(
    command: Command, server: ScriptedServer
) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, v1.Run(id=RUN_ID))

    assert (await command("send", "", "Hello", "--conversation", CONVERSATION_ID)).stdout == f"{RUN_ID}\n"

    assert (server.requests[0].agent_id, server.requests[0].conversation_id) == ("", CONVERSATION_ID)
