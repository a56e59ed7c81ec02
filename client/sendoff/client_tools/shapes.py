"""Type hints as JSON Schema, and the values of JSON as what the hints ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class Misfit(ValueError):
    """A value is not what a type hint asks for. The message begins with where it stands."""


class NoSchema(TypeError):
    """A function, or a type hint of it, has no JSON Schema here."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a type hint asks for."""

    schema: Mapping[str, Any]
    """JSON Schema of the values."""
    convert: Callable[[Any, str], Any]
    """Takes a value of JSON and where it stands, and returns what the hint asks for. Raises Misfit."""


def expected(what: str, value: object, where: str) -> Misfit:
    """The error of a value that is something else."""
    told = repr(value)
    return Misfit(f"{where}: expected {what}, got {told if len(told) <= 100 else told[:100] + '...'}")


def anything() -> Shape:
    """Whatever JSON holds."""
    return Shape({}, lambda value, where: value)


def simple(kind: type) -> Shape:
    """str, int, float, bool or None. A whole number is a float as well, and True is no number."""

    def convert(value: Any, where: str) -> Any:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise expected(_NAMES[kind], value, where)
        return value

    return Shape({"type": _NAMES[kind]}, convert)


def one_of(values: tuple[Any, ...]) -> Shape:
    """One of these, by value and type."""

    def convert(value: Any, where: str) -> Any:
        for each in values:
            if each == value and type(each) is type(value):
                return each
        raise expected("one of " + ", ".join(map(repr, values)), value, where)

    return Shape({"enum": list(values)}, convert)


def named(kind: Callable[[Any], Any], values: tuple[Any, ...]) -> Shape:
    """A member of an Enum, told by its value."""
    inner = one_of(values)
    return Shape(inner.schema, lambda value, where: kind(inner.convert(value, where)))


def text_as(kind: Callable[[str], Any], form: str) -> Shape:
    """Text in a form that JSON Schema has a name for, as dates are."""

    def convert(value: Any, where: str) -> Any:
        try:
            return kind(simple(str).convert(value, where))
        except Misfit:
            raise
        except ValueError as error:
            raise expected(form, value, where) from error

    return Shape({"type": "string", "format": form}, convert)


def any_of(shapes: tuple[Shape, ...]) -> Shape:
    """What fits one of them; the first that fits decides what it becomes."""

    def convert(value: Any, where: str) -> Any:
        misfits = []
        for shape in shapes:
            try:
                return shape.convert(value, where)
            except Misfit as misfit:
                misfits.append(str(misfit))
        raise Misfit("; or ".join(misfits))

    return Shape({"anyOf": [shape.schema for shape in shapes]}, convert)


def described(shape: Shape, description: str) -> Shape:
    """The same, with a description for the model."""
    return Shape({**shape.schema, "description": description}, shape.convert)


_NAMES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
SIMPLE = frozenset(_NAMES)
"""Types that JSON has."""
