"""Cases for the rules of callback endpoints and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration

from sendoff import v1
from sendoff_server import ids
from tests.unit.validation.rule_cases import (
    KIB,
    Field,
    bounds,
    characters,
    enum,
    identifier,
)

ENDPOINT = ids.derive("endpoint", 1)
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_AS_ENDPOINT_ID = {"as GetEndpointRequest.endpoint_id": identifier("endpoint")}
_MANY = [ids.derive("delivery", number) for number in range(1_001)]


def endpoint(**fields: Any) -> v1.CreateEndpointRequest:
    return v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(**fields))


def _url(length: int) -> str:
    return "https://example.com/".ljust(length, "x")


ENDPOINTS: Sequence[Field] = (
    Field(
        "CallbackEndpoint.url",
        "endpoint.url",
        lambda v: endpoint(url=v),
        {
            "string.uri_scheme = [http, https]": ("ftp://example.com/hook", "https://example.com:8443/hook?a=b"),
            "string.max_bytes = 8192": (_url(8 * KIB + 1), _url(8 * KIB)),
        },
    ),
    Field(
        "CallbackEndpoint.event_types",
        "endpoint.event_types[1]",
        lambda v: endpoint(event_types=["run.started", v]),
        {
            'repeated.items.string.in = ["run.started", "run.action_required", "run.finished"]': (
                "run.ended",
                "run.finished",
            ),
            "repeated.unique = true": ("run.started", "run.action_required"),
        },
    ),
    Field(
        "CallbackEndpoint.agent_id",
        "endpoint.agent_id",
        lambda v: endpoint(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field("CallbackEndpoint.description", "endpoint.description", lambda v: endpoint(description=v), characters(1_000)),
    Field(
        "CreateEndpointRequest.endpoint",
        "endpoint",
        lambda v: v1.CreateEndpointRequest(endpoint=v),
        {"required": (None, v1.CallbackEndpoint())},
    ),
    Field(
        "CreateEndpointRequest.request_id",
        "request_id",
        lambda v: v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(), request_id=v),
        characters(255, least=1),
    ),
    Field(
        "GetEndpointRequest.endpoint_id",
        "endpoint_id",
        lambda v: v1.GetEndpointRequest(endpoint_id=v),
        {f'string.pattern = "^endpoint-{_UUID}$"': identifier("endpoint")},
    ),
    Field(
        "ListEndpointsRequest.page_size",
        "page_size",
        lambda v: v1.ListEndpointsRequest(page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "UpdateEndpointRequest.endpoint_id",
        "endpoint_id",
        lambda v: v1.UpdateEndpointRequest(endpoint_id=v),
        _AS_ENDPOINT_ID,
    ),
    Field(
        "DeleteEndpointRequest.endpoint_id",
        "endpoint_id",
        lambda v: v1.DeleteEndpointRequest(endpoint_id=v),
        _AS_ENDPOINT_ID,
    ),
    Field(
        "RotateSecretRequest.endpoint_id",
        "endpoint_id",
        lambda v: v1.RotateSecretRequest(endpoint_id=v),
        _AS_ENDPOINT_ID,
    ),
    Field(
        "RotateSecretRequest.overlap",
        "overlap",
        lambda v: v1.RotateSecretRequest(endpoint_id=ENDPOINT, overlap=v),
        {
            "duration.gte = 0": (Duration(nanos=-1), Duration()),
            "duration.lte = 604800s": (Duration(seconds=604_800, nanos=1), Duration(seconds=604_800)),
        },
    ),
    Field(
        "TestEndpointRequest.endpoint_id",
        "endpoint_id",
        lambda v: v1.TestEndpointRequest(endpoint_id=v),
        _AS_ENDPOINT_ID,
    ),
)


def subscribing(**fields: Any) -> v1.ReceiveDeliveriesRequest:
    subscribe = v1.ReceiveDeliveriesRequest.Subscribe(**{"endpoint_id": ENDPOINT} | fields)
    return v1.ReceiveDeliveriesRequest(subscribe=subscribe)


RECEIVING: Sequence[Field] = (
    Field(
        "ReceiveDeliveriesRequest.frame",
        "frame",
        lambda v: v1.ReceiveDeliveriesRequest(**v),
        {"the first one is `subscribe`, and no other": ({}, {"ack_delivery_id": _MANY[0]})},
    ),
    Field(
        "ReceiveDeliveriesRequest.Subscribe.endpoint_id",
        "subscribe.endpoint_id",
        lambda v: subscribing(endpoint_id=v),
        _AS_ENDPOINT_ID,
    ),
    Field(
        "ReceiveDeliveriesRequest.Subscribe.max_unacked",
        "subscribe.max_unacked",
        lambda v: subscribing(max_unacked=v),
        bounds("int32", least=0, most=1_000),
    ),
    Field(
        "ReceiveDeliveriesRequest.Subscribe.ack_timeout",
        "subscribe.ack_timeout",
        lambda v: subscribing(ack_timeout=v),
        {
            "duration.gte = 1s": (Duration(nanos=999_999_999), Duration(seconds=1)),
            "duration.lte = 3600s": (Duration(seconds=3_600, nanos=1), Duration(seconds=3_600)),
        },
    ),
    Field(
        "ReceiveDeliveriesRequest.Nack.error",
        "nack.error",
        lambda v: v1.ReceiveDeliveriesRequest(nack=v1.ReceiveDeliveriesRequest.Nack(error=v)),
        characters(500),
    ),
)

DELIVERIES: Sequence[Field] = (
    Field(
        "GetDeliveryRequest.delivery_id",
        "delivery_id",
        lambda v: v1.GetDeliveryRequest(delivery_id=v),
        {f'string.pattern = "^delivery-{_UUID}$"': identifier("delivery")},
    ),
    Field(
        "ListDeliveriesRequest.run_id",
        "run_id",
        lambda v: v1.ListDeliveriesRequest(run_id=v),
        {f'string.pattern = "^run-{_UUID}$"': identifier("run")},
    ),
    Field(
        "ListDeliveriesRequest.endpoint_id",
        "endpoint_id",
        lambda v: v1.ListDeliveriesRequest(endpoint_id=v),
        _AS_ENDPOINT_ID,
    ),
    Field(
        "ListDeliveriesRequest.statuses",
        "statuses[0]",
        lambda v: v1.ListDeliveriesRequest(statuses=v),
        enum(v1.DELIVERY_STATUS_DEAD_LETTERED, many=True),
    ),
    Field(
        "ListDeliveriesRequest.page_size",
        "page_size",
        lambda v: v1.ListDeliveriesRequest(page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "RedeliverRequest",
        "delivery_ids",
        lambda v: v1.RedeliverRequest(**v),
        {
            "delivery_ids or endpoint_id, and not both": (
                {"delivery_ids": _MANY[:1], "endpoint_id": ENDPOINT},
                {"endpoint_id": ENDPOINT},
            )
        },
    ),
    Field(
        "RedeliverRequest.delivery_ids",
        "delivery_ids",
        lambda v: v1.RedeliverRequest(delivery_ids=v),
        {"repeated.max_items = 1000": (_MANY, _MANY[:1_000])},
    ),
    Field(
        "RedeliverRequest.delivery_ids",
        "delivery_ids[1]",
        lambda v: v1.RedeliverRequest(delivery_ids=[*_MANY[:1], v]),
        {"items as GetDeliveryRequest.delivery_id": identifier("delivery")},
    ),
    Field(
        "RedeliverRequest.endpoint_id",
        "endpoint_id",
        lambda v: v1.RedeliverRequest(endpoint_id=v),
        _AS_ENDPOINT_ID,
    ),
)
