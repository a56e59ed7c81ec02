"""What both clients do with one call: requests, deadlines, repeats, errors."""

from __future__ import annotations

import socket
from typing import Any

import grpc
import pytest

import sendoff
from sendoff import methods, v1
from tests.unit.client.logs import run
from tests.unit.client.scripted_server import (
    AGENT_ID,
    RUN_ID,
    UNAVAILABLE,
    Asker,
    Failure,
    ScriptedServer,
    asking,
)

RUN = run(v1.RunStatus.RUN_STATUS_CREATED)
FULL = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after_s=1.5)


async def test_a_call_is_repeated_until_the_server_answers(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, UNAVAILABLE, UNAVAILABLE, RUN)

    assert await asker.call("get_run", RUN_ID) == RUN

    assert asker.sleeps.taken_s == [0.05, 0.1]


async def test_a_send_and_its_repeats_are_one_request(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, UNAVAILABLE, RUN)

    await asker.call("send", AGENT_ID, "Hello")

    first, second = server.asked(v1.CreateMessageAsyncRequest)
    assert first == second
    assert len(first.request_id) == 36


async def test_two_sends_are_two_requests(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, RUN, RUN)

    await asker.call("send", AGENT_ID, "Hello")
    await asker.call("send", AGENT_ID, "Hello")

    first, second = server.asked(v1.CreateMessageAsyncRequest)
    assert first.request_id != second.request_id


async def test_an_agent_is_created_once_however_often_it_is_sent(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_AGENT, UNAVAILABLE, v1.Agent(id=AGENT_ID))

    await asker.call("create_agent", name="a")

    first, second = server.asked(v1.CreateAgentRequest)
    assert first == second
    assert first.request_id


async def test_repeats_end_with_the_last_error(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, *[UNAVAILABLE] * 6, RUN)

    with pytest.raises(sendoff.Unavailable):
        await asker.call("get_run", RUN_ID)

    assert len(server.requests) == 6


async def test_repeats_end_with_the_deadline(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, UNAVAILABLE, Failure(grpc.StatusCode.UNAVAILABLE, reason="DRAINING", retry_after_s=5))

    with pytest.raises(sendoff.Unavailable, match="planned"):
        await asker.call("get_run", RUN_ID, timeout_s=4)

    assert asker.sleeps.taken_s == [0.05]


async def test_a_full_queue_is_tried_again_when_the_server_says_so(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, FULL, RUN)

    await asker.call("send", AGENT_ID, "Hello")

    assert asker.sleeps.taken_s == [1.5]


@pytest.mark.parametrize(
    "failure",
    [
        Failure(grpc.StatusCode.RESOURCE_EXHAUSTED),
        Failure(grpc.StatusCode.ABORTED, reason="CONVERSATION_BUSY"),
        Failure(grpc.StatusCode.INTERNAL),
        Failure(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", retry_after_s=1),
    ],
    ids=lambda failure: f"{failure.code.name} {failure.reason}",
)
async def test_other_failures_are_not_repeated(asker: Asker, server: ScriptedServer, failure: Failure) -> None:
    server.plan(methods.GET_RUN, failure, RUN)

    with pytest.raises(sendoff.SendoffError):
        await asker.call("get_run", RUN_ID)

    assert len(server.requests) == 1


async def test_what_may_not_be_done_twice_is_not_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.DELETE_AGENT, UNAVAILABLE)
    server.plan(methods.UPDATE_AGENT, UNAVAILABLE)

    with pytest.raises(sendoff.Unavailable):
        await asker.call("delete_agent", AGENT_ID)
    with pytest.raises(sendoff.Unavailable):
        await asker.call("update_agent", AGENT_ID, etag="1", name="b")

    assert len(server.requests) == 2


async def test_every_call_has_a_deadline(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, RUN, RUN)

    await asker.call("get_run", RUN_ID)
    await asker.call("get_run", RUN_ID, timeout_s=3)

    usual, chosen = server.remaining_s
    assert usual is not None
    assert chosen is not None
    assert 8 < usual < 10.5
    assert 1 < chosen < 3.5


