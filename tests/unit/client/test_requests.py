"""What a caller says in Python is what the request says."""

from __future__ import annotations

import json

import pytest
from google.protobuf.duration_pb2 import Duration

from sendoff import requests, v1
from sendoff.requests import Input, SendOptions
from tests.unit.client.scripted_server import AGENT_ID


def send(input: Input = "Hello", **options: object) -> v1.CreateMessageAsyncRequest:
    given: SendOptions = options  # type: ignore[assignment] # tests name them freely
    return requests.send(AGENT_ID, input, given).request


def test_text_stays_text() -> None:
    assert send("Hello").input.text == "Hello"


def test_content_is_sent_as_it_is() -> None:
    content = v1.Content(parts=v1.Content.Parts(parts=[v1.ContentPart(text=v1.Text(text="Hi"))]))

    assert send(content).input == content


def test_messages_may_be_of_both_kinds() -> None:
    message = v1.MessageCreate(role=v1.Role.ROLE_USER, content=v1.Content(text="Hi"))
    wrapped = v1.InputMessage(approval=v1.ApprovalCreate())

    sent = send([message, wrapped])

    assert list(sent.messages.messages) == [v1.InputMessage(message=message), wrapped]


def test_no_messages_are_not_the_same_as_no_payload() -> None:
    assert send([]).WhichOneof("payload") == "messages"


def test_how_long_a_run_is_kept_is_told_in_seconds() -> None:
    assert send(retention_s=7_200.5).scheduling == v1.Scheduling(retention=Duration(seconds=7_200, nanos=500_000_000))
    assert not send(retention_s=None).HasField("scheduling")


def test_every_option_stands_in_the_request() -> None:
    sent = send(
        conversation_id="conv-1",
        request_id="mine",
        override_model="m",
        override_system="",
        max_steps=3,
        callback_url="https://example.com/hook",
        callback=v1.CallbackOptions(include_run=True),
        metadata={"b": 1, "a": 2**60},
        labels={"k": "v"},
        when_busy=v1.WhenBusy.WHEN_BUSY_REJECT,
        include_return_message_types=[],
        validate_only=True,
    )

    assert sent == v1.CreateMessageAsyncRequest(
        agent_id=AGENT_ID,
        conversation_id="conv-1",
        request_id="mine",
        input=v1.Content(text="Hello"),
        override_model="m",
        override_system="",
        max_steps=3,
        callback_url="https://example.com/hook",
        callback=v1.CallbackOptions(include_run=True),
        metadata=v1.JsonObject(json='{"b": 1, "a": 1152921504606846976}'),
        labels={"k": "v"},
        scheduling=v1.Scheduling(when_busy=v1.WhenBusy.WHEN_BUSY_REJECT),
        include_return_message_types=v1.MessageTypes(),
        validate_only=True,
    )


def test_what_is_not_given_is_not_sent() -> None:
    sent = send()

    assert {field.name for field, _ in sent.ListFields()} == {"agent_id", "input", "request_id"}
    nothing: dict[str, None] = dict.fromkeys(SendOptions.__annotations__)
    assert {field.name for field, _ in send("Hello", **nothing).ListFields()} == {"agent_id", "input", "request_id"}


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": object()}])
def test_metadata_that_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        send(metadata=value)


def test_a_whole_request_is_sent_as_it_is_and_not_changed() -> None:
    own = v1.CreateMessageAsyncRequest(agent_id=AGENT_ID, request_id="mine")
    without = v1.CreateMessageAsyncRequest(agent_id=AGENT_ID)

    assert requests.create_message_async(own).request is own
    assert requests.create_message_async(without).request.request_id
    assert not without.HasField("request_id")


def test_an_update_names_the_fields_that_it_changes_be_they_empty() -> None:
    request = requests.update_agent(AGENT_ID, None, {"system": "", "metadata": {"a": 1}}).request

    assert list(request.update_mask.paths) == ["metadata", "system"]
    assert json.loads(request.agent.metadata.json) == {"a": 1}
    assert request.agent.etag == ""
    assert requests.update_agent(AGENT_ID, "e", {}).request.agent.etag == "e"
