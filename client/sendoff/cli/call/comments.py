"""What the contract says about its RPCs, messages, fields and enums: the comments of the protos.

Descriptors in generated code come without them; the type stubs beside it have them as docstrings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

from google.protobuf.descriptor import EnumValueDescriptor, FileDescriptor

import sendoff.v1


class Described(Protocol):
    """A descriptor of anything that has a name."""

    @property
    def full_name(self) -> str: ...


def comment(described: Described, file: FileDescriptor) -> str:
    """The comment of an RPC, message, field or enum that stands in this file; empty if there is none."""
    return _comments(file.name).get(described.full_name.removeprefix(f"{file.package}."), "")


def value_comment(value: EnumValueDescriptor) -> str:
    """The comment of a value of an enum; it is named beside its enum, not in it."""
    enum = value.type
    scope = f"{enum.containing_type.full_name.removeprefix(f'{enum.file.package}.')}." if enum.containing_type else ""
    return _comments(enum.file.name).get(scope + value.name, "")


def first_sentence(text: str) -> str:
    """Of a comment, in one line."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    sentence, end, _ = paragraph.partition(". ")
    return sentence + end.strip()


@cache
def _comments(file: str) -> Mapping[str, str]:
    """Of one file of the contract, by name without the package; none of a file that is not ours."""
    found: dict[str, str] = {}
    stem = Path(file).stem
    for stub in (f"{stem}_pb2.pyi", f"{stem}_pb2_grpc.pyi"):
        for folder in sendoff.v1.__path__:
            path = Path(folder, stub)
            if file.startswith("sendoff/v1/") and path.exists():
                found.update(_in_body(ast.parse(path.read_text(encoding="utf-8")).body, owner=""))
    return found


def _in_body(body: list[ast.stmt], owner: str) -> Iterator[tuple[str, str]]:
    for statement, following in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.ClassDef(name=name):
                inner = owner + _without_suffix(name)
                yield from _told(inner, ast.get_docstring(statement))
                yield from _in_body(statement.body, inner + ".")
            case ast.FunctionDef(name=name):
                yield from _told(owner + name, ast.get_docstring(statement))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield from _told(owner + name, _text(following))


def _without_suffix(name: str) -> str:
    """`RunService` for its stub."""
    return name.removesuffix("Stub") if name.endswith("ServiceStub") else name


def _told(name: str, docstring: str | None) -> Iterator[tuple[str, str]]:
    if docstring:
        yield name, docstring


def _text(statement: ast.stmt | None) -> str | None:
    """The text of a docstring that stands behind what it is about."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            lines = text.strip().splitlines()
            return "\n".join(line.strip() for line in lines)
    return None
