"""From the API's JSON to messages of the contract. Readers are compiled from the descriptors, once for each type.

As the reference does, reading is lax where that harms nobody: unknown members are ignored, null is the same as absent
where a member can be absent, "3" is an int and "yes" a bool. Everything else is a violation with its path in the JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sendoff import v1
from sendoff_server.gateway.codec.shapes import (
    Shape,
    enum_words,
    is_list_in_arm,
    members_not_null,
    shape,
    union,
    union_name,
)
from sendoff_server.validation.violations import Violations, quoted

Fill = Callable[[Any, Any, str, Violations], None]
"""(message, value, path, found): put a JSON value into a message."""
Scalar = Callable[[Any, str, Violations], Any]
"""(value, path, found): a JSON value as protobuf takes it; None if it is told as a violation."""

_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_MOST_FLOAT = sys.float_info.max
_FALSE = frozenset({"false", "0", "no", "off", "f", "n"})
_INPUT_MESSAGE = v1.InputMessage.DESCRIPTOR.full_name


def read(message: Message, value: object, path: str, found: Violations) -> None:
    """Put a JSON value into an empty message; `path` is where it stands, empty for a whole body."""
    filler(message.DESCRIPTOR)(message, value, path, found)


@cache
def filler(descriptor: Descriptor) -> Fill:
    """The reader for messages of that type."""
    match shape(descriptor):
        case Shape.LIST:
            return _list(descriptor.fields[0])
        case Shape.UNION:
            return _input_message if descriptor.full_name == _INPUT_MESSAGE else _union(descriptor)
        case Shape.SOURCE:
            return _source(descriptor)
        case Shape.TEXT_OR_PARTS:
            return _text_or_parts
        case Shape.JSON:
            return _json
        case Shape.MOMENT:
            return _moment
        case Shape.DURATION:
            return _duration
        case _:
            return _object(descriptor)


# ---- messages ----


@cache
def _arm(descriptor: Descriptor) -> Fill:
    """The reader for an arm of a union, whose members stand beside the `type`, also where there is only a list."""
    return _object(descriptor) if is_list_in_arm(descriptor) else filler(descriptor)


def _object(descriptor: Descriptor, without: frozenset[str] = frozenset()) -> Fill:
    not_null = members_not_null(descriptor)
    members: list[tuple[str, Fill]] = []

    def fill(message: Any, value: Any, path: str, found: Violations) -> None:
        if not isinstance(value, dict):
            found.add(path, f"must be an object, is {_kind(value)}")
            return
        if not members:  # filled at first use: types refer to each other
            members.extend((field.name, _member(field)) for field in descriptor.fields if field.name not in without)
        for name, put in members:
            if (given := value.get(name)) is not None:
                put(message, given, f"{path}.{name}" if path else name, found)
            elif name in not_null and name in value:
                found.add(f"{path}.{name}" if path else name, "must not be null; leave it out")

    return fill


def _member(field: FieldDescriptor) -> Fill:
    """Puts a value into one field of a message."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map(field)
    if field.is_repeated:
        return _repeated(field)
    if field.message_type is not None:
        inner, name = filler(field.message_type), field.name

        def fill(message: Any, value: Any, path: str, found: Violations) -> None:
            part = getattr(message, name)
            part.SetInParent()
            inner(part, value, path, found)

        return fill
    return _plain(field)


def _plain(field: FieldDescriptor) -> Fill:
    read_scalar, name = _scalar(field), field.name

    def fill(message: Any, value: Any, path: str, found: Violations) -> None:
        if (told := read_scalar(value, path, found)) is not None:
            setattr(message, name, told)

    return fill


