"""Callbacks over gRPC: what receivers get of each end of a run, and what the run shows of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from sendoff import v1
from sendoff_server.app import Server
from sendoff_server.callbacks import dispatcher
from sendoff_server.settings import Settings
from tests.faults.caller import Caller, calling, refused, request, script, seconds
from tests.fixtures.receiver import Delivered, Receiver
from tests.fixtures.server import Serve
from tests.service.answering import answer, answering, give

COMPLETED, FAILED, CANCELLED = v1.RUN_STATUS_COMPLETED, v1.RUN_STATUS_FAILED, v1.RUN_STATUS_CANCELLED
TOOL = v1.ClientTool(name="look")


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    async with calling(server.grpc.address) as connected:
        yield connected


def secret_of(settings: Settings) -> str:
    return settings.callback_secret_path.read_text().strip()


async def told(caller: Caller, receiver: Receiver, run_id: str) -> tuple[v1.Run, Delivered]:
    """The run once it is delivered, and its only request."""
    run = await caller.called_back(run_id, done=True)
    (got,) = [each for each in receiver.got if each.json["run_id"] == run_id]
    return run, got


async def hanging(caller: Caller, agent: str, **fields: Any) -> v1.Run:
    """A run whose answer never ends."""
    run = await caller.send(agent, script(text="half", hang=True), **fields)
    return await caller.started(run.id)


# ---- every end ----


async def test_a_completed_run_is_told_with_its_result_and_verifies(
    caller: Caller, receiver: Receiver, settings: Settings
) -> None:
    accepted = await caller.send(await caller.agent(), script(text="the answer"), callback_url=receiver.url())
    assert accepted.callback == v1.CallbackSummary(url=receiver.url())
    run, got = await told(caller, receiver, accepted.id)

    body = got.verified(secret_of(settings))
    assert list(body) == ["run_id", "status", "completed_at", "metadata"]
    assert (body["run_id"], body["status"]) == (run.id, "completed")
    result = body["metadata"]["result"]
    assert [message["message_type"] for message in result["messages"]] == ["user_message", "assistant_message"]
    assert result["stop_reason"]["stop_reason"] == "end_turn"
    assert result["usage"]["total_tokens"] == run.usage.total_tokens
    assert (got.line, got.attempt) == ("POST /hook HTTP/1.1", 1)


async def test_only_the_message_types_that_were_asked_for_are_told(caller: Caller, receiver: Receiver) -> None:
    wanted = v1.MessageTypes(values=[v1.MESSAGE_TYPE_ASSISTANT_MESSAGE])
    text = script(reasoning="hm", text="the answer")
    run = await caller.send(
        await caller.agent(), text, callback_url=receiver.url(), include_return_message_types=wanted
    )
    _, got = await told(caller, receiver, run.id)
    assert [each["content"] for each in got.json["metadata"]["result"]["messages"]] == ["the answer"]


async def test_the_callers_own_metadata_is_told_beside_the_result(caller: Caller, receiver: Receiver) -> None:
    metadata = v1.JsonObject(json='{"order": 7781, "result": "mine"}')
    run = await caller.send(await caller.agent("scripted/echo"), "hi", callback_url=receiver.url(), metadata=metadata)
    _, got = await told(caller, receiver, run.id)
    assert got.json["metadata"]["order"] == 7781
    assert got.json["metadata"]["result"]["messages"]


async def test_a_run_that_stops_for_a_client_tool_is_told_and_so_is_the_one_that_goes_on(
    caller: Caller, receiver: Receiver
) -> None:
    agent = await caller.agent()
    asking = script(tool_calls=[{"name": "look"}])
    run = await caller.send(agent, asking, callback_url=receiver.url(), client_tools=[TOOL])
    run, got = await told(caller, receiver, run.id)
    assert (run.status, run.stop_reason) == (COMPLETED, v1.STOP_REASON_REQUIRES_APPROVAL)
    assert got.json["metadata"]["result"]["stop_reason"]["stop_reason"] == "requires_approval"
    last = got.json["metadata"]["result"]["messages"][-1]
    assert last["message_type"] == "approval_request_message"

    given = v1.ToolReturnCreate(tool_returns=[give(run).tool])
    wanted = answering(agent, v1.InputMessage(tool_return=given), callback_url=receiver.url("/second"))
    following = await answer(caller, wanted)
    following, second = await told(caller, receiver, following.id)
    assert second.line == "POST /second HTTP/1.1"
    assert second.id != got.id
    shown = await caller.get(run.id)
    assert (shown.continued_by_run_id, shown.callback) == (following.id, run.callback)


async def test_a_failed_run_is_told_with_its_error_and_no_result(caller: Caller, receiver: Receiver) -> None:
    text = script(fail="MODEL_REJECTED_REQUEST")
    run = await caller.send(await caller.agent(), text, callback_url=receiver.url())
    run, got = await told(caller, receiver, run.id)
    assert (run.status, got.json["status"]) == (FAILED, "failed")
    assert got.json["metadata"]["error"].startswith(run.error.reason)
    assert "result" not in got.json["metadata"]


async def test_a_run_that_is_cancelled_at_work_is_told_with_neither(caller: Caller, receiver: Receiver) -> None:
    run = await hanging(caller, await caller.agent(), callback_url=receiver.url())
    await caller.cancel(run.id)
    run, got = await told(caller, receiver, run.id)
    assert (run.status, got.json["status"]) == (CANCELLED, "cancelled")
    assert got.json["metadata"].keys() == {"run_type", "lettuce"}


async def test_a_run_that_is_cancelled_in_the_queue_is_told(caller: Caller, receiver: Receiver) -> None:
    agent = await caller.agent()
    head = await hanging(caller, agent)
    run = await caller.send(agent, "later", callback_url=receiver.url())
    assert (await caller.cancel(run.id)).status == CANCELLED
    run, got = await told(caller, receiver, run.id)
    assert (run.start_time, got.json["status"]) == (v1.Run().start_time, "cancelled")
    assert (await caller.get(head.id)).status == v1.RUN_STATUS_RUNNING


async def test_a_run_that_expires_in_the_queue_is_told(caller: Caller, receiver: Receiver) -> None:
    agent = await caller.agent()
    await hanging(caller, agent)
    limits = v1.Limits(queue_ttl=seconds(0.05))
    run = await caller.send(agent, "later", callback_url=receiver.url(), limits=limits)
    run, got = await told(caller, receiver, run.id)
    assert run.stop_reason == v1.STOP_REASON_EXPIRED_IN_QUEUE
    assert got.json["metadata"]["error"].startswith("EXPIRED_IN_QUEUE")


async def test_a_run_whose_time_is_over_is_told(caller: Caller, receiver: Receiver) -> None:
    limits = v1.Limits(run_timeout=seconds(0.1))
    run = await hanging(caller, await caller.agent(), callback_url=receiver.url(), limits=limits)
    run, got = await told(caller, receiver, run.id)
    assert (run.stop_reason, got.json["status"]) == (v1.STOP_REASON_DEADLINE_EXCEEDED, "failed")


async def test_a_run_without_a_callback_tells_nobody(caller: Caller, receiver: Receiver) -> None:
    agent = await caller.agent("scripted/echo")
    silent = await caller.ended((await caller.send(agent, "hello")).id)
    run = await caller.send(agent, "hello", callback_url=receiver.url())
    await told(caller, receiver, run.id)
    assert not silent.HasField("callback")
    assert len(receiver.got) == 1


# ---- what the run shows ----


async def test_an_attempt_changes_nothing_of_the_run_but_how_its_callback_stands(
    caller: Caller, receiver: Receiver
) -> None:
    receiver.acts = ["hang"]
    run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
    before = await caller.ended(run.id)
    await receiver.requests(1)
    assert before.callback == v1.CallbackSummary(url=receiver.url(), next_attempt_time=before.complete_time)
    log = await caller.log(run.id)
    receiver.release.set()
    after = await caller.called_back(run.id, done=True)

    assert after.callback.last_attempt_time.ToNanoseconds() >= before.complete_time.ToNanoseconds()
    assert (await caller.list_all(agent_id=run.agent_id)) == [after]
    assert await caller.log(run.id) == log
    assert log[-1].HasField("finished")
    assert after.etag != before.etag
    for each in (before, after):
        each.ClearField("callback")
        each.ClearField("etag")
    assert after == before


async def test_a_callback_that_is_refused_is_shown_with_the_next_attempt(caller: Caller, refusing: Receiver) -> None:
    run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=refusing.url())
    callback = (await caller.called_back(run.id)).callback
    assert (callback.attempts, callback.dead_lettered) == (1, False)
    assert callback.last_error.startswith("no connection")
    assert callback.next_attempt_time.ToNanoseconds() > callback.last_attempt_time.ToNanoseconds()


async def test_a_receiver_that_wants_no_more_is_left_alone(caller: Caller, receiver: Receiver) -> None:
    receiver.acts = [410]
    run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
    callback = (await caller.called_back(run.id, done=True)).callback
    assert (callback.last_status_code, callback.dead_lettered) == (410, True)


# ---- accept ----


async def test_a_request_that_is_sent_again_is_called_back_once(caller: Caller, receiver: Receiver) -> None:
    agent = await caller.agent("scripted/echo")
    sent = request(agent, "hello", callback_url=receiver.url(), request_id="order-1")
    first = await caller.runs.CreateMessageAsync(sent)
    await told(caller, receiver, first.id)
    again = await caller.runs.CreateMessageAsync(sent)
    assert (again.id, again.callback.last_status_code) == (first.id, 200)
    other = await caller.send(agent, "hello", callback_url=receiver.url())
    await told(caller, receiver, other.id)
    assert len(receiver.got) == 2


@pytest.mark.parametrize(
    "url",
    ["nonsense", "ftp://receiver.example/", "http://10.0.0.1/", "http://169.254.169.254/", "https://a.example:22/"],
)
async def test_a_url_to_which_nothing_may_be_sent_is_refused_by_name(caller: Caller, url: str) -> None:
    agent = await caller.agent("scripted/echo")
    refusal = await refused(caller.runs.CreateMessageAsync(request(agent, "hello", callback_url=url)))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["callback_url"])
    assert await caller.list_all(agent_id=agent) == []


async def test_an_operator_closes_what_is_not_public(serve: Serve, receiver: Receiver) -> None:
    async with serve(callback_networks="none") as server, calling(server.grpc.address) as caller:
        agent = await caller.agent("scripted/echo")
        refusal = await refused(caller.runs.CreateMessageAsync(request(agent, "hello", callback_url=receiver.url())))
        assert refusal.fields == ["callback_url"]
    assert receiver.connections == 0


@pytest.mark.parametrize(
    ("changes", "networks"),
    [
        ({}, ["127.0.0.0/8", "::1/128"]),
        ({"callback_networks": "10.0.0.0/8"}, ["10.0.0.0/8"]),
        ({"callback_networks": "none"}, None),
        ({"grpc_address": "0.0.0.0:0", "insecure": True}, None),
    ],
)
async def test_what_is_open_beside_public_addresses_is_told_at_the_start(
    serve: Serve, changes: dict[str, object], networks: list[str] | None
) -> None:
    with capture_logs() as lines:
        async with serve(**changes):
            pass
    said = [line["networks"] for line in lines if line["event"] == "callers may name addresses that are not public"]
    assert said == ([networks] if networks is not None else [])


async def test_with_too_many_callbacks_waiting_no_more_are_taken_and_other_requests_are(
    serve: Serve, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "COUNT_S", 0.02)
    receiver.acts = ["hang"]
    async with serve(max_waiting_callbacks=1) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent("scripted/echo")
        first = await caller.send(agent, "hello", callback_url=receiver.url())
        await receiver.requests(1)
        await _until_counted(server)
        wanted = request(agent, "hello", callback_url=receiver.url())
        refusal = await refused(caller.runs.CreateMessageAsync(wanted))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUTBOX_FULL")
        assert refusal.retry_after_s is not None
        await caller.ended((await caller.send(agent, "hello")).id)
        receiver.release.set()
        await caller.called_back(first.id, done=True)


async def _until_counted(server: Server) -> None:
    async with asyncio.timeout(10):
        while not server.parts.callbacks._outbox.open:  # noqa: ASYNC110  # counting tells nobody
            await asyncio.sleep(0.01)


async def test_secrets_that_the_operator_names_sign(serve: Serve, receiver: Receiver, tmp_path: Path) -> None:
    secrets = ["whsec_" + letter * 43 + "=" for letter in "AE"]
    (tmp_path / "own").write_text("\n".join(secrets))
    async with serve(callback_secret_file=str(tmp_path / "own")) as server, calling(server.grpc.address) as caller:
        run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
        _, got = await told(caller, receiver, run.id)
    for secret in secrets:
        assert got.verified(secret)["run_id"] == run.id


async def test_deleting_an_agent_drops_what_its_runs_had_still_to_tell(caller: Caller, receiver: Receiver) -> None:
    receiver.acts = [500]
    agent = await caller.agent("scripted/echo")
    run = await caller.send(agent, "hello", callback_url=receiver.url())
    await caller.called_back(run.id)
    await caller.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=agent))
    other = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
    await caller.called_back(other.id, done=True)
    assert [got.json["run_id"] for got in receiver.got] == [run.id, other.id]
