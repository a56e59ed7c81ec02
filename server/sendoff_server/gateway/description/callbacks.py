"""Registered receivers of callbacks, and deliveries."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.codec.schemas import Schema, nullable
from sendoff_server.gateway.description.bodies import Bodies
from sendoff_server.gateway.description.forms import NOTHING, TEXT, Described, Table, an_id, list_of, noun, one_of
from sendoff_server.gateway.description.queries import query_of
from sendoff_server.store.questions import EVENT_TYPES

_ENDPOINT = noun("CallbackEndpoint")
_DELIVERY_ID = "delivery-5f0c1b9e-3a7d-4c28-9e61-d2b7a4f80c13"
_URL: Schema = {**TEXT, "format": "uri", "pattern": "^https?://"}
_EVENTS: Schema = {**list_of(one_of(EVENT_TYPES)), "uniqueItems": True}
_CONFLICT = frozenset({409})


def table(bodies: Bodies) -> Table:
    return {**_endpoints(bodies), **_deliveries(bodies)}


def _endpoints(bodies: Bodies) -> Table:
    one = "/v1/callback-endpoints/{endpoint_id}"
    changed = _body(bodies, etag=TEXT)
    return {
        ("POST", "/v1/callback-endpoints"): Described(
            body=_body(bodies, agent_id=an_id("agent")),
            example={"url": "https://shop.example/hooks/sendoff", "event_types": ["run.finished"], "include_run": True},
            answers=noun("NewCallbackEndpoint"),
            refused=frozenset({404, 409}),
            headers=("idempotency-key",),
        ),
        ("GET", "/v1/callback-endpoints"): Described(
            query=query_of(v1.ListEndpointsRequest.DESCRIPTOR), answers=noun("CallbackEndpoints")
        ),
        ("GET", one): Described(answers=_ENDPOINT),
        ("PATCH", one): Described(body=changed, example={"disabled": True}, answers=_ENDPOINT, refused=_CONFLICT),
        ("DELETE", one): Described(answers=NOTHING),
        ("POST", f"{one}:rotateSecret"): Described(
            body=bodies.only(v1.RotateSecretRequest.DESCRIPTOR, "overlap"),
            example={"overlap": 3_600},
            answers=noun("CallbackSecret"),
            refused=_CONFLICT,
        ),
        ("POST", f"{one}:test"): Described(answers=noun("CallbackTest"), refused=_CONFLICT),
    }


def _deliveries(bodies: Bodies) -> Table:
    return {
        ("GET", "/v1/callback-deliveries"): Described(
            query=query_of(v1.ListDeliveriesRequest.DESCRIPTOR), answers=noun("CallbackDeliveries")
        ),
        ("GET", "/v1/callback-deliveries/{delivery_id}"): Described(answers=noun("CallbackDelivery")),
        ("POST", "/v1/callback-deliveries:redeliver"): Described(
            body=bodies.of(v1.RedeliverRequest.DESCRIPTOR),
            example={"delivery_ids": [_DELIVERY_ID]},
            answers=noun("CallbackRedelivery"),
            refused=frozenset({404, 409}),
        ),
    }


def _body(bodies: Bodies, **more: Schema) -> Schema:
    """What a caller says of an endpoint."""
    names = ("include_run", "disabled", "description")
    told = bodies.only(v1.CallbackEndpoint.DESCRIPTOR, *names, url=_URL, event_types=_EVENTS, **more)
    told["properties"]["description"] = nullable({**TEXT, "maxLength": 1_000})
    return told
