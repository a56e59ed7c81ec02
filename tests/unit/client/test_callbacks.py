"""Callback endpoints and deliveries, through both clients."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

import sendoff
from sendoff import callbacks, methods, v1
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, UNAVAILABLE, Asker, ScriptedServer

ENDPOINT_ID = "endpoint-00000000-0000-4000-8000-000000000001"
DELIVERY_ID = "delivery-00000000-0000-4000-8000-000000000001"
URL = "https://example.com/hook"
MADE = v1.CallbackEndpoint(id=ENDPOINT_ID, url=URL, etag="e1")
DELIVERY = v1.Delivery(id=DELIVERY_ID, status=v1.DELIVERY_STATUS_DELIVERED)


async def test_an_endpoint_is_made_once_however_often_it_is_sent(asker: Asker, server: ScriptedServer) -> None:
    answer = v1.CreateEndpointResponse(endpoint=MADE, secret="whsec_x")
    server.plan(methods.CREATE_ENDPOINT, UNAVAILABLE, answer)

    assert await asker.call("create_endpoint", url=URL, agent_id=AGENT_ID, event_types=["run.started"]) == answer

    first, second = server.asked(v1.CreateEndpointRequest)
    assert first == second
    assert len(first.request_id) == 36
    assert first.endpoint == v1.CallbackEndpoint(url=URL, agent_id=AGENT_ID, event_types=["run.started"])


async def test_a_request_id_of_the_caller_is_kept(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_ENDPOINT, v1.CreateEndpointResponse())

    await asker.call("create_endpoint", request_id="mine")

    assert server.requests == [v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(), request_id="mine")]


async def test_reads_and_changes_that_come_to_the_same_are_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_ENDPOINT, UNAVAILABLE, MADE)
    server.plan(methods.UPDATE_ENDPOINT, UNAVAILABLE, MADE)
    server.plan(methods.GET_DELIVERY, UNAVAILABLE, DELIVERY)
    server.plan(methods.REDELIVER, UNAVAILABLE, v1.RedeliverResponse(queued=2))

    assert await asker.call("get_endpoint", ENDPOINT_ID) == MADE
    assert await asker.call("update_endpoint", ENDPOINT_ID, disabled=False) == MADE
    assert await asker.call("get_delivery", DELIVERY_ID) == DELIVERY
    assert await asker.call("redeliver", [DELIVERY_ID]) == 2

    assert server.asked(v1.GetEndpointRequest)[1] == v1.GetEndpointRequest(endpoint_id=ENDPOINT_ID)
    assert server.asked(v1.GetDeliveryRequest)[1] == v1.GetDeliveryRequest(delivery_id=DELIVERY_ID)
    assert server.asked(v1.RedeliverRequest)[1] == v1.RedeliverRequest(delivery_ids=[DELIVERY_ID])


async def test_what_must_not_be_done_twice_is_not_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.ROTATE_SECRET, UNAVAILABLE)
    server.plan(methods.TEST_ENDPOINT, UNAVAILABLE)
    server.plan(methods.DELETE_ENDPOINT, UNAVAILABLE)
    server.plan(methods.UPDATE_ENDPOINT, UNAVAILABLE)

    for name in ("rotate_secret", "test_endpoint", "delete_endpoint"):
        with pytest.raises(sendoff.Unavailable):
            await asker.call(name, ENDPOINT_ID)
    with pytest.raises(sendoff.Unavailable):
        await asker.call("update_endpoint", ENDPOINT_ID, etag="e1", description="x")

    assert len(server.requests) == 4


def test_an_update_names_what_it_changes_also_what_it_empties() -> None:
    fields: callbacks.EndpointFields = {"event_types": [], "disabled": False, "description": "d"}
    assert callbacks.update_endpoint(ENDPOINT_ID, "e1", fields).request == v1.UpdateEndpointRequest(
        endpoint_id=ENDPOINT_ID,
        endpoint=v1.CallbackEndpoint(description="d", etag="e1"),
        update_mask=FieldMask(paths=["description", "disabled", "event_types"]),
    )


async def test_a_new_secret_is_told_and_the_overlap_is_the_servers_unless_it_is_given(
    asker: Asker, server: ScriptedServer
) -> None:
    server.plan(methods.ROTATE_SECRET, *[v1.RotateSecretResponse(secret=f"whsec_{number}") for number in range(3)])

    secrets = [
        await asker.call("rotate_secret", ENDPOINT_ID),
        await asker.call("rotate_secret", ENDPOINT_ID, overlap_s=0),
        await asker.call("rotate_secret", ENDPOINT_ID, overlap_s=1.5),
    ]

    assert secrets == ["whsec_0", "whsec_1", "whsec_2"]
    assert server.requests == [
        v1.RotateSecretRequest(endpoint_id=ENDPOINT_ID),
        v1.RotateSecretRequest(endpoint_id=ENDPOINT_ID, overlap=Duration()),
        v1.RotateSecretRequest(endpoint_id=ENDPOINT_ID, overlap=Duration(seconds=1, nanos=500_000_000)),
    ]


async def test_a_test_is_waited_for_longer_than_other_calls(asker: Asker, server: ScriptedServer) -> None:
    attempt = v1.DeliveryAttempt(status_code=500, error="the receiver answered 500")
    server.plan(methods.TEST_ENDPOINT, v1.TestEndpointResponse(attempt=attempt))

    assert await asker.call("test_endpoint", ENDPOINT_ID) == attempt

    (remaining_s,) = server.remaining_s
    assert remaining_s is not None
    assert 20 < remaining_s < 31, "gRPC rounds up"


async def test_an_endpoint_is_deleted(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.DELETE_ENDPOINT, v1.DeleteEndpointResponse())

    assert await asker.call("delete_endpoint", ENDPOINT_ID) is None
    assert server.requests == [v1.DeleteEndpointRequest(endpoint_id=ENDPOINT_ID)]


async def test_endpoints_and_deliveries_are_listed_page_by_page(asker: Asker, server: ScriptedServer) -> None:
    server.plan(
        methods.LIST_ENDPOINTS,
        v1.ListEndpointsResponse(endpoints=[MADE], next_page_token="next"),
        v1.ListEndpointsResponse(endpoints=[v1.CallbackEndpoint(id="2")]),
    )
    server.plan(
        methods.LIST_DELIVERIES,
        v1.ListDeliveriesResponse(deliveries=[DELIVERY], next_page_token="next"),
        v1.ListDeliveriesResponse(deliveries=[v1.Delivery(id="2")]),
    )
    dead = [v1.DELIVERY_STATUS_DEAD_LETTERED]

    assert [each.id for each in await asker.every("endpoints", page_size=1)] == [ENDPOINT_ID, "2"]
    listed = await asker.every("deliveries", run_id=RUN_ID, endpoint_id=ENDPOINT_ID, statuses=dead, page_size=1)
    assert [each.id for each in listed] == [DELIVERY_ID, "2"]

    narrowed = v1.ListDeliveriesRequest(run_id=RUN_ID, endpoint_id=ENDPOINT_ID, statuses=dead, page_size=1)
    further = v1.ListDeliveriesRequest(page_token="next")
    further.MergeFrom(narrowed)
    assert server.requests == [
        v1.ListEndpointsRequest(page_size=1),
        v1.ListEndpointsRequest(page_size=1, page_token="next"),
        narrowed,
        further,
    ]


async def test_what_an_endpoint_has_missed_is_redelivered_from_a_time_on(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.REDELIVER, *[v1.RedeliverResponse(queued=3)] * 2)

    assert await asker.call("redeliver_missed", ENDPOINT_ID) == 3
    assert await asker.call("redeliver_missed", ENDPOINT_ID, since=Timestamp(seconds=5)) == 3

    assert server.requests == [
        v1.RedeliverRequest(endpoint_id=ENDPOINT_ID),
        v1.RedeliverRequest(endpoint_id=ENDPOINT_ID, since=Timestamp(seconds=5)),
    ]
