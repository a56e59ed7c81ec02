"""From paths of the contract, as the rules of shape tell them, to paths in the JSON that the caller has sent."""

from __future__ import annotations

import re

from google.protobuf.descriptor import Descriptor

from sendoff_server.gateway.codec.shapes import Shape, shape, union, union_name

_SEGMENT = re.compile(r"([a-z_0-9]+)((?:\[[^\]]*\])?)")


def json_path(descriptor: Descriptor, path: str) -> str:
    """`messages.messages[0].message.content.parts.parts[1].text.text` is `messages[0].content[1].text`."""
    told: list[str] = []
    current: Descriptor | None = descriptor
    for name, index in _SEGMENT.findall(path):
        field = current.fields_by_name.get(name) if current is not None else None
        member = _member(current, name) if current is not None and field is not None else name
        if member:
            told.append(f".{member}" if told else member)
        told.append(index)
        current = field.message_type if field is not None else None
    return "".join(told)


def _member(message: Descriptor, name: str) -> str:
    """What the JSON calls a field of such a message; empty where it has no level of its own."""
    match shape(message):
        case Shape.UNION if name in {arm.name for arm in union(message)}:
            return ""
        case Shape.SOURCE:
            return union_name(message)
        case Shape.LIST | Shape.TEXT_OR_PARTS | Shape.JSON:
            return ""
        case _:
            return name
