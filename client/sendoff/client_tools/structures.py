"""The shape of every type hint: of lists, mappings, dataclasses and TypedDicts, whatever they hold."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sendoff.client_tools import shapes
from sendoff.client_tools.shapes import NoSchema, Shape, expected

_MAX_DEPTH = 16
_TEXTS: dict[Any, tuple[Callable[[str], Any], str]] = {
    datetime.datetime: (datetime.datetime.fromisoformat, "date-time"),
    datetime.date: (datetime.date.fromisoformat, "date"),
    datetime.time: (datetime.time.fromisoformat, "time"),
    uuid.UUID: (uuid.UUID, "uuid"),
}
_ARRAYS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    Sequence: list,
    MutableSequence: list,
    tuple: tuple,
    set: set,
    AbstractSet: set,
    frozenset: frozenset,
}
_OBJECTS = (dict, Mapping, MutableMapping)


def shape_of(hint: Any, depth: int = 0) -> Shape:
    """The shape of a type hint. Raises NoSchema for one that JSON has no values for, and for one that holds itself."""
    if depth > _MAX_DEPTH:
        raise NoSchema("the type hint is nested too deeply, or holds itself")
    if hint is Any or hint is object or hint is inspect.Parameter.empty:
        return shapes.anything()
    if hint is None:
        return shapes.simple(type(None))
    if typing.is_typeddict(hint):
        return _typed_dict(hint, depth)
    if isinstance(hint, type) and typing.get_origin(hint) is None and (shape := _of_class(hint, depth)):
        return shape
    return _generic(hint, depth)


def _of_class(kind: type, depth: int) -> Shape | None:
    """The shape of the objects of a class; None if it is none of those that are known."""
    if kind in shapes.SIMPLE:
        return shapes.simple(kind)
    if kind in _TEXTS:
        return shapes.text_as(*_TEXTS[kind])
    if issubclass(kind, enum.Enum):
        return shapes.named(kind, tuple(member.value for member in kind))
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, depth)
    return None


def _generic(hint: Any, depth: int) -> Shape:
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Annotated:
        told = next((each for each in args[1:] if isinstance(each, str)), None)
        inner = shape_of(args[0], depth)
        return inner if told is None else shapes.described(inner, told)
    if origin is typing.Literal:
        return shapes.one_of(args)
    if origin in (typing.Union, types.UnionType):
        return shapes.any_of(tuple(shape_of(each, depth + 1) for each in args))
    if origin in _ARRAYS:
        return _array(origin, args, depth)
    if origin in _OBJECTS:
        return _mapping(args, depth)
    raise NoSchema(f"there is no JSON Schema for {hint!r}; give the tool as a pair of a schema and the function")


def _array(origin: Any, args: tuple[Any, ...], depth: int) -> Shape:
    if origin is tuple and args and args[-1] is not Ellipsis:
        return _pair(tuple(shape_of(each, depth + 1) for each in args))
    each = shape_of(args[0] if args else Any, depth + 1)
    schema: dict[str, Any] = {"type": "array", "items": each.schema}
    if issubclass(origin, AbstractSet):
        schema["uniqueItems"] = True
    made = _ARRAYS[origin]

    def convert(value: Any, where: str) -> Any:
        return made([each.convert(item, f"{where}[{index}]") for index, item in enumerate(_list(value, where))])

    return Shape(schema, convert)


def _pair(parts: tuple[Shape, ...]) -> Shape:
    """A tuple of so many."""

    def convert(value: Any, where: str) -> Any:
        if len(_list(value, where)) != len(parts):
            raise expected(f"{len(parts)} items", value, where)
        return tuple(
            part.convert(item, f"{where}[{n}]") for n, (part, item) in enumerate(zip(parts, value, strict=True))
        )

    schema = {"type": "array", "prefixItems": [part.schema for part in parts]}
    return Shape({**schema, "minItems": len(parts), "maxItems": len(parts)}, convert)


def _mapping(args: tuple[Any, ...], depth: int) -> Shape:
    if args and args[0] not in (str, Any):
        raise NoSchema(f"names in JSON are texts, and not {args[0]!r}")
    each = shape_of(args[1] if args else Any, depth + 1)

    def convert(value: Any, where: str) -> Any:
        return {name: each.convert(item, f"{where}.{name}") for name, item in _dict(value, where).items()}

    return Shape({"type": "object", "additionalProperties": each.schema}, convert)


def members(
    parts: Mapping[str, Shape], required: Sequence[str], make: Callable[[dict[str, Any]], Any], *, open_to: bool = False
) -> Shape:
    """An object with these members, and with others if it is `open_to` them."""

    def convert(value: Any, where: str) -> Any:
        given = _dict(value, where)
        if missing := [name for name in required if name not in given]:
            raise shapes.Misfit(f"{where}: {', '.join(missing)} missing")
        if not open_to and (unknown := [name for name in given if name not in parts]):
            raise shapes.Misfit(f"{where}: there is no {', '.join(unknown)}, but {', '.join(parts) or 'nothing'}")
        return make(
            {
                name: parts[name].convert(item, f"{where}.{name}") if name in parts else item
                for name, item in given.items()
            }
        )

    properties = {name: shape.schema for name, shape in parts.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": open_to}
    if required:
        schema["required"] = list(required)
    return Shape(schema, convert)


def _typed_dict(hint: Any, depth: int) -> Shape:
    parts: dict[str, Shape] = {}
    required = []
    for name, each in typing.get_type_hints(hint, include_extras=True).items():
        # Written as text, as all hints are under `from __future__ import annotations`, marks are known by now only.
        mark, is_required = typing.get_origin(each), name in hint.__required_keys__
        if mark in (typing.Required, typing.NotRequired):
            (each,), is_required = typing.get_args(each), mark is typing.Required
        parts[name] = shape_of(each, depth + 1)
        if is_required:
            required.append(name)
    return members(parts, required, dict)


def _dataclass(hint: type, depth: int) -> Shape:
    hints = typing.get_type_hints(hint, include_extras=True)
    fields = [field for field in dataclasses.fields(hint) if field.init]
    parts = {field.name: shape_of(hints[field.name], depth + 1) for field in fields}
    unset = dataclasses.MISSING
    required = [field.name for field in fields if field.default is unset and field.default_factory is unset]
    return members(parts, required, lambda given: hint(**given))


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise expected("array", value, where)
    return value


def _dict(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise expected("object", value, where)
    return value
