"""What endpoints are told of runs, and callers who say how they want to be called back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from standardwebhooks import WebhookVerificationError

from sendoff import v1
from sendoff_server.app import Server
from sendoff_server.callbacks import dispatcher, schedule
from sendoff_server.callbacks.courier import DISABLED, GONE, UNSIGNED
from sendoff_server.settings import Settings
from tests.faults.caller import PATIENCE_S, Caller, calling, refused, request, script, seconds
from tests.fixtures.receiver import Delivered, Receiver
from tests.fixtures.server import Serve
from tests.gateway.door import Door
from tests.service.answering import answer, answering, give

STARTED, ACTION_REQUIRED, FINISHED = EVENTS = ("run.started", "run.action_required", "run.finished")
DELIVERED, DEAD = v1.DELIVERY_STATUS_DELIVERED, v1.DELIVERY_STATUS_DEAD_LETTERED
TOOL = v1.ClientTool(name="look")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon."""
    monkeypatch.setattr(schedule, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(schedule, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(dispatcher, "POLL_S", 0.05)


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    async with calling(server.grpc.address) as connected:
        yield connected


def told_of(receiver: Receiver, run_id: str) -> list[Delivered]:
    """What was told of a run, in the order in which it came."""
    return [got for got in receiver.got if run_id in (got.json.get("run_id"), got.json.get("data", {}).get("run_id"))]


def types_of(receiver: Receiver, run_id: str) -> list[str]:
    return [got.json["type"] for got in told_of(receiver, run_id)]


async def hanging(caller: Caller, agent: str, **fields: Any) -> v1.Run:
    """A run whose answer never ends."""
    run = await caller.send(agent, script(text="half", hang=True), **fields)
    return await caller.started(run.id)


def moment(run: v1.Run, name: str) -> str:
    time = getattr(run, name).ToDatetime().isoformat()
    return f"{time}Z"


# ---- endpoints: every event ----


async def test_an_endpoint_is_told_of_the_start_and_the_end_of_a_run(caller: Caller, receiver: Receiver) -> None:
    _, secret = await caller.endpoint(receiver.url(), event_types=EVENTS)
    run = await caller.send(await caller.agent(), script(text="the answer"))
    found = await caller.delivered(2, run_id=run.id)
    run = await caller.get(run.id)
    log = await caller.log(run.id)

    start, end = (got.verified(secret) for got in receiver.got)
    about = {"run_id": run.id, "agent_id": run.agent_id, "conversation_id": None}
    for body in (start, end):
        assert list(body) == ["type", "timestamp", "data"]
        assert list(body["data"]) == [*about, "status", "stop_reason", "sequence"]
        assert body["data"].items() >= about.items()
    assert (start["type"], start["data"]["status"], start["data"]["stop_reason"]) == (STARTED, "running", None)
    assert (end["type"], end["data"]["status"], end["data"]["stop_reason"]) == (FINISHED, "completed", "end_turn")
    assert (start["timestamp"], end["timestamp"]) == (moment(run, "start_time"), moment(run, "complete_time"))
    assert log[start["data"]["sequence"] - 1].state_changed.status == v1.RUN_STATUS_RUNNING
    assert log[end["data"]["sequence"] - 1].HasField("finished")
    assert [each.sequence for each in found] == [start["data"]["sequence"], end["data"]["sequence"]]
    assert [(got.id, got.attempt) for got in receiver.got] == [(each.id, 1) for each in found]
    assert not run.HasField("callback")


async def test_a_run_that_needs_answers_is_told_so_and_not_as_finished_and_the_one_that_goes_on_too(
    caller: Caller, receiver: Receiver
) -> None:
    await caller.endpoint(receiver.url(), event_types=EVENTS)
    agent = await caller.agent()
    run = await caller.send(agent, script(tool_calls=[{"name": "look"}]), client_tools=[TOOL])
    run = await caller.ended(run.id)
    await caller.delivered(2, run_id=run.id)
    assert types_of(receiver, run.id) == [STARTED, ACTION_REQUIRED]
    data = told_of(receiver, run.id)[-1].json["data"]
    assert (data["status"], data["stop_reason"]) == ("completed", "requires_approval")

    given = v1.ToolReturnCreate(tool_returns=[give(run).tool])
    following = await answer(caller, answering(agent, v1.InputMessage(tool_return=given)))
    await caller.delivered(2, run_id=following.id)
    assert types_of(receiver, following.id) == [STARTED, FINISHED]
    assert types_of(receiver, run.id) == [STARTED, ACTION_REQUIRED]


async def test_an_endpoint_gets_the_types_and_the_agent_that_it_asks_for(caller: Caller, receiver: Receiver) -> None:
    agent, other = await caller.agent("scripted/echo"), await caller.agent("scripted/echo")
    everything, _ = await caller.endpoint(receiver.url("/all"))
    await caller.endpoint(receiver.url("/starts"), event_types=[STARTED])
    await caller.endpoint(receiver.url("/mine"), agent_id=agent)
    await caller.endpoint(receiver.url("/asked"), event_types=[ACTION_REQUIRED])
    mine, theirs = await caller.send(agent, "hello"), await caller.send(other, "hello")
    await caller.delivered(3, run_id=mine.id)
    await caller.delivered(2, run_id=theirs.id)

    got = {(each.line.split()[1], each.json["type"], each.json["data"]["run_id"]) for each in receiver.got}
    assert got == {
        ("/all", FINISHED, mine.id),
        ("/starts", STARTED, mine.id),
        ("/mine", FINISHED, mine.id),
        ("/all", FINISHED, theirs.id),
        ("/starts", STARTED, theirs.id),
    }
    assert len(receiver.got) == len(got)
    assert {each.run_id for each in await caller.deliveries(endpoint_id=everything)} == {mine.id, theirs.id}


async def test_what_happens_is_told_at_once_and_not_with_the_next_poll(
    caller: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "POLL_S", 3_600.0)
    run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
    await caller.called_back(run.id, done=True)  # so that the poll which was under way is over
    await caller.endpoint(receiver.url(), event_types=EVENTS)
    run = await hanging(caller, await caller.agent())
    await receiver.requests(2)
    await caller.cancel(run.id)
    start, end = await caller.delivered(2, run_id=run.id)
    await caller.callbacks.Redeliver(v1.RedeliverRequest(delivery_ids=[start.id]))
    await receiver.requests(4)
    assert [got.id for got in told_of(receiver, run.id)] == [start.id, end.id, start.id]


async def test_a_run_in_a_conversation_is_told_with_it(caller: Caller, receiver: Receiver) -> None:
    await caller.endpoint(receiver.url())
    agent = await caller.agent("scripted/echo")
    conversation = await caller.conversation(agent)
    await caller.send(agent, "hello", conversation_id=conversation)
    (got,) = await receiver.requests(1)
    assert got.json["data"]["conversation_id"] == conversation


# ---- endpoints: every end ----


async def test_a_run_that_fails_is_told_with_its_reason(caller: Caller, receiver: Receiver) -> None:
    await caller.endpoint(receiver.url(), event_types=EVENTS)
    run = await caller.send(await caller.agent(), script(fail="MODEL_REJECTED_REQUEST"))
    await caller.delivered(2, run_id=run.id)
    assert types_of(receiver, run.id) == [STARTED, FINISHED]
    data = receiver.got[-1].json["data"]
    assert (data["status"], data["stop_reason"]) == ("failed", "llm_api_error")


async def test_a_run_that_is_cancelled_at_work_is_told(caller: Caller, receiver: Receiver) -> None:
    await caller.endpoint(receiver.url(), event_types=EVENTS)
    run = await hanging(caller, await caller.agent())
    await caller.cancel(run.id)
    await caller.delivered(2, run_id=run.id)
    assert types_of(receiver, run.id) == [STARTED, FINISHED]
    data = receiver.got[-1].json["data"]
    assert (data["status"], data["stop_reason"]) == ("cancelled", "cancelled")


async def test_runs_that_end_in_the_queue_are_told_as_finished_and_never_as_started(
    caller: Caller, receiver: Receiver
) -> None:
    agent = await caller.agent()
    await hanging(caller, agent)
    await caller.endpoint(receiver.url(), event_types=EVENTS)
    cancelled = await caller.send(agent, "later")
    await caller.cancel(cancelled.id)
    expired = await caller.send(agent, "later", limits=v1.Limits(queue_ttl=seconds(0.05)))
    for run, told in ((cancelled, ("cancelled", "cancelled")), (expired, ("failed", "error"))):
        await caller.delivered(1, run_id=run.id)
        (got,) = told_of(receiver, run.id)
        assert (got.json["type"], got.json["data"]["status"], got.json["data"]["stop_reason"]) == (FINISHED, *told)


async def test_a_run_whose_time_is_over_is_told(caller: Caller, receiver: Receiver) -> None:
    await caller.endpoint(receiver.url(), event_types=EVENTS)
    run = await hanging(caller, await caller.agent(), limits=v1.Limits(run_timeout=seconds(0.1)))
    await caller.delivered(2, run_id=run.id)
    assert types_of(receiver, run.id) == [STARTED, FINISHED]
    assert receiver.got[-1].json["data"]["status"] == "failed"


# ---- endpoints: order, attempts ----


@pytest.mark.parametrize("own", [False, True])
async def test_the_end_of_a_run_is_told_behind_its_start_although_that_failed_at_first(
    caller: Caller, receiver: Receiver, own: bool
) -> None:
    receiver.acts = [500, "reset", 503]
    fields: dict[str, Any] = {}
    if own:
        fields = {"callback_url": receiver.url(), "callback": v1.CallbackOptions(event_types=EVENTS)}
    else:
        await caller.endpoint(receiver.url(), event_types=EVENTS)
    run = await caller.send(await caller.agent("scripted/echo"), "hello", **fields)
    start, end = await caller.delivered(2, run_id=run.id)
    assert types_of(receiver, run.id) == [STARTED, STARTED, STARTED, STARTED, FINISHED]
    assert [got.attempt for got in receiver.got] == [1, 2, 3, 4, 1]
    assert [got.id for got in receiver.got] == [*[start.id] * 4, end.id]


async def test_a_start_that_is_given_up_lets_the_end_be_told(caller: Caller, receiver: Receiver) -> None:
    receiver.choose = lambda got: 410 if got.json["type"] == STARTED else 200
    options = v1.CallbackOptions(event_types=EVENTS)
    agent = await caller.agent("scripted/echo")
    run = await caller.send(agent, "hello", callback_url=receiver.url(), callback=options)
    found = await caller.delivered(2, run_id=run.id)
    assert [(each.event_type, each.status) for each in found] == [(STARTED, DEAD), (FINISHED, DELIVERED)]


async def test_each_attempt_is_listed_and_none_of_an_endpoint_touches_the_run(
    caller: Caller, receiver: Receiver
) -> None:
    receiver.acts = ["HTTP/1.1 500 No\r\ncontent-length: 10\r\n\r\nno such db", 200]
    endpoint, _ = await caller.endpoint(receiver.url())
    run = await caller.ended((await caller.send(await caller.agent("scripted/echo"), "hello")).id)
    (found,) = await caller.delivered(1, endpoint_id=endpoint)
    failed, last = found.attempts
    assert (failed.status_code, failed.error, failed.response_excerpt) == (
        500,
        "the receiver answered 500",
        "no such db",
    )
    assert (last.status_code, last.error, last.response_excerpt) == (200, "", "")
    assert last.start_time.ToNanoseconds() > failed.start_time.ToNanoseconds()
    assert min(failed.duration_ns, last.duration_ns) > 0
    assert (found.attempt_count, found.status) == (2, DELIVERED)
    assert await caller.get(run.id) == run


async def test_an_endpoint_that_fails_keeps_nothing_from_the_others(
    caller: Caller, receiver: Receiver, refusing: Receiver
) -> None:
    bad, _ = await caller.endpoint(refusing.url())
    good, _ = await caller.endpoint(receiver.url())
    agent = await caller.agent("scripted/echo")
    runs = [await caller.send(agent, "hello") for _ in range(5)]
    await caller.delivered(len(runs), endpoint_id=good)
    assert {got.json["data"]["run_id"] for got in receiver.got} == {run.id for run in runs}
    assert all(each.status != DELIVERED for each in await caller.deliveries(endpoint_id=bad))


# ---- bodies ----


async def test_a_full_body_tells_the_run_and_its_result_as_rest_does(serve: Serve, receiver: Receiver) -> None:
    async with serve(http_address="127.0.0.1:0") as server, calling(server.grpc.address) as caller:
        assert server.http is not None
        await caller.endpoint(receiver.url(), event_types=EVENTS, include_run=True)
        agent = await caller.agent()
        async with httpx.AsyncClient(base_url=f"http://{server.http.address}", timeout=PATIENCE_S) as http:
            door = Door(http)
            said = {"input": script(text="the answer"), "streaming": False}
            result = await door.post(f"/v1/agents/{agent}/messages", said)
            start, end = [got.json for got in await receiver.requests(2)]
            run = await door.get(f"/v1/runs/{end['data']['run_id']}")
    assert list(end["data"])[-2:] == ["run", "result"]
    assert end["data"]["run"] == run
    assert end["data"]["result"] == result
    assert (start["data"]["run"]["id"], "result" in start["data"]) == (run["id"], False)


@pytest.mark.parametrize("text", [script(fail="MODEL_REJECTED_REQUEST"), script(text="half", hang=True)])
async def test_a_full_body_of_a_run_without_an_answer_has_no_result(
    caller: Caller, receiver: Receiver, text: str
) -> None:
    await caller.endpoint(receiver.url(), include_run=True)
    run = await caller.started((await caller.send(await caller.agent(), text)).id)
    await caller.cancel(run.id)
    (got,) = await receiver.requests(1)
    assert got.json["data"]["run"]["status"] in ("failed", "cancelled")
    assert "result" not in got.json["data"]


@pytest.mark.parametrize("include_run", [False, True])
async def test_the_body_of_an_end_is_the_same_on_every_attempt(
    caller: Caller, receiver: Receiver, include_run: bool
) -> None:
    receiver.acts = [500, "reset"]
    options = v1.CallbackOptions(include_run=include_run)
    agent = await caller.agent("scripted/echo")
    run = await caller.send(agent, "hello", callback_url=receiver.url(), callback=options)
    await caller.delivered(1, run_id=run.id)
    assert len(receiver.got) == 3
    assert len({got.body for got in receiver.got}) == 1
    assert ("run" in receiver.got[0].json["data"]) == include_run


# ---- a run's own callback, with options ----


async def test_how_to_be_called_back_is_kept_with_the_run(caller: Caller, receiver: Receiver) -> None:
    agent = await caller.agent("scripted/echo")
    endpoint, secret = await caller.endpoint(receiver.url("/endpoint"), agent_id=await caller.agent("scripted/echo"))
    options = v1.CallbackOptions(event_types=[STARTED, FINISHED], include_run=True, secret_id=endpoint)
    wanted = request(agent, "hello", callback_url=receiver.url(), callback=options)
    kept = v1.CallbackSummary(url=receiver.url(), event_types=[STARTED, FINISHED], include_run=True, secret_id=endpoint)
    preview = v1.CreateMessageAsyncRequest(validate_only=True)
    preview.MergeFrom(wanted)
    assert (await caller.runs.CreateMessageAsync(preview)).callback == kept
    run = await caller.runs.CreateMessageAsync(wanted)
    assert run.callback == kept
    start, end = await caller.delivered(2, run_id=run.id)

    shown = (await caller.get(run.id)).callback
    assert (shown.attempts, shown.last_status_code) == (1, 200)  # the end's, and not the start's
    assert (shown.event_types, shown.include_run, shown.secret_id) == (kept.event_types, True, endpoint)
    assert types_of(receiver, run.id) == [STARTED, FINISHED]
    for got, delivery in zip(receiver.got, (start, end), strict=True):
        assert got.verified(secret)["data"]["run"]["id"] == run.id
        assert (got.id, delivery.url, delivery.HasField("endpoint_id")) == (delivery.id, receiver.url(), False)


async def test_options_that_name_no_types_mean_both_ends(
    caller: Caller, receiver: Receiver, settings: Settings
) -> None:
    agent = await caller.agent()
    options = v1.CallbackOptions()
    asking = script(tool_calls=[{"name": "look"}])
    run = await caller.send(agent, asking, callback_url=receiver.url(), callback=options, client_tools=[TOOL])
    assert run.callback.event_types == [ACTION_REQUIRED, FINISHED]
    await caller.delivered(1, run_id=run.id)
    (got,) = receiver.got
    secret = settings.callback_secret_path.read_text().strip()
    assert got.verified(secret)["type"] == ACTION_REQUIRED


async def test_an_end_that_the_caller_did_not_ask_for_is_not_told(caller: Caller, receiver: Receiver) -> None:
    agent = await caller.agent("scripted/echo")
    options = v1.CallbackOptions(event_types=[ACTION_REQUIRED])
    silent = await caller.send(agent, "hello", callback_url=receiver.url(), callback=options)
    told = await caller.send(agent, "hello", callback_url=receiver.url())
    await caller.called_back(told.id, done=True)
    assert told_of(receiver, silent.id) == []
    assert await caller.deliveries(run_id=silent.id) == []
    assert not (await caller.get(silent.id)).callback.HasField("next_attempt_time")


async def test_a_run_shows_that_its_callback_was_delivered_again(caller: Caller, receiver: Receiver) -> None:
    run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
    (found,) = await caller.delivered(1, run_id=run.id)
    shown = [(await caller.get(run.id)).callback.attempts for _ in range(2)]
    await caller.callbacks.Redeliver(v1.RedeliverRequest(delivery_ids=[found.id]))
    await receiver.requests(2)
    await caller.delivered(1, run_id=run.id)
    assert [*shown, (await caller.get(run.id)).callback.attempts] == [1, 1, 2]
    assert [(got.id, got.attempt) for got in receiver.got] == [(found.id, 1), (found.id, 2)]


async def test_a_request_that_is_sent_again_with_another_wish_is_another_one(
    caller: Caller, receiver: Receiver
) -> None:
    agent = await caller.agent("scripted/echo")
    fields = {"callback_url": receiver.url(), "request_id": "order-1"}
    first = await caller.send(agent, "hello", callback=v1.CallbackOptions(include_run=True), **fields)
    again = await caller.send(agent, "hello", callback=v1.CallbackOptions(include_run=True), **fields)
    assert again.id == first.id
    refusal = await refused(caller.send(agent, "hello", callback=v1.CallbackOptions(), **fields))
    assert refusal.reason == "IDEMPOTENCY_MISMATCH"


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({}, ["callback"]),
        ({"event_types": ["run.message"]}, ["callback", "callback.event_types[0]"]),
        (
            {"callback_url": "nonsense", "event_types": [STARTED, STARTED], "secret_id": "whsec_1"},
            ["callback_url", "callback.event_types[1]", "callback.secret_id"],
        ),
    ],
)
async def test_a_wish_that_can_not_be_met_is_refused_with_all_that_is_wrong(
    caller: Caller, fields: dict[str, Any], violated: Sequence[str]
) -> None:
    agent = await caller.agent("scripted/echo")
    url = fields.pop("callback_url", None)
    refusal = await refused(caller.send(agent, "hello", callback_url=url, callback=v1.CallbackOptions(**fields)))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, violated)


