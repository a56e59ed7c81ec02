"""Registered receivers of callbacks, and what became of each delivery: the words and requests of `CallbackService`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from sendoff.methods import Call
from sendoff.requests import new_request_id


class EndpointFields(TypedDict, total=False):
    """What an endpoint has, and may be changed later."""

    url: str | None
    """Where the server POSTs. Unset: what it gets is handed out, and it keeps to that."""
    event_types: Sequence[str]
    """Of "run.started", "run.action_required" and "run.finished"; empty: the last two."""
    include_run: bool
    """Whether bodies tell the run and its result."""
    disabled: bool
    """Whether it gets nothing. Enabled again, `redeliver` sends what it has missed."""
    description: str


class DeliveryFilters(TypedDict, total=False):
    """Which deliveries to list; all that are given must hold. See ListDeliveriesRequest."""

    run_id: str | None
    endpoint_id: str | None
    statuses: Sequence[v1.DeliveryStatus.ValueType]
    """One of these."""
    page_size: int


def create_endpoint(
    agent_id: str | None, request_id: str | None, fields: EndpointFields
) -> Call[v1.CreateEndpointRequest, v1.CreateEndpointResponse]:
    """CreateEndpoint, with a request_id in any case."""
    endpoint = v1.CallbackEndpoint(agent_id=agent_id, **fields)
    request = v1.CreateEndpointRequest(endpoint=endpoint, request_id=request_id or new_request_id())
    return Call(methods.CREATE_ENDPOINT, request, is_repeatable=True)


def get_endpoint(endpoint_id: str) -> Call[v1.GetEndpointRequest, v1.CallbackEndpoint]:
    return methods.GET_ENDPOINT.call(v1.GetEndpointRequest(endpoint_id=endpoint_id))


def update_endpoint(
    endpoint_id: str, etag: str | None, fields: EndpointFields
) -> Call[v1.UpdateEndpointRequest, v1.CallbackEndpoint]:
    """UpdateEndpoint of exactly the fields that are given, be they empty. With an etag it is not repeated, as
    UpdateAgent."""
    request = v1.UpdateEndpointRequest(
        endpoint_id=endpoint_id,
        endpoint=v1.CallbackEndpoint(etag=etag or "", **fields),
        update_mask=FieldMask(paths=sorted(fields)),
    )
    return Call(methods.UPDATE_ENDPOINT, request, is_repeatable=not etag)


def delete_endpoint(endpoint_id: str) -> Call[v1.DeleteEndpointRequest, v1.DeleteEndpointResponse]:
    return methods.DELETE_ENDPOINT.call(v1.DeleteEndpointRequest(endpoint_id=endpoint_id))


def rotate_secret(endpoint_id: str, overlap_s: float | None) -> Call[v1.RotateSecretRequest, v1.RotateSecretResponse]:
    """RotateSecret; `overlap_s` None is the server's default."""
    request = v1.RotateSecretRequest(endpoint_id=endpoint_id)
    if overlap_s is not None:
        overlap = Duration()
        overlap.FromNanoseconds(round(overlap_s * 1e9))
        request.overlap.CopyFrom(overlap)
    return methods.ROTATE_SECRET.call(request)


def test_endpoint(endpoint_id: str) -> Call[v1.TestEndpointRequest, v1.TestEndpointResponse]:
    return methods.TEST_ENDPOINT.call(v1.TestEndpointRequest(endpoint_id=endpoint_id))


def get_delivery(delivery_id: str) -> Call[v1.GetDeliveryRequest, v1.Delivery]:
    return methods.GET_DELIVERY.call(v1.GetDeliveryRequest(delivery_id=delivery_id))


def list_deliveries(filters: DeliveryFilters) -> v1.ListDeliveriesRequest:
    return v1.ListDeliveriesRequest(**filters)


def redeliver(delivery_ids: Sequence[str]) -> Call[v1.RedeliverRequest, v1.RedeliverResponse]:
    return methods.REDELIVER.call(v1.RedeliverRequest(delivery_ids=delivery_ids))


def redeliver_missed(endpoint_id: str, since: Timestamp | None) -> Call[v1.RedeliverRequest, v1.RedeliverResponse]:
    return methods.REDELIVER.call(v1.RedeliverRequest(endpoint_id=endpoint_id, since=since))
