"""Schemas of answers, drawn from what their writers make of messages in which nothing and everything is set.

So a description cannot forget a member, nor tell of one that is not there. A member that every example has is required;
one that is null in any example can be null.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from sendoff_server import ids
from sendoff_server.gateway.codec.schemas import Schema
from sendoff_server.gateway.codec.shapes import union

M = TypeVar("M", bound=Message)

FREE = "free"
"""The member of an object that stands for whatever a caller puts there."""
_DEEPEST = 5
_VARIANTS = 12
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_ID = re.compile(r"([a-z]+)-[0-9a-f]{8}-")
_PREFIXES = {"Run": "run", "Agent": "agent", "Message": "message", "Step": "step", "Conversation": "conv"}
_PREFIXES |= {"Block": "block", "Tool": "tool", "conversation": "conv", "StepFeedback": "step"}
_FIELD_IDS = ("run_id", "agent_id", "step_id", "conversation_id", "message_id", "tool_id", "block_id")


class _Look(NamedTuple):
    variant: int
    """Which arm is taken, and which value of an enum."""
    scalars: bool
    """Whether parts have the plain members that they can do without."""
    parts: bool
    """Whether parts have the parts that they can do without."""


_SIZES = ((True, True), (False, True), (False, False))
_LOOKS = [_Look(variant, *size) for variant in range(_VARIANTS) for size in _SIZES]


def examples(kind: type[M]) -> list[M]:
    """A message with nothing set, and messages with everything, which between them have every arm of every `oneof`."""
    return _distinct([_bare(kind), *(_filled(kind(), look, 0) for look in _LOOKS)])


def examples_of(kind: type[M], arm: str) -> list[M]:
    """The same for one arm of the message's `oneof`; the first has nothing else."""
    bare = _bare(kind)
    getattr(bare, arm).SetInParent()
    return _distinct([bare, *(_filled(kind(), look, 0, arm) for look in _LOOKS)])


def _distinct(messages: Iterable[M]) -> list[M]:
    return list({message.SerializeToString(deterministic=True): message for message in messages}.values())


def _bare(kind: type[M]) -> M:
    """With nothing but what every message of that type has: enums that cannot be absent."""
    bare = kind()
    descriptor: Descriptor = kind.DESCRIPTOR  # type: ignore[assignment]  # stubs name two classes that are one
    for field in descriptor.fields:
        if field.enum_type is not None and not field.is_repeated and not field.has_presence:
            setattr(bare, field.name, _scalar(field, 0))
    return bare


def _filled(message: M, look: _Look, depth: int, arm: str = "") -> M:
    if depth > _DEEPEST:
        return message
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        message.FromNanoseconds(1_772_619_300_123_456_000)  # type: ignore[attr-defined]  # it is a Timestamp
        return message
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]  # as above
    arms = union(descriptor)
    chosen = arm or (arms[look.variant % len(arms)].name if arms else "")
    if arms and not arm:
        look = look._replace(variant=look.variant // len(arms))  # so that each arm is seen with each arm within
    for field in descriptor.fields:
        wanted = look.parts if field.message_type is not None else look.scalars
        there = wanted or not depth or not (field.has_presence or field.enum_type is not None)
        if field.name == chosen or (field not in arms and there):
            _fill(message, field, look, depth)
    return message


def _fill(message: Message, field: FieldDescriptor, look: _Look, depth: int) -> None:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        getattr(message, field.name)[FREE] = "told"
    elif inner is not None:
        held = getattr(message, field.name)
        part = held.add() if field.is_repeated else held
        part.SetInParent()
        _filled(part, look, depth + 1)
    elif field.is_repeated:
        getattr(message, field.name).append(_scalar(field, look.variant))
    else:
        setattr(message, field.name, _scalar(field, look.variant))


def _scalar(field: FieldDescriptor, variant: int) -> Any:
    if field.enum_type is not None:
        numbers = [value.number for value in field.enum_type.values if value.number]
        return numbers[variant % len(numbers)]
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return b"bytes" if field.type == FieldDescriptor.TYPE_BYTES else _text(field)
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return 0.5
        case _:
            return 1


def _text(field: FieldDescriptor) -> str:
    if field.name in ("json", "arguments"):
        return f'{{"{FREE}": null}}'
    of = field.containing_type.name if field.containing_type is not None else ""
    prefix = _PREFIXES.get(of, "") if field.name == "id" else ""
    if field.name in _FIELD_IDS:
        prefix = _PREFIXES.get(field.name.removesuffix("_id"), field.name.removesuffix("_id"))
    return ids.derive(prefix, field.name) if prefix else "scripted/told"


# ---- schemas ----


def drawn(told: Sequence[Any], **known: Schema) -> Schema:
    """The schema that all of these values fit; `known` are members of an object about which more is known than the
    values show."""
    kinds = list(dict.fromkeys(_kind(value) for value in told))
    schema: Schema = {"type": kinds[0] if len(kinds) == 1 else kinds}
    objects = [value for value in told if isinstance(value, dict)]
    lists = [value for value in told if isinstance(value, list)]
    texts = [value for value in told if isinstance(value, str)]
    if objects:
        schema |= _object(objects, known)
    if lists and (items := [item for each in lists for item in each]):
        schema["items"] = drawn(items)
    if texts and "object" not in kinds and "array" not in kinds:
        schema |= _text_form(texts)
    return schema


def _kind(value: Any) -> str:
    kinds: Iterator[tuple[type, str]] = iter(
        [(bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object")]
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def _object(told: Sequence[Mapping[str, Any]], known: Mapping[str, Schema]) -> Schema:
    names = list(dict.fromkeys(name for each in told for name in each if name != FREE))
    always = [name for name in names if all(name in each for each in told)]
    properties = {
        name: _known(known[name], values) if name in known else drawn(values)
        for name, values in ((name, [each[name] for each in told if name in each]) for name in names)
    }
    return {"required": always, "properties": properties} if names else {}


def _known(schema: Schema, values: Sequence[Any]) -> Schema:
    if any(value is None for value in values) and None not in schema.get("enum", ()):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _text_form(told: Sequence[str]) -> Schema:
    if all(_MOMENT.fullmatch(text) for text in told):
        return {"format": "date-time"}
    prefixes = {found[1] if (found := _ID.match(text)) else "" for text in told if text}
    if len(prefixes) == 1 and (prefix := prefixes.pop()):
        return {"pattern": f"^{ids.pattern(prefix).pattern}$"}
    return {}
