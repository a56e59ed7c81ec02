"""What the contract carries and this version does not honour yet: refused by name, never ignored.

`NOT_YET` is the whole list. Whoever makes a feature work deletes its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from sendoff import v1
from sendoff_server.errors import Unsupported, Violation


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why a field is refused when it is set."""

    told: str
    honoured: frozenset[object] = frozenset()
    """Values that do work. Unset, false, 0, "" and [] always do."""


NOT_YET: Mapping[str, NotYet] = {
    "Scheduling.when_busy": NotYet(
        "STEER does not work yet", frozenset(v1.WhenBusy.values()) - frozenset({v1.WHEN_BUSY_STEER})
    ),
    "ListRunsRequest.filter": NotYet("filter expressions do not work yet; use the other fields"),
}
"""By message and field of the contract."""


def check_supported(request: Message) -> None:
    """Raise Unsupported, naming each field that asks for what does not work yet. To be called for a valid request."""
    if lookout := _LOOKOUTS.get(request.DESCRIPTOR.full_name):
        found: list[Violation] = []
        _search(request, "", lookout, found)
        if found:
            raise Unsupported(found)


@dataclass(frozen=True, slots=True)
class _Lookout:
    """What to look for in messages of one type, made once from the descriptors: looking must cost next to nothing."""

    optional: tuple[tuple[str, NotYet], ...]
    """Fields that tell whether they are set."""
    plain: tuple[tuple[str, NotYet], ...]
    """Fields that do not: lists, and scalars whose default means unset."""
    one: tuple[tuple[str, _Lookout], ...]
    """Fields that hold a message in which to look."""
    many: tuple[tuple[str, _Lookout], ...]
    """Fields that hold a list of them."""


def _search(message: Message, path: str, lookout: _Lookout, found: list[Violation]) -> None:
    for name, line in lookout.optional:
        if message.HasField(name) and _asks(getattr(message, name), line):
            found.append(Violation(path + name, line.told))
    for name, line in lookout.plain:
        if (value := getattr(message, name)) and _asks(value, line):
            found.append(Violation(path + name, line.told))
    for name, inner in lookout.one:
        if message.HasField(name):
            _search(getattr(message, name), f"{path}{name}.", inner, found)
    for name, inner in lookout.many:
        for index, item in enumerate(getattr(message, name)):
            _search(item, f"{path}{name}[{index}].", inner, found)


def _asks(value: object, line: NotYet) -> bool:
    if isinstance(value, Message):
        return True
    return bool(value) and not (line.honoured and value in line.honoured)


def _lookout(message: Descriptor) -> _Lookout | None:
    """None if nothing in messages of that type is refused. Messages of requests do not contain their own kind."""
    lines: list[tuple[FieldDescriptor, NotYet]] = []
    inside: list[tuple[FieldDescriptor, _Lookout]] = []
    for field in message.fields:
        if line := NOT_YET.get(f"{message.name}.{field.name}"):
            lines.append((field, line))
        elif field.message_type is not None and (inner := _lookout(field.message_type)):
            inside.append((field, inner))
    if not lines and not inside:
        return None
    return _Lookout(
        optional=tuple((field.name, line) for field, line in lines if field.has_presence),
        plain=tuple((field.name, line) for field, line in lines if not field.has_presence),
        one=tuple((field.name, inner) for field, inner in inside if field.has_presence),
        many=tuple((field.name, inner) for field, inner in inside if not field.has_presence),
    )


_REQUESTS = (
    v1.CreateMessageAsyncRequest,
    v1.ListRunsRequest,
    v1.WaitRunRequest,
    v1.WatchRunRequest,
    v1.CancelRunRequest,
    v1.CreateAgentRequest,
    v1.UpdateAgentRequest,
)
_LOOKOUTS = {kind.DESCRIPTOR.full_name: found for kind in _REQUESTS if (found := _lookout(kind.DESCRIPTOR))}
