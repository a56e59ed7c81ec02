"""Bytes that no generated client sends, made by lot from what the contract says."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from sendoff.v1 import (
    action_service_pb2,
    agent_service_pb2,
    block_service_pb2,
    callback_service_pb2,
    conversation_service_pb2,
    file_service_pb2,
    model_service_pb2,
    ops_service_pb2,
    run_service_pb2,
    step_service_pb2,
    tool_service_pb2,
)

FILES = (
    action_service_pb2,
    agent_service_pb2,
    block_service_pb2,
    callback_service_pb2,
    conversation_service_pb2,
    file_service_pb2,
    model_service_pb2,
    ops_service_pb2,
    run_service_pb2,
    step_service_pb2,
    tool_service_pb2,
)
_TEXTS = (
    "",
    "x",
    "\0",
    "🌍" * 50,
    "agent-00000000-0000-4000-8000-000000000000",
    "a" * 3_000,
    "'; --",
    "%s%n",
    "\u202e",
)
_NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 7)
_FEW = 3


def methods() -> Iterator[MethodDescriptor]:
    """All of the contract."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def requests(method: MethodDescriptor, chance: Random, count: int) -> Iterator[bytes]:
    """So many, of all kinds; the worst of all are among them."""
    yield from WORST
    for number in range(count):
        made = GetMessageClass(method.input_type)()
        _fill(made, chance, 4)
        data = made.SerializeToString()
        yield (data, _flipped(data, chance), chance.randbytes(chance.randrange(200)))[number % 3]


def _nested(depth: int) -> bytes:
    """Field 1 in field 1 in field 1; most kinds have a message or a text there."""
    data = b""
    for _ in range(depth):
        data = b"\x0a" + _varint(len(data)) + data
    return data


def _varint(number: int) -> bytes:
    data = b""
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


WORST = (
    b"\xff",
    b"\xff" * 11,
    b"\x08" + b"\xff" * 9 + b"\x01",  # the largest number there is
    b"\x08" + b"\x80" * 4_000,  # a number without an end
    b"\x0a\xff\xff\xff\xff\x07",  # a text of 2 GB, said to come
    b"\x0b" * 20_000,  # groups in groups, none of which ends
    _nested(5_000),
    b"\x0a\x02\xc3\x28",  # no UTF-8
    b"\xfa\xff\xff\xff\x0f\x01x",  # the last number of a field
    b"\x00\x00",  # there is no field 0
)


def _flipped(data: bytes, chance: Random) -> bytes:
    spoilt = bytearray(data or b"\0")
    for _ in range(chance.randint(1, 4)):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def _fill(message: Any, chance: Random, depth: int) -> None:
    kind: Descriptor = message.DESCRIPTOR
    for field in kind.fields:
        if chance.random() < 0.5:
            _set(message, field, chance, depth)


def _set(message: Any, field: FieldDescriptor, chance: Random, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.message_type is not None:
        if depth:
            inner = getattr(message, field.name)
            _fill(inner.add() if field.is_repeated else inner, chance, depth - 1)
    elif field.is_repeated:
        getattr(message, field.name).extend(_value(field, chance) for _ in range(chance.randrange(_FEW)))
    else:
        setattr(message, field.name, _value(field, chance))


def _value(field: FieldDescriptor, chance: Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            text = chance.choice(_TEXTS)
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        case FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return chance.choice((0.0, -1.0, float("nan"), float("inf"), 1e30))
        case FieldDescriptor.CPPTYPE_UINT32 | FieldDescriptor.CPPTYPE_UINT64:
            return abs(chance.choice(_NUMBERS[:-2]))
        case _:
            return chance.choice(_NUMBERS)
