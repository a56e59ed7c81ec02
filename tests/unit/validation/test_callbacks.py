"""What the rules of callback endpoints and deliveries come to together."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids, validation
from sendoff_server.errors import InvalidRequest
from sendoff_server.store import questions
from sendoff_server.validation import callback_options
from tests.unit.validation.checking import violated

ENDPOINT, OTHER = ids.derive("endpoint", 1), ids.derive("endpoint", 2)
DELIVERY = ids.derive("delivery", 1)
READ = v1.CallbackEndpoint(
    id=ENDPOINT,
    url="https://example.com/",
    disabled=True,
    disabled_reason="the receiver answered 410",
    create_time=Timestamp(seconds=1),
    update_time=Timestamp(seconds=2),
    etag="e",
)


def test_the_event_types_that_may_be_wanted_are_those_that_there_are() -> None:
    assert callback_options.EVENT_TYPES == questions.EVENT_TYPES


def test_everything_that_the_server_makes_is_refused_when_an_endpoint_is_made() -> None:
    assert sorted(violated(v1.CreateEndpointRequest(endpoint=READ))) == [
        "endpoint.create_time",
        "endpoint.disabled_reason",
        "endpoint.etag",
        "endpoint.id",
        "endpoint.update_time",
    ]


def test_all_that_is_wrong_with_an_endpoint_is_told_at_once() -> None:
    wrong = v1.CallbackEndpoint(url="x", event_types=["y"], agent_id="z", description="d" * 1_001)
    paths = ["endpoint.url", "endpoint.event_types[0]", "endpoint.agent_id", "endpoint.description"]
    assert violated(v1.CreateEndpointRequest(endpoint=wrong, request_id="")) == [*paths, "request_id"]
    assert violated(v1.UpdateEndpointRequest(endpoint_id="e", endpoint=wrong)) == ["endpoint_id", *paths]


@pytest.mark.parametrize("url", ["", "example.com", "https://", "https://a b/", "https://example.com:x/"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    assert violated(v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(url=url))) == ["endpoint.url"]


def test_an_endpoint_that_was_read_can_be_sent_back() -> None:
    assert violated(v1.UpdateEndpointRequest(endpoint_id=ENDPOINT, endpoint=READ)) == []
    assert violated(v1.UpdateEndpointRequest(endpoint_id=OTHER, endpoint=READ)) == ["endpoint.id"]


def test_a_mask_names_what_can_be_changed_and_nothing_else() -> None:
    mask = FieldMask(paths=["url", "agent_id", "disabled", "disabled_reason"])
    asked = v1.UpdateEndpointRequest(endpoint_id=ENDPOINT, update_mask=mask)
    assert violated(asked) == ["update_mask.paths[1]", "update_mask.paths[3]"]


def test_what_is_to_be_redelivered_is_named_one_way() -> None:
    assert violated(v1.RedeliverRequest()) == ["delivery_ids"]
    assert violated(v1.RedeliverRequest(delivery_ids=[DELIVERY])) == []


def test_a_stream_subscribes_with_its_first_frame_and_with_no_other() -> None:
    subscribe = v1.ReceiveDeliveriesRequest.Subscribe(endpoint_id=ENDPOINT)
    first, ack = v1.ReceiveDeliveriesRequest(subscribe=subscribe), v1.ReceiveDeliveriesRequest(ack_delivery_id=DELIVERY)
    validation.check_subscribe(first)
    validation.check_receipt(ack)
    for check, frame in ((validation.check_subscribe, ack), (validation.check_receipt, first)):
        with pytest.raises(InvalidRequest) as refused:
            check(frame)
        assert [each.field for each in refused.value.violations] == ["subscribe"]


def test_a_time_goes_with_an_endpoint_and_is_one() -> None:
    assert violated(v1.RedeliverRequest(delivery_ids=[DELIVERY], since=Timestamp())) == ["since"]
    assert violated(v1.RedeliverRequest(endpoint_id=ENDPOINT, since=Timestamp(nanos=-1))) == ["since"]
    assert violated(v1.RedeliverRequest(endpoint_id=ENDPOINT, since=Timestamp(nanos=1_000_000_000))) == ["since"]
    assert violated(v1.RedeliverRequest(endpoint_id=ENDPOINT, since=Timestamp(nanos=999_999_999))) == []
