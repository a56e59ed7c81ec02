"""A contract that does not exist yet: today's, grown in every place where it may grow, and messages that use all of it.

Every message has a text, a message and numbers that today's does not know, every enum but the closed one a value more,
every union an arm more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import Message

from tests.evolution.contracts import PACKAGE, Contract
from tests.evolution.exchanges import Exchange
from tests.evolution.recordings import Recording
from tests.evolution.today import TODAY

NEW_TEXT = "told tomorrow"
NEW_VALUE = 1000
CLOSED = f"{PACKAGE}.RunStatus"
_FIRST = 1000
"""Numbers of the new fields, where nobody has taken or reserved any."""
_FILE = "sendoff/v1/novelty.proto"
_NEW_ARMS = {"RunEvent": ("event", "step_started"), "Message": ("kind", "user_message")}
"""Unions, each with an arm in whose place the new one comes."""


def _grown(files: FileDescriptorSet) -> FileDescriptorSet:
    grown = FileDescriptorSet()
    grown.CopyFrom(files)
    novelty = DescriptorProto(name="Novelty", field=[_field("text", 1, FieldDescriptorProto.TYPE_STRING)])
    grown.file.insert(0, FileDescriptorProto(name=_FILE, package=PACKAGE, syntax="proto3", message_type=[novelty]))
    for file in grown.file[1:]:
        if file.package == PACKAGE:
            file.dependency.append(_FILE)
            for enum in file.enum_type:
                _grow_enum(enum)
            for message in file.message_type:
                _grow_message(message)
    return grown


def _grow_enum(enum: EnumDescriptorProto) -> None:
    if enum.name != CLOSED.rpartition(".")[2]:
        prefix = enum.value[0].name.removesuffix("UNSPECIFIED")
        enum.value.add(name=f"{prefix}NOVELTY", number=NEW_VALUE)


def _grow_message(message: DescriptorProto) -> None:
    if message.options.map_entry:
        return
    for nested in message.nested_type:
        _grow_message(nested)
    for enum in message.enum_type:
        _grow_enum(enum)
    unions = {
        field.oneof_index for field in message.field if field.HasField("oneof_index") and not field.proto3_optional
    }
    text, thing = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_MESSAGE
    message.field.append(_field("new_text", _FIRST, text))
    message.field.append(_field("new_thing", _FIRST + 1, thing))
    message.field.append(_field("new_numbers", _FIRST + 2, FieldDescriptorProto.TYPE_SINT64, repeated=True))
    for index in sorted(unions):
        message.field.append(_field(f"new_{message.oneof_decl[index].name}", _FIRST + 10 + index, thing))
        message.field[-1].oneof_index = index


def _field(name: str, number: int, kind: FieldDescriptorProto.Type.ValueType, *, repeated: bool = False) -> Any:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    field = FieldDescriptorProto(name=name, number=number, type=kind, label=label)
    if kind == FieldDescriptorProto.TYPE_MESSAGE:
        field.type_name = f".{PACKAGE}.Novelty"
    return field


TOMORROW = Contract(_grown(TODAY.files))


def told(name: str, raw: bytes, *, values: bool = True, arms: bool = True) -> bytes:
    """A message of today, by its short name, as tomorrow tells it: with all that is new, in all that it holds."""
    message = TOMORROW.messages[name].FromString(raw)
    _tell(message, values=values, arms=arms)
    return message.SerializeToString()


def _tell(message: Any, *, values: bool, arms: bool) -> None:
    for field, value in message.ListFields():
        if _is_open(field.enum_type) and values:
            _tell_value(message, field, value)
    for each in _held(message):
        _tell(each, values=values, arms=arms)
    message.new_text, message.new_thing.text = NEW_TEXT, NEW_TEXT
    message.new_numbers[:] = [-1, 1 << 40]
    union, arm = _NEW_ARMS.get(message.DESCRIPTOR.name, ("", ""))
    if arms and union and message.WhichOneof(union) == arm:
        getattr(message, f"new_{union}").text = NEW_TEXT


def _tell_value(message: Any, field: FieldDescriptor, value: Any) -> None:
    if isinstance(value, int):
        setattr(message, field.name, NEW_VALUE)
    else:
        value.append(NEW_VALUE)


def _is_open(enum: EnumDescriptor | None) -> bool:
    return enum is not None and enum.full_name.startswith(PACKAGE) and enum.full_name != CLOSED


def _held(message: Message) -> Iterator[Message]:
    """The messages of ours in it."""
    for field, value in message.ListFields():
        described = field.message_type
        if described is None or not described.full_name.startswith(PACKAGE) or described.GetOptions().map_entry:
            continue
        yield from [value] if isinstance(value, Message) else value


def untold(message: Message) -> list[str]:
    """Names of the messages in it that have lost what is new."""
    missing = [] if getattr(message, "new_text", "") == NEW_TEXT else [message.DESCRIPTOR.full_name]
    return missing + [name for each in _held(message) if each.DESCRIPTOR.name != "Novelty" for name in untold(each)]


def answered_tomorrow(recording: Recording) -> Recording:
    """The same calls, as a server of tomorrow answers them; its streams have frames that today's do not know."""
    return Recording("tomorrow", recording.contract, [_answered(made) for made in recording.exchanges])


def _answered(made: Exchange) -> Exchange:
    name = TODAY.methods[made.method].output_type.name
    responses = [told(name, response) for response in made.responses]
    if name == "WatchRunResponse":
        frame: Any = TOMORROW.messages[name]()
        frame.new_frame.text = NEW_TEXT
        responses = [part for response in responses for part in (frame.SerializeToString(), response)]
    return Exchange(made.method, made.requests, responses, made.code, made.details, made.headers)
