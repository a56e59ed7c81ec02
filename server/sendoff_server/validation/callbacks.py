"""Rules of the requests of `CallbackService`."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.validation.callback_options import check_event_types
from sendoff_server.validation.limits import MAX_KEY_CHARACTERS
from sendoff_server.validation.rules import (
    AGENT_ID,
    DELIVERY_ID,
    ENDPOINT_ID,
    RUN_ID,
    check_duration,
    check_enum,
    check_id,
    check_items,
    check_length,
    check_number,
    check_url,
)
from sendoff_server.validation.violations import Violations

ENDPOINT_UPDATABLE = ("url", "event_types", "include_run", "disabled", "description")
"""What an update mask may name."""

_MADE_BY_CALLERS = (*ENDPOINT_UPDATABLE, "agent_id")
_SCHEMES = ("http", "https")
_URL_BYTES = 8_192
_DESCRIPTION_CHARACTERS = 1_000
_MOST_REDELIVERED = 1_000
_LONGEST_OVERLAP_S = 7 * 24 * 3_600
_STATUSES = frozenset(v1.DeliveryStatus.values()) - {0}
_NANOSECONDS = 1_000_000_000


def check_create_endpoint(request: v1.CreateEndpointRequest) -> None:
    found = Violations()
    if request.HasField("endpoint"):
        endpoint = request.endpoint
        _check_endpoint(found, endpoint)
        for field, _ in endpoint.ListFields():
            if field.name not in _MADE_BY_CALLERS:
                found.add(f"endpoint.{field.name}", "is made by the server")
    else:
        found.add("endpoint", "must be set")
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    found.refuse()


def check_get_endpoint(request: v1.GetEndpointRequest) -> None:
    _check_endpoint_id(request)


def check_list_endpoints(request: v1.ListEndpointsRequest) -> None:
    found = Violations()
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_update_endpoint(request: v1.UpdateEndpointRequest) -> None:
    """Output-only fields are let through, so that an endpoint that was read can be sent back changed. Whether it keeps
    to its kind is not known here."""
    found = Violations()
    check_id(found, "endpoint_id", request.endpoint_id, ENDPOINT_ID)
    _check_endpoint(found, request.endpoint)
    if request.endpoint.id not in ("", request.endpoint_id):
        found.add("endpoint.id", "must be endpoint_id or empty")
    for index, path in enumerate(request.update_mask.paths):
        if path not in ENDPOINT_UPDATABLE:
            found.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(ENDPOINT_UPDATABLE)}")
    found.refuse()


def check_delete_endpoint(request: v1.DeleteEndpointRequest) -> None:
    _check_endpoint_id(request)


def check_rotate_secret(request: v1.RotateSecretRequest) -> None:
    found = Violations()
    check_id(found, "endpoint_id", request.endpoint_id, ENDPOINT_ID)
    if request.HasField("overlap"):
        check_duration(found, "overlap", request.overlap, least_s=0, most_s=_LONGEST_OVERLAP_S)
    found.refuse()


def check_test_endpoint(request: v1.TestEndpointRequest) -> None:
    _check_endpoint_id(request)


def check_get_delivery(request: v1.GetDeliveryRequest) -> None:
    found = Violations()
    check_id(found, "delivery_id", request.delivery_id, DELIVERY_ID)
    found.refuse()


def check_list_deliveries(request: v1.ListDeliveriesRequest) -> None:
    found = Violations()
    if request.HasField("run_id"):
        check_id(found, "run_id", request.run_id, RUN_ID)
    if request.HasField("endpoint_id"):
        check_id(found, "endpoint_id", request.endpoint_id, ENDPOINT_ID)
    for index, status in enumerate(request.statuses):
        check_enum(found, f"statuses[{index}]", status, _STATUSES)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_redeliver(request: v1.RedeliverRequest) -> None:
    found = Violations()
    by_endpoint = request.HasField("endpoint_id")
    if not by_endpoint and not request.delivery_ids:
        found.add("delivery_ids", "must name deliveries, or endpoint_id an endpoint")
    if by_endpoint and request.delivery_ids:
        found.add("delivery_ids", "may not stand together with endpoint_id")
    if check_items(found, "delivery_ids", len(request.delivery_ids), most=_MOST_REDELIVERED):
        for index, delivery_id in enumerate(request.delivery_ids):
            check_id(found, f"delivery_ids[{index}]", delivery_id, DELIVERY_ID)
    if by_endpoint:
        check_id(found, "endpoint_id", request.endpoint_id, ENDPOINT_ID)
    if request.HasField("since"):
        _check_since(found, request.since, by_endpoint=by_endpoint)
    found.refuse()


def _check_since(found: Violations, since: Timestamp, *, by_endpoint: bool) -> None:
    if not by_endpoint:
        found.add("since", "goes with endpoint_id only")
    if not 0 <= since.nanos < _NANOSECONDS:
        found.add("since", "is not a time: nanos must be from 0 to 999,999,999")


def _check_endpoint(found: Violations, endpoint: v1.CallbackEndpoint) -> None:
    if endpoint.HasField("url"):
        check_url(found, "endpoint.url", endpoint.url, _SCHEMES, most=_URL_BYTES)
    check_event_types(found, "endpoint.event_types", endpoint.event_types)
    if endpoint.HasField("agent_id"):
        check_id(found, "endpoint.agent_id", endpoint.agent_id, AGENT_ID)
    check_length(found, "endpoint.description", endpoint.description, most=_DESCRIPTION_CHARACTERS)


def _check_endpoint_id(
    request: v1.GetEndpointRequest | v1.DeleteEndpointRequest | v1.TestEndpointRequest,
) -> None:
    found = Violations()
    check_id(found, "endpoint_id", request.endpoint_id, ENDPOINT_ID)
    found.refuse()
