"""From messages of the contract to the API's JSON. Writers are compiled from the descriptors, once for each type.

Every declared member is there; what is unset is null, or the empty list.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff_server.gateway.codec.shapes import Shape, enum_words, is_list_in_arm, shape, union, union_name

Json = Any
Write = Callable[[Any], Json]


def written(message: Message) -> Json:
    """The message as JSON."""
    return writer(message.DESCRIPTOR)(message)


def moment(time: Timestamp) -> str:
    """UTC, microseconds (left out when they are zero), Z."""
    return time.ToDatetime(UTC).isoformat().replace("+00:00", "Z")


def whole_seconds(time: Timestamp) -> str:
    """As `date` of a message has it."""
    return time.ToDatetime(UTC).replace(microsecond=0).isoformat()


@cache
def writer(descriptor: Descriptor) -> Write:
    """The writer for messages of that type."""
    match shape(descriptor):
        case Shape.LIST:
            return _list(descriptor.fields[0])
        case Shape.UNION:
            return _union(descriptor)
        case Shape.SOURCE:
            return _source(descriptor)
        case Shape.TEXT_OR_PARTS:
            return _text_or_parts
        case Shape.JSON:
            return lambda message: json.loads(message.json) if message.json else {}
        case Shape.MOMENT:
            return moment
        case Shape.DURATION:
            return lambda message: message.ToNanoseconds() / 1e9
        case _:
            return _object(descriptor)


def _arm(message: Message) -> Json:
    """An arm of a union: its members stand beside the `type`, also where there is only a list."""
    return _arm_writer(message.DESCRIPTOR)(message)


@cache
def _arm_writer(descriptor: Descriptor) -> Write:
    return _object(descriptor) if is_list_in_arm(descriptor) else writer(descriptor)


def _object(descriptor: Descriptor, without: frozenset[str] = frozenset()) -> Write:
    members: list[tuple[str, Write]] = []

    def write(message: Any) -> Json:
        if not members:  # filled at first use: types refer to each other
            members.extend((field.name, _member(field)) for field in descriptor.fields if field.name not in without)
        return {name: write_member(message) for name, write_member in members}

    return write


def _member(field: FieldDescriptor) -> Write:
    """Writes one field of a message."""
    name, each = field.name, _value(field)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return lambda message: dict(getattr(message, name))
    if field.is_repeated:
        return lambda message: [each(item) for item in getattr(message, name)]
    if field.has_presence:
        return lambda message: each(getattr(message, name)) if message.HasField(name) else None
    return lambda message: each(getattr(message, name))


def _value(field: FieldDescriptor) -> Write:
    if field.message_type is not None:
        return writer(field.message_type)
    if field.enum_type is not None:
        words = {number: word for word, number in enum_words(field.enum_type).items()}
        return words.get
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    return lambda value: value


def _list(field: FieldDescriptor) -> Write:
    return _member(field)


def _union(descriptor: Descriptor) -> Write:
    arms = frozenset(field.name for field in union(descriptor))
    plain = frozenset(field.name for field in union(descriptor) if field.message_type is None)
    name = union_name(descriptor)
    beside: list[Write] = []

    def write(message: Any) -> Json:
        if not beside:
            beside.append(_object(descriptor, arms))
        arm = message.WhichOneof(name)
        told = {"type": arm, **beside[0](message)}
        if arm in plain:
            return {**told, arm: getattr(message, arm)}
        return {**told, **_arm(getattr(message, arm))} if arm else told

    return write


def _source(descriptor: Descriptor) -> Write:
    name = union_name(descriptor)

    def write(message: Any) -> Json:
        arm = message.WhichOneof(name)
        return {name: {"type": arm, **_arm(getattr(message, arm))} if arm else None}

    return write


def _text_or_parts(message: Any) -> Json:
    if message.WhichOneof("form") == "parts":
        return [written(part) for part in message.parts.parts]
    return message.text