def _repeated(field: FieldDescriptor) -> Fill:
    name, of_message = field.name, field.message_type is not None
    inner = filler(field.message_type) if field.message_type is not None else None
    read_scalar = None if of_message else _scalar(field)

    def fill(message: Any, value: Any, path: str, found: Violations) -> None:
        if not isinstance(value, list):
            found.add(path, f"must be a list, is {_kind(value)}")
            return
        items = getattr(message, name)
        for index, each in enumerate(value):
            place = f"{path}[{index}]"
            if inner is not None:
                inner(items.add(), each, place, found)
            elif read_scalar is not None and (told := read_scalar(each, place, found)) is not None:
                items.append(told)

    return fill


def _map(field: FieldDescriptor) -> Fill:
    name = field.name

    def fill(message: Any, value: Any, path: str, found: Violations) -> None:
        if not isinstance(value, dict):
            found.add(path, f"must be an object, is {_kind(value)}")
            return
        for key, each in value.items():
            told = _string(each, f"{path}.{key}", found)
            if told is not None and _string(key, path, found) is not None:
                getattr(message, name)[key] = told

    return fill


def _list(field: FieldDescriptor) -> Fill:
    """A message that is written as the list it holds."""
    return _repeated(field)


# ---- unions ----


def _union(descriptor: Descriptor) -> Fill:
    arms = {field.name: field for field in union(descriptor)}
    beside: list[Fill] = []

    def fill(message: Any, value: Any, path: str, found: Violations) -> None:
        if not isinstance(value, dict):
            found.add(path, f"must be an object, is {_kind(value)}")
            return
        if not beside and len(descriptor.fields) > len(arms):
            beside.append(_object(descriptor, frozenset(arms)))
        for put in beside:
            put(message, value, path, found)
        _fill_arm(message, arms, value, path, found)

    return fill


def _fill_arm(message: Any, arms: Mapping[str, FieldDescriptor], value: Any, path: str, found: Violations) -> None:
    arm = value.get("type")
    if arm is None:
        found.add(f"{path}.type", f"must be set, to one of {', '.join(arms)}")
    elif not isinstance(arm, str) or arm not in arms:
        found.add(f"{path}.type", f"must be one of {', '.join(arms)}, is {quoted(str(arm))}")
    else:
        of = arms[arm].message_type
        if of is None:  # a plain value, which stands under the arm's name
            _plain(arms[arm])(message, value.get(arm), f"{path}.{arm}", found)
            return
        part = getattr(message, arm)
        part.SetInParent()
        _arm(of)(part, value, path, found)


def _source(descriptor: Descriptor) -> Fill:
    arms, name = {field.name: field for field in union(descriptor)}, union_name(descriptor)

    def fill(message: Any, value: Any, path: str, found: Violations) -> None:
        source = value.get(name) if isinstance(value, dict) else None
        if isinstance(source, dict):
            _fill_arm(message, arms, source, f"{path}.{name}", found)
        else:
            found.add(f"{path}.{name}", f"must be an object, is {_kind(source)}")

    return fill


def _input_message(message: Any, value: Any, path: str, found: Violations) -> None:
    """Without a type it is an approval if it has a member of the old form, else a message."""
    if not isinstance(value, dict):
        found.add(path, f"must be an object, is {_kind(value)}")
        return
    if value.get("type") is None:
        is_approval = "type" not in value and ("approve" in value or "approval_request_id" in value)
        value = {**value, "type": "approval" if is_approval else "message"}
        if not is_approval and "role" not in value:
            found.add(f"{path}.role", "must be set")
            return
    _fill_arm(message, {field.name: field for field in union(v1.InputMessage.DESCRIPTOR)}, value, path, found)


# ---- special forms ----


def _text_or_parts(message: Any, value: Any, path: str, found: Violations) -> None:
    if isinstance(value, str):
        if (told := _string(value, path, found)) is not None:
            message.text = told
    elif isinstance(value, list):
        message.parts.SetInParent()
        filler(v1.Content.Parts.DESCRIPTOR)(message.parts, value, path, found)
    else:
        found.add(path, f"must be a string or a list of parts, is {_kind(value)}")


