"""Registered receivers of callbacks, and what became of each delivery: beyond the API.

Requests and answers are those of the contract, with its names. ReceiveDeliveries, on which both sides speak at any
time, is gRPC's alone.
"""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, message_of, path_id, queried
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.renaming import told_as
from sendoff_server.gateway.routes.sending_async import idempotency_key
from sendoff_server.use_cases import UseCases
from sendoff_server.validation import ENDPOINT_UPDATABLE

_NAMES = {"endpoint": ""}


def _endpoint_id(request: Request) -> str:
    return path_id(request, "endpoint_id", "endpoint")


# ---- endpoints ----


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/callback-endpoints: the one answer, beside that of a rotation, that tells a secret"""
    wanted = v1.CreateEndpointRequest(endpoint=message_of(v1.CallbackEndpoint, await body_of(request)))
    if (key := idempotency_key(request)) is not None:
        wanted.request_id = key
    with told_as(_NAMES):
        return answer(written(await use_cases.callbacks.endpoints.create(acting().tenant, wanted)))


async def list_endpoints(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/callback-endpoints: newest first, by pages of `page_size`; `page_token` is from the page before"""
    listed = await use_cases.callbacks.endpoints.list(acting().tenant, queried(v1.ListEndpointsRequest, request))
    return answer(written(listed))


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/callback-endpoints/{endpoint_id}: without its secrets"""
    wanted = v1.GetEndpointRequest(endpoint_id=_endpoint_id(request))
    return answer(written(await use_cases.callbacks.endpoints.get(acting().tenant, wanted)))


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/callback-endpoints/{endpoint_id}: members that are there are changed, null empties them; with `etag`
    only if it is still that one"""
    body = await body_of(request)
    wanted = v1.UpdateEndpointRequest(
        endpoint_id=_endpoint_id(request),
        endpoint=message_of(v1.CallbackEndpoint, body),
        update_mask=FieldMask(paths=[name for name in ENDPOINT_UPDATABLE if name in body]),
    )
    with told_as(_NAMES):
        return answer(written(await use_cases.callbacks.endpoints.update(acting().tenant, wanted)))


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/callback-endpoints/{endpoint_id}: with its deliveries; those that wait are not sent any more"""
    wanted = v1.DeleteEndpointRequest(endpoint_id=_endpoint_id(request))
    await use_cases.callbacks.endpoints.delete(acting().tenant, wanted)
    return answer(None)


async def rotate_secret(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/callback-endpoints/{endpoint_id}:rotateSecret: the present secrets sign for `overlap` seconds more, 24
    hours by default"""
    told = {**await body_of(request), "endpoint_id": _endpoint_id(request)}
    wanted = message_of(v1.RotateSecretRequest, told)
    return answer(written(await use_cases.callbacks.endpoints.rotate_secret(acting().tenant, wanted)))


async def test(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/callback-endpoints/{endpoint_id}:test: an event of type endpoint.test, sent once; the attempt has no
    error if it has arrived"""
    wanted = v1.TestEndpointRequest(endpoint_id=_endpoint_id(request))
    return answer(written(await use_cases.callbacks.endpoints.test(acting().tenant, wanted)))


# ---- deliveries ----


async def list_deliveries(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/callback-deliveries: newest first, by pages of `page_size`; `page_token` is from the page before"""
    listed = await use_cases.callbacks.deliveries.list(acting().tenant, queried(v1.ListDeliveriesRequest, request))
    return answer(written(listed))


async def retrieve_delivery(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/callback-deliveries/{delivery_id}: with its last attempts"""
    wanted = v1.GetDeliveryRequest(delivery_id=path_id(request, "delivery_id", "delivery"))
    return answer(written(await use_cases.callbacks.deliveries.get(acting().tenant, wanted)))


async def redeliver(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/callback-deliveries:redeliver: those of `delivery_ids`, or all dead letters of `endpoint_id`"""
    wanted = message_of(v1.RedeliverRequest, await body_of(request))
    return answer(written(await use_cases.callbacks.deliveries.redeliver(acting().tenant, wanted)))


TABLE: Table = (
    ("POST", "/v1/callback-endpoints", create),
    ("GET", "/v1/callback-endpoints", list_endpoints),
    ("GET", "/v1/callback-endpoints/{endpoint_id}", retrieve),
    ("PATCH", "/v1/callback-endpoints/{endpoint_id}", update),
    ("DELETE", "/v1/callback-endpoints/{endpoint_id}", delete),
    ("POST", "/v1/callback-endpoints/{endpoint_id}:rotateSecret", rotate_secret),
    ("POST", "/v1/callback-endpoints/{endpoint_id}:test", test),
    ("GET", "/v1/callback-deliveries", list_deliveries),
    ("GET", "/v1/callback-deliveries/{delivery_id}", retrieve_delivery),
    ("POST", "/v1/callback-deliveries:redeliver", redeliver),
)
