"""The contract with its comments, which generated code does not carry."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)

ROOT = Path(__file__).resolve().parents[3]
BUF = Path(sys.executable).with_name("buf")

# Field numbers of descriptor.proto, of which the paths of comments are made.
_MESSAGES, _SERVICES = 4, 6
_FIELDS, _NESTED, _ONEOFS = 2, 3, 8
_METHODS = 2

Place = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A message, a field, a oneof or an RPC, by its name without the package."""

    name: str
    comment: str
    """In one line."""

    @property
    def rules(self) -> list[str]:
        """The rules in the comment, each without the word and the dot: `string.max_len = 255`, `required`."""
        told = [rule.strip().rstrip(".") for rule in self.comment.split("Rule: ")[1:]]
        return [atom.strip() for rule in told for atom in rule.split("; ")]


@dataclass(frozen=True)
class Rpc(Entry):
    idempotency: str
    rest: str
    """Verb and path of the REST door, as the comment has them; several with commas."""


@functools.cache
def contract() -> tuple[Entry, ...]:
    """Everything that has a comment of interest, in the order of the files."""
    command = [str(BUF), "build", str(ROOT / "protos"), "--output", "-"]
    built = subprocess.run(command, check=True, capture_output=True).stdout
    files = FileDescriptorSet.FromString(built).file
    return tuple(entry for file in files if file.package == "sendoff.v1" for entry in _file(file))


def _file(file: FileDescriptorProto) -> Iterator[Entry]:
    before, behind = _comments(file)
    for index, service in enumerate(file.service):
        for number, method in enumerate(service.method):
            place = (_SERVICES, index, _METHODS, number)
            yield _rpc(f"{service.name}.{method.name}", method, before.get(place, ""), _inside(behind, place))
    for index, message in enumerate(file.message_type):
        yield from _message(message, message.name, (_MESSAGES, index), before)


def _message(message: DescriptorProto, name: str, place: Place, comments: dict[Place, str]) -> Iterator[Entry]:
    yield Entry(name, comments.get(place, ""))
    for index, oneof in enumerate(message.oneof_decl):
        if not oneof.name.startswith("_"):  # protoc's own, for optional fields
            yield Entry(f"{name}.{oneof.name}", comments.get((*place, _ONEOFS, index), ""))
    for index, field in enumerate(message.field):
        yield Entry(f"{name}.{field.name}", comments.get((*place, _FIELDS, index), ""))
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(nested, f"{name}.{nested.name}", (*place, _NESTED, index), comments)


def _rpc(name: str, method: MethodDescriptorProto, comment: str, inside: str) -> Rpc:
    level = MethodOptions.IdempotencyLevel.Name(method.options.idempotency_level)
    rest = re.search(r"REST: (.+)$", inside)
    return Rpc(name, comment, level, rest[1] if rest else "")


def _comments(file: FileDescriptorProto) -> tuple[dict[Place, str], dict[Place, str]]:
    """Comments before things, and comments behind them."""
    before, behind = {}, {}
    for location in file.source_code_info.location:
        before[tuple(location.path)] = " ".join(location.leading_comments.split())
        behind[tuple(location.path)] = " ".join(location.trailing_comments.split())
    return before, behind


def _inside(behind: dict[Place, str], place: Place) -> str:
    """What stands in the braces of a method: a comment behind its head, or behind one of its options."""
    return " ".join(text for path, text in behind.items() if path[: len(place)] == place and text)