async def test_an_answer_that_does_not_come_ends_with_the_deadline(asker: Asker, server: ScriptedServer) -> None:
    async def never(request: Any, context: Any) -> v1.Run:
        await server.cancelled.wait()
        return RUN

    server.plan(methods.GET_RUN, never)

    with pytest.raises(sendoff.DeadlineExceeded, match="in time"):
        await asker.call("get_run", RUN_ID, timeout_s=0.1)

    server.cancelled.set()


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_without_a_server_the_error_says_how_to_start_one(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening, so that nobody else can listen there
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with asking(kind, address) as asker:
            with pytest.raises(sendoff.Unavailable) as told:
                await asker.call("get_run", RUN_ID)

    assert f"cannot reach a server at {address}" in str(told.value)
    assert "sendoff-server serve" in str(told.value)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_the_key_goes_with_every_call(kind: str, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, RUN)
    server.plan_streams([Failure(grpc.StatusCode.NOT_FOUND, reason="RUN_NOT_FOUND")])

    async with asking(kind, server.address, api_key="sk-1") as asker:
        await asker.call("get_run", RUN_ID)
        with pytest.raises(sendoff.NotFound):
            await asker.every("watch", RUN_ID)

    assert [metadata["authorization"] for metadata in server.metadata] == ["Bearer sk-1"] * 2


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_the_key_is_not_in_texts_about_the_client(kind: str, server: ScriptedServer) -> None:
    async with asking(kind, server.address, api_key="sk-1") as asker:
        assert "sk-1" not in repr(asker.client.connection)


async def test_answers_of_the_server_come_back_as_they_are(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.LIST_MODELS, v1.ListModelsResponse(default_handle="m"))
    server.plan(methods.GET_SERVER_INFO, v1.GetServerInfoResponse(version="1"))
    server.plan(methods.CANCEL_RUN, RUN)
    server.plan(methods.UPDATE_AGENT, v1.Agent(id=AGENT_ID, name="b"))
    server.plan(methods.GET_AGENT, v1.Agent(id=AGENT_ID))
    server.plan(methods.DELETE_AGENT, v1.DeleteAgentResponse())

    assert (await asker.call("models")).default_handle == "m"
    assert (await asker.call("server_info")).version == "1"
    assert await asker.call("cancel_run", RUN_ID, reason="enough") == RUN
    assert (await asker.call("update_agent", AGENT_ID, name="b")).name == "b"
    assert (await asker.call("get_agent", AGENT_ID)).id == AGENT_ID
    assert await asker.call("delete_agent", AGENT_ID, cancel_runs=True) is None


async def test_health_is_asked_of_the_standard_service(asker: Asker, server: ScriptedServer) -> None:
    from google.protobuf.wrappers_pb2 import Int32Value
    from grpc_health.v1 import health_pb2

    serving, stopping = (health_pb2.HealthCheckResponse(status=s) for s in (1, 2))
    answers = (Int32Value.FromString(each.SerializeToString()) for each in (serving, stopping))
    server.plan(methods.CHECK_HEALTH, *answers)

    assert await asker.call("health") is True
    assert await asker.call("health", "sendoff.v1.RunService") is False

    asked = health_pb2.HealthCheckRequest.FromString(server.requests[1].SerializeToString())
    assert asked.service == "sendoff.v1.RunService"


async def test_lists_fetch_every_page_and_keep_their_filters(asker: Asker, server: ScriptedServer) -> None:
    pages = [
        v1.ListRunsResponse(runs=[v1.Run(id="1"), v1.Run(id="2")], next_page_token="next"),
        v1.ListRunsResponse(runs=[v1.Run(id="3")]),
    ]
    server.plan(methods.LIST_RUNS, *pages)

    found = await asker.every("runs", agent_id=AGENT_ID, page_size=2)

    assert [each.id for each in found] == ["1", "2", "3"]
    first, second = server.requests
    assert (first.page_token, second.page_token) == ("", "next")
    assert first.agent_id == second.agent_id == AGENT_ID


async def test_a_page_of_a_list_is_repeated_like_any_call(asker: Asker, server: ScriptedServer) -> None:
    agents = v1.ListAgentsResponse(agents=[v1.Agent(id=AGENT_ID)])
    messages = v1.ListRunMessagesResponse(messages=[v1.Message(id="m")])
    server.plan(methods.LIST_AGENTS, UNAVAILABLE, agents)
    server.plan(methods.LIST_RUN_MESSAGES, UNAVAILABLE, messages)

    assert [each.id for each in await asker.every("agents")] == [AGENT_ID]
    assert [each.id for each in await asker.every("run_messages", RUN_ID)] == ["m"]


async def test_a_log_is_paged_by_sequence_to_where_it_has_got(asker: Asker, server: ScriptedServer) -> None:
    pages = [
        v1.ListRunEventsResponse(events=[v1.RunEvent(sequence=3), v1.RunEvent(sequence=4)], last_sequence=5),
        v1.ListRunEventsResponse(events=[v1.RunEvent(sequence=5)], last_sequence=5),
    ]
    server.plan(methods.LIST_RUN_EVENTS, *pages)

    found = await asker.every("run_events", RUN_ID, after_sequence=2)

    assert [each.sequence for each in found] == [3, 4, 5]
    assert [request.after_sequence for request in server.requests] == [2, 4]