async def test_who_signs_must_be_there_and_have_secrets(caller: Caller, receiver: Receiver) -> None:
    agent = await caller.agent("scripted/echo")
    pulled, _ = await caller.endpoint(None)
    gone, _ = await caller.endpoint(receiver.url())
    await caller.callbacks.DeleteEndpoint(v1.DeleteEndpointRequest(endpoint_id=gone))
    for endpoint, reason in ((gone, "ENDPOINT_NOT_FOUND"), (pulled, "ENDPOINT_HAS_NO_URL")):
        options = v1.CallbackOptions(secret_id=endpoint)
        refusal = await refused(caller.send(agent, "hello", callback_url=receiver.url(), callback=options))
        assert refusal.reason == reason
    assert await caller.list_all(agent_id=agent) == []


async def test_a_callback_whose_signer_is_deleted_meanwhile_is_given_up_and_says_why(
    caller: Caller, receiver: Receiver
) -> None:
    agent = await caller.agent()
    endpoint, _ = await caller.endpoint(receiver.url(), agent_id=await caller.agent())
    options = v1.CallbackOptions(secret_id=endpoint)
    run = await hanging(caller, agent, callback_url=receiver.url(), callback=options)
    await caller.callbacks.DeleteEndpoint(v1.DeleteEndpointRequest(endpoint_id=endpoint))
    await caller.cancel(run.id)
    (found,) = await caller.delivered(1, run_id=run.id)
    callback = (await caller.get(run.id)).callback
    assert (found.status, found.attempt_count) == (DEAD, 0)
    assert (callback.dead_lettered, callback.last_error, callback.attempts) == (True, UNSIGNED, 0)
    assert receiver.got == []


