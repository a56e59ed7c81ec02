"""From paths of the contract, as the rules of shape tell them, to paths in the JSON that the caller has sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sendoff_server.errors import InvalidRequest, Unsupported, Violation
from sendoff_server.gateway.codec.shapes import Shape, is_list_in_arm, shape, union, union_name

_SEGMENT = re.compile(r"([a-z_0-9]+)((?:\[[^\]]*\])?)")


def json_path(descriptor: Descriptor, path: str) -> str:
    """`messages.messages[0].message.content.parts.parts[1].text.text` is `messages[0].content[1].text`."""
    told: list[str] = []
    current: Descriptor | None = descriptor
    has_name = False
    for name, index in _SEGMENT.findall(path):
        field = current.fields_by_name.get(name) if current is not None else None
        member = _member(current, name) if current is not None and field is not None and not has_name else name
        if member:
            told.append(f".{member}" if told else member)
        told.append(index)
        inner = field.message_type if field is not None else None
        has_name = inner is not None and current is not None and field in _arms(current) and is_list_in_arm(inner)
        current = inner
    return "".join(told)


@contextmanager
def told_in_json(message: Descriptor, field: str, at: str = "") -> Iterator[None]:
    """What is wrong with the message in that field of a request is told with its place in the JSON, whose members stand
    behind `at`."""
    try:
        yield
    except (InvalidRequest, Unsupported) as error:
        told = [(each.field.removeprefix(f"{field}."), each.description) for each in error.violations]
        raise type(error)([Violation(at + json_path(message, path), what) for path, what in told]) from None


def _arms(message: Descriptor) -> tuple[FieldDescriptor, ...]:
    return union(message) if shape(message) in (Shape.UNION, Shape.SOURCE) else ()


def _member(message: Descriptor, name: str) -> str:
    """What the JSON calls a field of such a message; empty where it has no level of its own."""
    match shape(message):
        case Shape.UNION if name in {arm.name for arm in union(message) if arm.message_type is not None}:
            return ""
        case Shape.SOURCE:
            return union_name(message)
        case Shape.LIST | Shape.TEXT_OR_PARTS | Shape.JSON:
            return ""
        case _:
            return name
