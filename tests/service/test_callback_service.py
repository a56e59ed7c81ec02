"""Callback endpoints over gRPC: made once, found, changed by whoever looked last, given new secrets, and tried."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from sendoff import AsyncClient, EndpointHasNoUrl, NotFound, v1
from sendoff_server import ids
from sendoff_server.app import Server
from sendoff_server.errors import ServiceError
from tests.faults.caller import Refusal, patiently, refused
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve
from tests.service.callback_desk import DEAD, Desk, at_desk

UNKNOWN = ids.derive("endpoint", "nobody's")
AGENT = ids.derive("agent", "nobody's")
URL = "https://example.com/hook?key=0"


@pytest.fixture
async def desk(server: Server) -> AsyncIterator[Desk]:
    async with at_desk(server) as opened:
        yield opened


# ---- make and read ----


async def test_an_endpoint_is_as_it_was_made_with_what_the_server_adds(desk: Desk) -> None:
    agent = await desk.caller.agent("scripted/echo")
    wanted: dict[str, Any] = {
        "url": URL,
        "event_types": ["run.finished", "run.started"],
        "agent_id": agent,
        "include_run": True,
        "disabled": True,
        "description": "The desk",
    }
    made = (await desk.create(**wanted)).endpoint
    assert ids.pattern("endpoint").fullmatch(made.id)
    assert made.etag
    assert made.create_time == made.update_time
    assert made.create_time.seconds
    added = v1.CallbackEndpoint(
        id=made.id, etag=made.etag, create_time=made.create_time, update_time=made.update_time, **wanted
    )
    assert made == added
    assert await desk.get(made.id) == made


async def test_an_endpoint_has_a_secret_of_its_own_and_one_that_is_pulled_has_none(desk: Desk) -> None:
    secrets = [(await desk.create(url=URL)).secret for _ in range(2)]
    assert len(set(secrets)) == 2
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    pulled = await desk.create()
    assert pulled.secret == ""
    assert not pulled.endpoint.HasField("url")


async def test_an_endpoint_is_made_once_however_often_and_at_once_it_is_asked_for(desk: Desk) -> None:
    made = await asyncio.gather(*(desk.create("mine", url=URL) for _ in range(8)))
    assert len({(each.endpoint.id, each.secret) for each in made}) == 1
    assert made[0].secret
    assert await desk.pages() == [[made[0].endpoint.id]]
    assert (await desk.create("another", url=URL)).endpoint.id != made[0].endpoint.id
    assert (await desk.create(url=URL)).endpoint.id != (await desk.create(url=URL)).endpoint.id


async def test_a_repeat_tells_the_endpoint_as_it_is_and_its_newest_secret(desk: Desk) -> None:
    made = await desk.create("mine", url=URL)
    newest = await desk.rotate(made.endpoint.id)
    changed = await desk.update(made.endpoint.id, description="changed")
    again = await desk.create("mine", url=URL)
    assert again == v1.CreateEndpointResponse(endpoint=changed, secret=newest)
    assert newest != made.secret


async def test_the_same_request_id_with_another_endpoint_is_refused_and_names_the_first(desk: Desk) -> None:
    made = (await desk.create("mine", url=URL)).endpoint
    told = await refused(desk.create("mine", url=URL, include_run=True))
    assert told.reason == "IDEMPOTENCY_MISMATCH"
    assert told.metadata["resource_id"] == made.id


async def test_endpoints_and_their_secrets_outlive_the_server(serve: Serve, receiver: Receiver) -> None:
    async with serve() as server, at_desk(server) as desk:
        made = await desk.create("mine", url=receiver.url())
    async with serve() as server, at_desk(server) as desk:
        assert await desk.get(made.endpoint.id) == made.endpoint
        assert await desk.create("mine", url=receiver.url()) == made
        await desk.test(made.endpoint.id)
    assert receiver.got[0].verified(made.secret)


async def test_what_the_server_makes_is_refused_by_name(desk: Desk) -> None:
    made = (await desk.create(url=URL)).endpoint
    told = await refused(desk.create(id=made.id, etag="e", disabled_reason="r", create_time=made.create_time))
    paths = [f"endpoint.{name}" for name in ("id", "disabled_reason", "create_time", "etag")]
    assert (told.reason, told.fields) == ("INVALID_REQUEST", paths)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://169.254.169.254/latest", "http://[fe80::1]/", "http://example.com:22/"]
)
async def test_an_address_that_may_not_be_called_is_refused_by_name(desk: Desk, url: str) -> None:
    told = await refused(desk.create(url=url))
    assert (told.reason, told.fields) == ("INVALID_REQUEST", ["endpoint.url"])
    made = (await desk.create(url=URL)).endpoint
    told = await refused(desk.update(made.id, url=url))
    assert (told.reason, told.fields) == ("INVALID_REQUEST", ["endpoint.url"])
    assert await desk.pages() == [[made.id]]
    assert await desk.get(made.id) == made


async def test_an_endpoint_of_an_agent_that_is_not_there_is_refused(desk: Desk) -> None:
    told = await refused(desk.create(url=URL, agent_id=AGENT))
    assert (told.reason, told.metadata["agent_id"]) == ("AGENT_NOT_FOUND", AGENT)
    assert await desk.pages() == [[]]


async def test_what_is_not_there_is_named(desk: Desk) -> None:
    for call in (
        desk.get(UNKNOWN),
        desk.update(UNKNOWN, description="x"),
        desk.delete(UNKNOWN),
        desk.rotate(UNKNOWN),
        desk.test(UNKNOWN),
        desk.redeliver(endpoint_id=UNKNOWN),
    ):
        told = await refused(call)
        assert (told.reason, told.metadata["endpoint_id"]) == ("ENDPOINT_NOT_FOUND", UNKNOWN)


async def test_endpoints_are_listed_newest_first_in_pages(desk: Desk) -> None:
    made = [(await desk.create(url=URL)).endpoint.id for _ in range(5)][::-1]
    assert await desk.pages(2) == [made[:2], made[2:4], made[4:]]
    assert await desk.pages(5) == await desk.pages() == [made]
    listed = await desk.stub.ListEndpoints(v1.ListEndpointsRequest(page_size=1))
    assert list(listed.endpoints) == [await desk.get(made[0])]


async def test_a_page_token_of_another_list_is_refused(desk: Desk) -> None:
    for _ in range(2):
        await desk.create()
    of_endpoints = (await desk.stub.ListEndpoints(v1.ListEndpointsRequest(page_size=1))).next_page_token
    for token in (of_endpoints, "nonsense"):
        told = await refused(desk.stub.ListDeliveries(v1.ListDeliveriesRequest(page_token=token)))
        assert (told.reason, told.fields) == ("INVALID_REQUEST", ["page_token"])


# ---- how many ----


async def test_a_tenant_has_fifty_endpoints_however_they_are_asked_for_at_once(desk: Desk) -> None:
    made = await asyncio.gather(*(desk.create(f"{number}") for number in range(60)), return_exceptions=True)
    endpoints = [each.endpoint for each in made if isinstance(each, v1.CreateEndpointResponse)]
    assert len(endpoints) == 50
    told = await refused(desk.create())
    assert (told.reason, told.metadata["limit"]) == ("TOO_MANY_ENDPOINTS", "50")
    assert told.retry_after_s is None  # nothing gets better by waiting

    first = next(number for number, each in enumerate(made) if isinstance(each, v1.CreateEndpointResponse))
    assert await desk.create(f"{first}") == made[first]
    await desk.delete(endpoints[1].id)
    assert (await desk.create()).endpoint.id
    assert (await refused(desk.create())).reason == "TOO_MANY_ENDPOINTS"


# ---- change ----


async def test_an_update_changes_what_its_mask_names_and_nothing_else(desk: Desk) -> None:
    made = (await desk.create(url=URL, event_types=["run.started"], include_run=True, description="d")).endpoint
    changed = await desk.update(
        made.id, "url", "event_types", "include_run", url=f"{URL}1", event_types=["run.finished"], description="ignored"
    )
    assert (changed.url, list(changed.event_types), changed.include_run) == (f"{URL}1", ["run.finished"], False)
    assert (changed.description, changed.create_time) == ("d", made.create_time)
    assert changed.etag != made.etag
    assert changed.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()
    assert await desk.get(made.id) == changed
    assert list((await desk.update(made.id, "event_types")).event_types) == []


async def test_without_a_mask_what_is_given_is_changed(desk: Desk) -> None:
    made = (await desk.create(url=URL, event_types=["run.started"], description="d")).endpoint
    changed = await desk.update(made.id, description="e", include_run=True)
    assert (changed.url, list(changed.event_types), changed.description) == (URL, ["run.started"], "e")
    assert changed.include_run
    sent_back = await desk.stub.UpdateEndpoint(v1.UpdateEndpointRequest(endpoint_id=made.id, endpoint=changed))
    assert sent_back.description == "e"


async def test_with_an_etag_nobody_s_change_is_overwritten(desk: Desk) -> None:
    made = (await desk.create(url=URL)).endpoint
    changed = await desk.update(made.id, description="theirs", etag=made.etag)
    told = await refused(desk.update(made.id, description="ours", etag=made.etag))
    assert (told.reason, told.metadata["resource_id"]) == ("ETAG_MISMATCH", made.id)
    assert (await desk.get(made.id)).description == "theirs"
    assert (await desk.update(made.id, description="ours", etag=changed.etag)).description == "ours"


async def test_changes_and_rotations_at_once_are_all_made(desk: Desk, receiver: Receiver) -> None:
    made = await desk.create(url=receiver.url())
    fields: tuple[dict[str, Any], ...] = ({"description": "d"}, {"include_run": True}, {"event_types": ["run.started"]})
    changes = asyncio.gather(*(desk.update(made.endpoint.id, **each) for each in fields))
    _, newest = await asyncio.gather(changes, desk.rotate(made.endpoint.id))
    changed = await desk.get(made.endpoint.id)
    assert (changed.description, changed.include_run, list(changed.event_types)) == ("d", True, ["run.started"])
    await desk.test(made.endpoint.id)
    assert all(receiver.got[0].verified(secret) for secret in (made.secret, newest))


async def test_an_endpoint_keeps_to_its_kind_and_its_agent(desk: Desk) -> None:
    pushed, pulled = (await desk.create(url=URL)).endpoint, (await desk.create()).endpoint
    refusals: list[Refusal] = [
        await refused(desk.update(pushed.id, "url")),
        await refused(desk.update(pulled.id, url=URL)),
    ]
    assert [(each.reason, each.fields) for each in refusals] == [("INVALID_REQUEST", ["endpoint.url"])] * 2
    told = await refused(desk.update(pushed.id, agent_id=AGENT, description="x"))
    assert (told.reason, told.fields) == ("INVALID_REQUEST", ["endpoint.agent_id"])
    assert [await desk.get(each.id) for each in (pushed, pulled)] == [pushed, pulled]
    assert not (await desk.update(pulled.id, "url", "description", description="d")).HasField("url")


async def test_enabling_an_endpoint_takes_away_why_the_server_had_disabled_it(desk: Desk, receiver: Receiver) -> None:
    receiver.acts = [410]
    made = (await desk.create(url=receiver.url())).endpoint
    await desk.run(await desk.caller.agent("scripted/echo"))
    (delivery,) = await desk.settled()
    assert delivery.status == DEAD
    disabled = await desk.get(made.id)
    assert (disabled.disabled, disabled.disabled_reason) == (True, "the receiver answered 410")
    assert disabled.etag != made.etag

    assert (await desk.update(made.id, description="d")).disabled_reason == "the receiver answered 410"
    enabled = await desk.update(made.id, "disabled")
    assert (enabled.disabled, enabled.disabled_reason) == (False, "")
    assert (await desk.update(made.id, disabled=True)).disabled_reason == ""


async def test_a_deleted_endpoint_is_gone_with_its_deliveries_and_its_request_id_free(
    desk: Desk, receiver: Receiver
) -> None:
    made = (await desk.create("mine", url=receiver.url())).endpoint
    await desk.run(await desk.caller.agent("scripted/echo"))
    (delivery,) = await desk.settled(endpoint_id=made.id)
    await desk.delete(made.id)
    assert (await refused(desk.delete(made.id))).reason == "ENDPOINT_NOT_FOUND"
    assert (await refused(desk.delivery(delivery.id))).reason == "DELIVERY_NOT_FOUND"
    assert await desk.pages() == [[]]
    assert (await desk.create("mine", url=URL)).endpoint.id != made.id


# ---- secrets ----


async def test_a_new_secret_signs_beside_the_ones_before(desk: Desk, receiver: Receiver) -> None:
    made = await desk.create(url=receiver.url())
    newer = await desk.rotate(made.endpoint.id)
    await desk.test(made.endpoint.id)
    assert [receiver.got[0].verified(secret)["type"] for secret in (made.secret, newer)] == ["endpoint.test"] * 2


async def test_without_an_overlap_only_the_new_secret_signs(desk: Desk, receiver: Receiver) -> None:
    made = await desk.create(url=receiver.url())
    second = await desk.rotate(made.endpoint.id)
    third = await desk.rotate(made.endpoint.id, 0)
    await desk.test(made.endpoint.id)
    for secret in (made.secret, second):
        with pytest.raises(WebhookVerificationError):
            receiver.got[0].verified(secret)
    assert receiver.got[0].verified(third)


async def test_five_secrets_sign_and_all_of_them_can_be_ended(desk: Desk, receiver: Receiver) -> None:
    made = await desk.create(url=receiver.url())
    secrets = [made.secret, *[await desk.rotate(made.endpoint.id) for _ in range(4)]]
    told = await refused(desk.rotate(made.endpoint.id))
    assert (told.reason, told.metadata["limit"]) == ("TOO_MANY_SECRETS", "5")
    await desk.test(made.endpoint.id)
    assert all(receiver.got[0].verified(secret) for secret in secrets)

    newest = await desk.rotate(made.endpoint.id, 0)
    await desk.test(made.endpoint.id)
    assert receiver.got[1].verified(newest)
    assert len(receiver.got[1].headers["webhook-signature"].split()) == 1


async def test_an_endpoint_without_a_url_has_nothing_to_sign_or_to_send(desk: Desk) -> None:
    pulled = (await desk.create()).endpoint
    for call in (desk.rotate(pulled.id), desk.test(pulled.id)):
        told = await refused(call)
        assert (told.reason, told.metadata["endpoint_id"]) == ("ENDPOINT_HAS_NO_URL", pulled.id)


# ---- try ----


async def test_a_test_goes_to_the_endpoint_once_also_if_it_is_disabled(desk: Desk, receiver: Receiver) -> None:
    made = await desk.create(url=receiver.url("/hook?key=1"), disabled=True)
    attempt = await desk.test(made.endpoint.id)
    assert (attempt.error, attempt.status_code, attempt.response_excerpt) == ("", 200, "")
    assert attempt.start_time.seconds
    assert attempt.duration_ns > 0

    (got,) = receiver.got
    body = got.verified(made.secret)
    assert list(body) == ["type", "timestamp", "data"]
    assert (body["type"], body["data"]) == ("endpoint.test", {"endpoint_id": made.endpoint.id})
    assert body["timestamp"].endswith("Z")
    assert (got.line, got.attempt) == ("POST /hook?key=1 HTTP/1.1", 1)
    assert ids.pattern("delivery").fullmatch(got.id)
    assert await desk.deliveries() == [[]]


async def test_a_test_tells_what_the_receiver_did_instead(desk: Desk, receiver: Receiver) -> None:
    made = (await desk.create(url=receiver.url())).endpoint
    answer = "HTTP/1.1 500 Told\r\ncontent-length: 4\r\n\r\noops"
    receiver.acts = [answer, 410, "reset"]
    told = [await desk.test(made.id) for _ in range(3)]
    assert [each.error != "" for each in told] == [True] * 3
    assert (told[0].status_code, told[0].response_excerpt) == (500, "oops")
    assert told[1].status_code == 410
    assert not told[2].HasField("status_code")
    assert await desk.get(made.id) == made  # one that is only tried is not disabled


async def test_many_tests_at_once_wait_for_their_turn(desk: Desk, receiver: Receiver) -> None:
    made = (await desk.create(url=receiver.url())).endpoint
    receiver.choose = lambda _: "hang"
    tests = [asyncio.create_task(desk.test(made.id)) for _ in range(20)]
    await receiver.requests(16)
    receiver.release.set()
    attempts = await patiently(asyncio.gather(*tests))
    assert [attempt.error for attempt in attempts] == [""] * 20
    assert receiver.at_once == 16


# ---- our client ----


async def test_our_client_manages_endpoints_and_deliveries(client: AsyncClient, receiver: Receiver) -> None:
    agent = await client.create_agent(model="scripted/echo")
    made = await client.create_endpoint(url=receiver.url(), agent_id=agent.id, event_types=["run.finished"])
    endpoint_id = made.endpoint.id
    assert [each.id async for each in client.endpoints()] == [endpoint_id]
    newer = await client.rotate_secret(endpoint_id, overlap_s=0)
    assert (await client.test_endpoint(endpoint_id)).error == ""
    assert receiver.got[0].verified(newer)

    await client.update_endpoint(endpoint_id, disabled=True)
    run = await client.wait_run((await client.send(agent.id, "hello")).id)
    (missed,) = [each async for each in client.deliveries(run_id=run.id, statuses=[DEAD])]
    await client.update_endpoint(endpoint_id, disabled=False)
    assert await client.redeliver_missed(endpoint_id, since=missed.create_time) == 1
    assert (await receiver.requests(2))[1].id == missed.id
    await client.delete_endpoint(endpoint_id)
    with pytest.raises(NotFound) as raised:
        await client.get_delivery(missed.id)
    assert raised.value.reason == "DELIVERY_NOT_FOUND"
    with pytest.raises(EndpointHasNoUrl):
        await client.rotate_secret((await client.create_endpoint()).endpoint.id)


# ---- tenants ----


async def _subscribing(endpoint_id: str) -> AsyncIterator[v1.ReceiveDeliveriesRequest]:
    subscribe = v1.ReceiveDeliveriesRequest.Subscribe(endpoint_id=endpoint_id)
    yield v1.ReceiveDeliveriesRequest(subscribe=subscribe)


async def test_no_tenant_sees_or_changes_what_another_one_has(server: Server, desk: Desk, receiver: Receiver) -> None:
    receiver.acts = [410]
    made = (await desk.create("mine", url=receiver.url())).endpoint
    await desk.run(await desk.caller.agent("scripted/echo"))
    (delivery,) = await desk.settled()
    mine = await desk.get(made.id)

    use_cases = server.use_cases.callbacks
    for call, reason in (
        (use_cases.endpoints.get("other", v1.GetEndpointRequest(endpoint_id=made.id)), "ENDPOINT_NOT_FOUND"),
        (use_cases.endpoints.update("other", v1.UpdateEndpointRequest(endpoint_id=made.id)), "ENDPOINT_NOT_FOUND"),
        (use_cases.endpoints.delete("other", v1.DeleteEndpointRequest(endpoint_id=made.id)), "ENDPOINT_NOT_FOUND"),
        (use_cases.endpoints.rotate_secret("other", v1.RotateSecretRequest(endpoint_id=made.id)), "ENDPOINT_NOT_FOUND"),
        (use_cases.endpoints.test("other", v1.TestEndpointRequest(endpoint_id=made.id)), "ENDPOINT_NOT_FOUND"),
        (use_cases.deliveries.get("other", v1.GetDeliveryRequest(delivery_id=delivery.id)), "DELIVERY_NOT_FOUND"),
        (
            use_cases.deliveries.redeliver("other", v1.RedeliverRequest(delivery_ids=[delivery.id])),
            "DELIVERY_NOT_FOUND",
        ),
        (use_cases.deliveries.redeliver("other", v1.RedeliverRequest(endpoint_id=made.id)), "ENDPOINT_NOT_FOUND"),
    ):
        with pytest.raises(ServiceError) as raised:
            await call
        assert raised.value.reason == reason
    assert not (await use_cases.endpoints.list("other", v1.ListEndpointsRequest())).endpoints
    for asked in (
        v1.ListDeliveriesRequest(),
        v1.ListDeliveriesRequest(endpoint_id=made.id),
        v1.ListDeliveriesRequest(run_id=delivery.run_id),
    ):
        listed = await use_cases.deliveries.list("other", asked)
        assert not listed.deliveries

    with pytest.raises(ServiceError) as raised:
        await anext(use_cases.pulling.receive("other", _subscribing(made.id)))
    assert raised.value.reason == "ENDPOINT_NOT_FOUND"

    theirs = v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(url=URL), request_id="mine")
    assert (await use_cases.endpoints.create("other", theirs)).endpoint.id != made.id
    assert await desk.pages() == [[made.id]]
    assert await desk.get(made.id) == mine
    assert await desk.delivery(delivery.id) == delivery