# ---- secrets ----


async def test_during_a_rotation_both_secrets_verify_and_then_only_the_new_one(
    caller: Caller, receiver: Receiver
) -> None:
    endpoint, old = await caller.endpoint(receiver.url())
    agent = await caller.agent("scripted/echo")

    async def verifying(*secrets: str) -> list[bool]:
        await caller.send(agent, "hello")
        got = (await receiver.requests(len(receiver.got) + 1))[-1]
        return [_verifies(got, secret) for secret in secrets]

    async def rotate(**fields: Any) -> str:
        wanted = v1.RotateSecretRequest(endpoint_id=endpoint, **fields)
        return (await caller.callbacks.RotateSecret(wanted)).secret

    new = await rotate()
    assert await verifying(old, new) == [True, True]
    newest = await rotate(overlap=seconds(0))
    assert await verifying(old, new, newest) == [False, False, True]


def _verifies(got: Delivered, secret: str) -> bool:
    try:
        got.verified(secret)
    except WebhookVerificationError:
        return False
    return True


# ---- a receiver that wants no more ----


async def test_410_disables_an_endpoint_what_it_misses_is_kept_and_comes_when_it_is_enabled_again(
    caller: Caller, receiver: Receiver
) -> None:
    endpoint, secret = await caller.endpoint(receiver.url())
    agent = await caller.agent("scripted/echo")
    receiver.choose = lambda _: 500
    waiting = await caller.send(agent, "hello")
    await receiver.requests(1)
    receiver.choose = lambda got: 500 if got.json["data"]["run_id"] == waiting.id else 410
    refusing = await caller.send(agent, "hello")
    await caller.delivered(1, run_id=refusing.id)
    shown = await caller.callbacks.GetEndpoint(v1.GetEndpointRequest(endpoint_id=endpoint))
    assert (shown.disabled, shown.disabled_reason) == (True, GONE)

    missing = await caller.ended((await caller.send(agent, "hello")).id)
    found = await caller.delivered(3, endpoint_id=endpoint)
    assert [each.run_id for each in found] == [waiting.id, refusing.id, missing.id]
    assert {each.status for each in found} == {DEAD}
    assert [each.attempts[-1].error for each in found] == [DISABLED, "the receiver answered 410", DISABLED]
    assert told_of(receiver, missing.id) == []

    receiver.choose = None
    enabled = v1.UpdateEndpointRequest(
        endpoint_id=endpoint, endpoint=v1.CallbackEndpoint(), update_mask=FieldMask(paths=["disabled"])
    )
    assert (await caller.callbacks.UpdateEndpoint(enabled)).disabled_reason == ""
    again = await caller.callbacks.Redeliver(v1.RedeliverRequest(endpoint_id=endpoint))
    assert again.queued == 3
    after = await caller.delivered(3, endpoint_id=endpoint)
    assert [(each.id, each.status) for each in after] == [(each.id, DELIVERED) for each in found]
    for run in (waiting, refusing, missing):
        last = told_of(receiver, run.id)[-1]
        assert last.verified(secret)["data"]["run_id"] == run.id
    assert told_of(receiver, refusing.id)[-1].attempt == 2