def _json(message: Any, value: Any, path: str, found: Violations) -> None:
    if not isinstance(value, dict):
        found.add(path, f"must be an object, is {_kind(value)}")
        return
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if is_unicode(text):
        message.json = text
    else:
        found.add(path, "holds half a surrogate pair, which is no text")


def _moment(message: Any, value: Any, path: str, found: Violations) -> None:
    try:
        moment = datetime.fromisoformat(value)
        message.FromDatetime(moment)
    except (TypeError, ValueError, OverflowError):
        found.add(path, "must be a date-time like 2026-03-04T10:15:00Z")


def _duration(message: Any, value: Any, path: str, found: Violations) -> None:
    seconds = value.removesuffix("s") if isinstance(value, str) else value
    try:
        message.FromNanoseconds(round(float(seconds) * 1e9))
    except (TypeError, ValueError, OverflowError):
        found.add(path, "must be a number of seconds")


# ---- scalars ----


def _scalar(field: FieldDescriptor) -> Scalar:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return _bytes
        case FieldDescriptor.CPPTYPE_STRING:
            return _thinking if field.name == "enable_thinking" else _string
        case FieldDescriptor.CPPTYPE_BOOL:
            return _bool
        case FieldDescriptor.CPPTYPE_ENUM:
            assert field.enum_type is not None
            return _enum(field.enum_type)
        case FieldDescriptor.CPPTYPE_INT32:
            return _int(31)
        case FieldDescriptor.CPPTYPE_INT64:
            return _int(63)
        case _:
            return _float


def _string(value: Any, path: str, found: Violations) -> str | None:
    if isinstance(value, str) and is_unicode(value):
        return value
    found.add(path, "holds half a surrogate pair" if isinstance(value, str) else f"must be a string, is {_kind(value)}")
    return None


def _thinking(value: Any, path: str, found: Violations) -> str | None:
    """A string in the API; programs send a bool as well."""
    return str(value).lower() if isinstance(value, bool) else _string(value, path, found)


def is_unicode(text: str) -> bool:
    """Whether it holds no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bool(value: Any, path: str, found: Violations) -> bool | None:
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    found.add(path, f"must be true or false, is {_kind(value)}")
    return None


def _int(bits: int) -> Scalar:
    most = (1 << bits) - 1

    def read_int(value: Any, path: str, found: Violations) -> int | None:
        number = _whole_number(value)
        if number is None:
            found.add(path, f"must be a whole number, is {_kind(value)}")
        elif not -most - 1 <= number <= most:
            found.add(path, f"must be between {-most - 1} and {most}")
        else:
            return number
        return None

    return read_int


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        stripped = value.strip()
        return int(stripped) if len(stripped) <= 20 and stripped.removeprefix("-").isdecimal() else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def _float(value: Any, path: str, found: Violations) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        found.add(path, f"must be a number, is {_kind(value)}")
        return None
    if not -_MOST_FLOAT <= value <= _MOST_FLOAT:
        found.add(path, "must not be larger than a number of 64 bits")
        return None
    return float(value)


def _bytes(value: Any, path: str, found: Violations) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        found.add(path, "must be base64")
        return None


def _enum(enum: EnumDescriptor) -> Scalar:
    words = enum_words(enum)

    def read_enum(value: Any, path: str, found: Violations) -> int | None:
        number = words.get(value) if isinstance(value, str) else None
        if number is None:
            found.add(path, f"must be one of {', '.join(words)}, is {quoted(str(value))}")
        return number

    return read_enum


def _kind(value: object) -> str:
    """What a JSON value is, for people."""
    if value is None:
        return "null"
    kinds: Sequence[tuple[type, str]] = [(bool, "a bool"), (dict, "an object"), (list, "a list"), (str, "a string")]
    return next((told for kind, told in kinds if isinstance(value, kind)), "a number")


def new(descriptor: Descriptor) -> Message:
    """An empty message of that type."""
    return GetMessageClass(descriptor)()
