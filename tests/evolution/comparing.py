"""Compares what a server answers with what an older one answered to the same, as far as the contract promises it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.evolution.contracts import PACKAGE

_NAME = re.compile(r"([a-z_]+-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(/.*)?")
_TIMES = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})
_OPAQUE = frozenset(
    {
        "AgentService/CompileSystem",  # the prompt's words are not promised
        "OpsService/GetQueueStats",  # of that moment
        "CallbackService/TestEndpoint",  # what the network says
    }
)
"""Answers of which only that they come is compared."""
_FREE = frozenset(
    {
        "GetServerInfoResponse.version",
        "GetServerInfoResponse.contract_digest",
        "GetServerInfoResponse.limits",
        "CreateEndpointResponse.secret",
        "RotateSecretResponse.secret",
        "ExplainRunResponse.facts",
        "Lease.replica_id",
        "Message.position",  # an order; numbers may be left out
    }
)
"""Fields that are there, and may say anything."""
_GROWING = frozenset({"GetServerInfoResponse.features", "ListModelsResponse.models"})
"""Lists that may have more in them."""
_PASSED_ON = ("etag", "page_token", "tool_call_id")
"""Texts, by the end of their names, that callers get to give them back."""


class Names:
    """What the names of then are now: of runs, agents, pages and all else that a server makes up."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def learn(self, then: str, now: str) -> None:
        self._now.setdefault(then, now)

    def of(self, then: str) -> str:
        return self._now.get(then, then)

    def put_into(self, message: Message) -> None:
        """Replace each text that is a name of then."""
        for field, value in message.ListFields():
            if isinstance(value, str):
                setattr(message, field.name, self.of(value))
            elif isinstance(value, Message):
                self.put_into(value)
            elif field.type == FieldDescriptor.TYPE_MESSAGE and not _is_map(field):
                for each in value:
                    self.put_into(each)
            elif field.type == FieldDescriptor.TYPE_STRING and not _is_map(field):
                value[:] = [self.of(each) for each in value]


class Comparison:
    """Says where answers differ, and learns names from those that do not."""

    def __init__(self) -> None:
        self.names = Names()

    def answers(self, method: str, then: list[Message], now: list[Message]) -> list[str]:
        """Differences, each with its place."""
        if method.removeprefix(PACKAGE + ".") in _OPAQUE:
            return [] if len(then) == len(now) else [f"{method}: {len(now)} answers instead of {len(then)}"]
        then, now = [each for each in then if _is_kept(each)], [each for each in now if _is_kept(each)]
        if len(then) != len(now):
            return [f"{method}: {[*map(_kind, now)]} instead of {[*map(_kind, then)]}"]
        pairs = zip(then, now, strict=True)
        return [f"{method}: {difference}" for old, new in pairs for difference in self._messages(old, new)]

    def _messages(self, then: Message, now: Message) -> Iterator[str]:
        if then.DESCRIPTOR.full_name in _TIMES:
            return
        there = {field.name: value for field, value in now.ListFields()}
        for field, value in then.ListFields():
            name = f"{then.DESCRIPTOR.name}.{field.name}"
            if field.name not in there:
                yield f"{name} is missing; it was {value!r}"
            elif name not in _FREE:
                yield from self._values(name, field, value, there[field.name])

    def _values(self, name: str, field: FieldDescriptor, then: Any, now: Any) -> Iterator[str]:
        if _is_map(field):
            yield from [] if dict(then) == dict(now) else [f"{name} is {dict(now)} instead of {dict(then)}"]
        elif isinstance(then, Message):
            yield from self._messages(then, now)
        elif isinstance(then, str):
            yield from self._texts(name, then, now)
        elif not isinstance(then, int | float | bytes):
            yield from self._lists(name, field, list(then), list(now))
        elif then != now and not name.endswith("_ns"):
            yield f"{name} is {now!r} instead of {then!r}"

    def _lists(self, name: str, field: FieldDescriptor, then: list[Any], now: list[Any]) -> Iterator[str]:
        if name in _GROWING:
            known = [_called(each) for each in now]
            yield from (f"{name} has no {_called(each)}" for each in then if _called(each) not in known)
        elif len(then) != len(now):
            yield f"{name} has {len(now)} entries instead of {len(then)}"
        else:
            for old, new in zip(then, now, strict=True):
                yield from self._values(name, field, old, new)

    def _texts(self, name: str, then: str, now: str) -> Iterator[str]:
        if (_NAME.fullmatch(then) and _NAME.fullmatch(now)) or (now and name.endswith(_PASSED_ON)):
            self.names.learn(then, now)
        if self.names.of(then) != now:
            yield f"{name} is {now!r} instead of {then!r}"


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_kept(answer: Message) -> bool:
    """Not what depends on how fast things go: the text being written, and signs of life."""
    return answer.DESCRIPTOR.name != "WatchRunResponse" or answer.WhichOneof("frame") not in {"delta", "heartbeat"}


def _kind(answer: Any) -> str:
    if answer.DESCRIPTOR.name != "WatchRunResponse":
        return str(answer.DESCRIPTOR.name)
    return str(answer.event.WhichOneof("event") or answer.WhichOneof("frame"))


def _called(entry: Any) -> str:
    """What tells entries of a growing list apart."""
    return entry if isinstance(entry, str) else str(entry.handle)
