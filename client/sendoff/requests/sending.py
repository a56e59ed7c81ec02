"""Requests that send messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from sendoff.methods import Call
from sendoff.requests.json_text import json_object
from sendoff.requests.request_ids import new_request_id

Input: TypeAlias = "str | v1.Content | Sequence[v1.MessageCreate | v1.InputMessage]"
"""What to work on: text, content with parts, or whole messages."""


class SendOptions(TypedDict, total=False):
    """How to work on a message; all are optional, and None is as if it were not given.

    See CreateMessageAsyncRequest.
    """

    conversation_id: str | None
    """Unset: the agent's own conversation."""
    request_id: str | None
    """Names this request: sent again, it is the same run. Unset: a new UUID."""
    override_model: str | None
    override_system: str | None
    max_steps: int | None
    callback_url: str | None
    """Where the server POSTs when the run has ended."""
    callback: v1.CallbackOptions | None
    """Of which events `callback_url` is told, with what, and signed by whom. Unset: of the end, as Letta does."""
    metadata: Mapping[str, Any] | None
    """Anything that JSON can hold."""
    labels: Mapping[str, str] | None
    retention_s: float | None
    """How long the run is kept once it has ended. Unset: as long as the server keeps runs."""
    when_busy: v1.WhenBusy.ValueType | None
    when_pending: v1.WhenPending.ValueType | None
    start_time: Timestamp | None
    """The run is not started before."""
    priority: int | None
    """1 to 5, 1 first."""
    fairness_key: str | None
    """Whom the run shares slots as."""
    client_tools: Sequence[v1.ClientTool] | None
    """Tools that run here."""
    limits: v1.Limits | None
    include_return_message_types: Sequence[v1.MessageType.ValueType] | None
    """Empty: none; unset: all."""
    validate_only: bool


def send(agent_id: str, input: Input, options: SendOptions) -> Call[v1.CreateMessageAsyncRequest, v1.Run]:
    """CreateMessageAsync, from its usual parts. The agent may be empty when a conversation is named."""
    request = v1.CreateMessageAsyncRequest(
        agent_id=agent_id,
        conversation_id=options.get("conversation_id"),
        request_id=options.get("request_id"),
        override_model=options.get("override_model"),
        override_system=options.get("override_system"),
        max_steps=options.get("max_steps"),
        callback_url=options.get("callback_url"),
        callback=options.get("callback"),
        labels=options.get("labels"),
        metadata=json_object(options.get("metadata")),
        client_tools=options.get("client_tools"),
        limits=options.get("limits"),
        validate_only=options.get("validate_only", False),
    )
    _put_input(request, input)
    if (types := options.get("include_return_message_types")) is not None:
        request.include_return_message_types.CopyFrom(v1.MessageTypes(values=types))
    _put_scheduling(request, options)
    return create_message_async(request)


def create_message_async(request: v1.CreateMessageAsyncRequest) -> Call[v1.CreateMessageAsyncRequest, v1.Run]:
    """CreateMessageAsync. A request without a request_id is copied and given one, so that it can be repeated."""
    if not request.HasField("request_id"):
        named = v1.CreateMessageAsyncRequest()
        named.CopyFrom(request)
        named.request_id = new_request_id()
        request = named
    return Call(methods.CREATE_MESSAGE_ASYNC, request, is_repeatable=True)


def _put_input(request: v1.CreateMessageAsyncRequest, input: Input) -> None:
    if isinstance(input, str):
        request.input.text = input
    elif isinstance(input, v1.Content):
        request.input.CopyFrom(input)
    else:
        # Copied whole, so that an empty list is sent as such, and refused.
        request.messages.CopyFrom(v1.InputMessages(messages=map(_input_message, input)))


def _put_scheduling(request: v1.CreateMessageAsyncRequest, options: SendOptions) -> None:
    if (retention_s := options.get("retention_s")) is not None:
        request.scheduling.retention.FromNanoseconds(round(retention_s * 1e9))
    if (when_busy := options.get("when_busy")) is not None:
        request.scheduling.when_busy = when_busy
    if (when_pending := options.get("when_pending")) is not None:
        request.scheduling.when_pending = when_pending
    if (start_time := options.get("start_time")) is not None:
        request.scheduling.start_time.CopyFrom(start_time)
    if (priority := options.get("priority")) is not None:
        request.scheduling.priority = priority
    if (fairness_key := options.get("fairness_key")) is not None:
        request.scheduling.fairness_key = fairness_key


def _input_message(message: v1.MessageCreate | v1.InputMessage) -> v1.InputMessage:
    return message if isinstance(message, v1.InputMessage) else v1.InputMessage(message=message)
