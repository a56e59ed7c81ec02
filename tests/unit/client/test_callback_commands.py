"""`sendoff callbacks` for endpoints and deliveries."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from sendoff.cli.exits import ExitCode
from tests.unit.client.commanding import ACCEPTED, Command
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, ScriptedServer

ENDPOINT_ID = "endpoint-00000000-0000-4000-8000-000000000001"
DELIVERY_ID = "delivery-00000000-0000-4000-8000-000000000001"
URL = "https://shop.example/hooks"
MOMENT = Timestamp(seconds=1_700_000_000)
ENDPOINT = v1.CallbackEndpoint(
    id=ENDPOINT_ID, url=URL, event_types=["run.action_required", "run.finished"], create_time=MOMENT, etag="e1"
)
FAILED = v1.DeliveryAttempt(
    start_time=MOMENT, duration_ns=20_000_000, status_code=500, error="the receiver failed", response_excerpt="oh no"
)
DELIVERY = v1.Delivery(
    id=DELIVERY_ID,
    run_id=RUN_ID,
    event_type="run.finished",
    endpoint_id=ENDPOINT_ID,
    url=URL,
    status=v1.DELIVERY_STATUS_DEAD_LETTERED,
    attempts=[FAILED],
    attempt_count=20,
)


async def test_an_endpoint_is_made_and_its_secret_told_once(command: Command, server: ScriptedServer) -> None:
    made = v1.CreateEndpointResponse(endpoint=ENDPOINT, secret="whsec_AAAA")
    server.plan(methods.CREATE_ENDPOINT, made, made, v1.CreateEndpointResponse(endpoint=v1.CallbackEndpoint(id="e")))
    filters = ("--event", "run.started", "--event", "run.finished", "--agent", AGENT_ID)

    told = await command("callbacks", "create", "--url", URL, *filters, "--include-run", "--description", "shop")
    as_json = await command("callbacks", "create", "--url", URL, "--request-id", "mine", "--json")
    pulled = await command("callbacks", "create", "--pull")

    assert told.stdout.splitlines() == [ENDPOINT_ID, "whsec_AAAA"]
    assert "not shown again" in told.stderr
    assert json.loads(as_json.stdout)["secret"] == "whsec_AAAA"
    assert (pulled.stdout, pulled.stderr) == ("e\n", "")
    first, second, third = server.asked(v1.CreateEndpointRequest)
    events = ["run.started", "run.finished"]
    assert first.endpoint == v1.CallbackEndpoint(
        url=URL, event_types=events, agent_id=AGENT_ID, include_run=True, description="shop"
    )
    assert second == v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(url=URL), request_id="mine")
    assert third.endpoint == v1.CallbackEndpoint()


async def test_endpoints_are_listed_shown_and_deleted(command: Command, server: ScriptedServer) -> None:
    gone = v1.CallbackEndpoint(id="e", disabled=True, disabled_reason="the receiver answered 410", agent_id=AGENT_ID)
    page = v1.ListEndpointsResponse(endpoints=[ENDPOINT, gone])
    server.plan(methods.LIST_ENDPOINTS, page, page)
    server.plan(methods.GET_ENDPOINT, ENDPOINT, ENDPOINT)
    server.plan(methods.DELETE_ENDPOINT, v1.DeleteEndpointResponse(), v1.DeleteEndpointResponse())

    lines = (await command("callbacks", "ls")).stdout.splitlines()
    as_json = (await command("callbacks", "list", "--json")).stdout.splitlines()
    shown = (await command("callbacks", "get", ENDPOINT_ID)).stdout
    whole = json.loads((await command("callbacks", "get", ENDPOINT_ID, "--json")).stdout)
    for word in ("rm", "delete"):
        assert (await command("callbacks", word, ENDPOINT_ID)).exit_code == ExitCode.OK

    assert lines[1].split("\t") == [ENDPOINT_ID, URL, "run.action_required, run.finished", "", "enabled", ""]
    assert lines[2].split("\t") == ["e", "pulled", "", AGENT_ID, "disabled: the receiver answered 410", ""]
    assert [json.loads(line)["id"] for line in as_json] == [ENDPOINT_ID, "e"]
    assert f"url:      {URL}\n" in shown
    assert "etag:     e1\n" in shown
    assert whole["event_types"] == ["run.action_required", "run.finished"]
    assert server.asked(v1.DeleteEndpointRequest) == [v1.DeleteEndpointRequest(endpoint_id=ENDPOINT_ID)] * 2


async def test_of_an_endpoint_only_what_is_given_is_changed(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.UPDATE_ENDPOINT, ENDPOINT, ENDPOINT, ENDPOINT)

    await command("callbacks", "update", ENDPOINT_ID, "--disable")
    await command("callbacks", "update", ENDPOINT_ID, "--enable", "--ids-only", "--etag", "e1")
    await command("callbacks", "update", ENDPOINT_ID, "--url", URL, "--event", "run.started", "--description", "")

    first, second, third = server.asked(v1.UpdateEndpointRequest)
    assert (first.endpoint, list(first.update_mask.paths)) == (v1.CallbackEndpoint(disabled=True), ["disabled"])
    assert second.endpoint == v1.CallbackEndpoint(etag="e1")
    assert list(second.update_mask.paths) == ["disabled", "include_run"]
    assert third.endpoint == v1.CallbackEndpoint(url=URL, event_types=["run.started"])
    assert list(third.update_mask.paths) == ["description", "event_types", "url"]


async def test_a_secret_is_rotated_and_told_once(command: Command, server: ScriptedServer) -> None:
    made = v1.RotateSecretResponse(secret="whsec_BBBB")
    server.plan(methods.ROTATE_SECRET, made, made, made)

    told = await command("callbacks", "rotate", ENDPOINT_ID)
    await command("callbacks", "rotate", ENDPOINT_ID, "--overlap", "2h")
    as_json = await command("callbacks", "rotate", ENDPOINT_ID, "--overlap", "0s", "--json")

    assert told.stdout == "whsec_BBBB\n"
    assert json.loads(as_json.stdout) == {"secret": "whsec_BBBB"}
    overlaps = [each.overlap if each.HasField("overlap") else None for each in server.asked(v1.RotateSecretRequest)]
    assert overlaps == [None, Duration(seconds=7_200), Duration()]


async def test_an_endpoint_is_tried_and_the_exit_code_tells_whether_it_arrived(
    command: Command, server: ScriptedServer
) -> None:
    arrived = v1.DeliveryAttempt(status_code=204, duration_ns=20_000_000)
    answers = [v1.TestEndpointResponse(attempt=each) for each in (arrived, FAILED)]
    server.plan(methods.TEST_ENDPOINT, *answers, answers[1])

    well = await command("callbacks", "test", ENDPOINT_ID)
    badly = await command("callbacks", "test", ENDPOINT_ID)
    as_json = await command("callbacks", "test", ENDPOINT_ID, "--json")

    assert (well.exit_code, well.stdout) == (ExitCode.OK, "delivered, answered 204, 0.02 s\n")
    assert (badly.exit_code, badly.stdout) == (1, "the receiver failed, answered 500, 0.02 s: oh no\n")
    assert (as_json.exit_code, json.loads(as_json.stdout)["response_excerpt"]) == (1, "oh no")


async def test_deliveries_are_chosen_and_shown_with_their_last_attempts(
    command: Command, server: ScriptedServer
) -> None:
    waits = v1.Delivery(id="d", url=URL, status=v1.DELIVERY_STATUS_PENDING, next_attempt_time=MOMENT)
    page = v1.ListDeliveriesResponse(deliveries=[DELIVERY, waits])
    server.plan(methods.LIST_DELIVERIES, page, page)

    filters = ("--run", RUN_ID, "--endpoint", ENDPOINT_ID, "--status", "dead-lettered", "--status", "pending")
    lines = (await command("callbacks", "deliveries", *filters, "--limit", "7")).stdout.splitlines()
    as_json = (await command("callbacks", "deliveries", "--json")).stdout.splitlines()

    attempt = "the receiver failed, answered 500, 0.02 s: oh no"
    row = [DELIVERY_ID, "run.finished", RUN_ID, ENDPOINT_ID, "dead-lettered", "20", attempt, ""]
    assert lines[1].split("\t") == row
    assert lines[2].split("\t") == ["d", "", "", URL, "pending", "0", "", "2023-11-14 22:13:20Z"]
    assert json.loads(as_json[0])["attempts"][0]["status_code"] == 500
    first, second = server.asked(v1.ListDeliveriesRequest)
    statuses = [v1.DELIVERY_STATUS_DEAD_LETTERED, v1.DELIVERY_STATUS_PENDING]
    wanted = v1.ListDeliveriesRequest(run_id=RUN_ID, endpoint_id=ENDPOINT_ID, statuses=statuses, page_size=7)
    assert first == wanted
    assert second == v1.ListDeliveriesRequest(page_size=50)


async def test_deliveries_are_tried_again_by_id_or_for_an_endpoint(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.REDELIVER, *[v1.RedeliverResponse(queued=2)] * 4)
    begin = datetime.now(UTC)

    assert (await command("callbacks", "redeliver", DELIVERY_ID, "other")).stdout == "2\n"
    as_json = await command("callbacks", "redeliver", "--endpoint", ENDPOINT_ID, "--json")
    await command("callbacks", "redeliver", "--endpoint", ENDPOINT_ID, "--since", "2023-11-14T22:13:20")
    await command("callbacks", "redeliver", "--endpoint", ENDPOINT_ID, "--since", "1.5h")

    by_id, all_of, since, span = server.asked(v1.RedeliverRequest)
    assert json.loads(as_json.stdout) == {"queued": 2}
    assert by_id == v1.RedeliverRequest(delivery_ids=[DELIVERY_ID, "other"])
    assert all_of == v1.RedeliverRequest(endpoint_id=ENDPOINT_ID)
    assert since == v1.RedeliverRequest(endpoint_id=ENDPOINT_ID, since=MOMENT)
    back = begin - span.since.ToDatetime(UTC)
    assert timedelta(hours=1.5) - timedelta(minutes=1) < back <= timedelta(hours=1.5)


async def test_a_message_says_what_its_own_callback_tells(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED, ACCEPTED)
    events = ("--callback-event", "run.started", "--callback-event", "run.finished")

    await command("send", AGENT_ID, "Hi", "--callback-url", URL)
    more = (*events, "--callback-include-run", "--callback-secret", ENDPOINT_ID)
    await command("send", AGENT_ID, "Hi", "--callback-url", URL, *more)
    alone = await command("send", AGENT_ID, "Hi", "--callback-include-run")

    plain, chosen = server.requests
    assert (plain.callback_url, plain.HasField("callback")) == (URL, False)
    assert chosen.callback == v1.CallbackOptions(
        event_types=["run.started", "run.finished"], include_run=True, secret_id=ENDPOINT_ID
    )
    assert alone.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "words",
    [
        ("create",),
        ("create", "--url", URL, "--pull"),
        ("update", ENDPOINT_ID),
        ("rotate", ENDPOINT_ID, "--overlap", "soon"),
        ("deliveries", "--status", "lost"),
        ("redeliver",),
        ("redeliver", DELIVERY_ID, "--endpoint", ENDPOINT_ID),
        ("redeliver", DELIVERY_ID, "--since", "2h"),
        ("redeliver", "--endpoint", ENDPOINT_ID, "--since", "yesterday"),
        ("listen", "--secret", "whsec_AAAA", "--agent", AGENT_ID),
        ("listen", "--secret", "whsec_="),
        ("listen", "--host", "0.0.0.0"),
        ("listen", "--host", "192.0.2.1"),
    ],
    ids=" ".join,
)
async def test_a_wrong_command_line_sends_nothing(
    command: Command, server: ScriptedServer, words: tuple[str, ...]
) -> None:
    outcome = await command("callbacks", *words)

    assert outcome.exit_code == ExitCode.USAGE
    assert server.requests == []
