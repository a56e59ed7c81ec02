"""Tells what an RPC or a type of the contract is, for people and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sendoff.cli.call.comments import comment, value_comment
from sendoff.cli.call.contract import Rpc, modules

Type: TypeAlias = "Descriptor | EnumDescriptor"

_INDENT = "    "
_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_FIXED32: "fixed32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_SFIXED32: "sfixed32",
    FieldDescriptor.TYPE_SFIXED64: "sfixed64",
    FieldDescriptor.TYPE_SINT32: "sint32",
    FieldDescriptor.TYPE_SINT64: "sint64",
}
_IN_JSON = {
    "google.protobuf.Timestamp": 'time, as "2026-03-04T10:15:00Z"',
    "google.protobuf.Duration": 'span of time, as "1.5s"',
    "google.protobuf.FieldMask": 'names of fields, as "name,tags"',
    "google.protobuf.StringValue": "string, optional",
    "google.protobuf.Int32Value": "int32, optional",
}


def shape(rpc: Rpc) -> str:
    """Request and answer in one line."""
    method = rpc.method
    asked = ("stream of " if method.client_streaming else "") + method.input_type.name
    answered = ("stream of " if method.server_streaming else "") + method.output_type.name
    return f"{asked} -> {answered}"


def rpc_comment(rpc: Rpc) -> str:
    return comment(rpc.method, rpc.method.containing_service.file)


def type_named(name: str) -> Type | None:
    """The message or enum of that name, as Run, Content.Parts or sendoff.v1.Run; None if there is none."""
    wanted = name.removeprefix("sendoff.v1.")
    for module in modules():
        file = module.DESCRIPTOR
        for found in _types((*file.message_types_by_name.values(), *file.enum_types_by_name.values())):
            if _short(found) == wanted:
                return found
    return None


def rpc_lines(rpc: Rpc, width: int) -> Iterator[str]:
    """An RPC with the fields of its request."""
    yield f"rpc {rpc.name}: {shape(rpc)}"
    yield from _filled(rpc_comment(rpc), "  ", width)
    yield ""
    yield from type_lines(rpc.method.input_type, width)
    inner = (_short(found) for field in rpc.method.input_type.fields if (found := _type_of(field)))
    more = dict.fromkeys((*(name for name in inner if not name.startswith("google.")), rpc.method.output_type.name))
    yield ""
    yield from _filled(f"More with --describe: {', '.join(more)}.", "", width)


def type_lines(described: Type, width: int) -> Iterator[str]:
    """A message with its fields, or an enum with its values."""
    yield _short(described)
    yield from _filled(comment(described, described.file), "  ", width)
    if isinstance(described, EnumDescriptor):
        for value in described.values:
            yield f"  {value.name} = {value.number}"
            yield from _filled(value_comment(value), _INDENT + "  ", width)
        return
    for field in described.fields:
        yield f"  {field.name}: {_spelled(field)}"
        yield from _filled(comment(field, described.file), _INDENT + "  ", width)


def rpc_json(rpc: Rpc) -> dict[str, Any]:
    """An RPC with the fields of its request, as JSON."""
    method = rpc.method
    return {
        "rpc": rpc.name,
        "request": _short(method.input_type),
        "request_stream": method.client_streaming,
        "answer": _short(method.output_type),
        "answer_stream": method.server_streaming,
        "comment": rpc_comment(rpc),
        "fields": type_json(method.input_type)["fields"],
    }


def type_json(described: Type) -> dict[str, Any]:
    """A message or an enum as JSON."""
    told: dict[str, Any] = {"type": _short(described), "comment": comment(described, described.file)}
    if isinstance(described, EnumDescriptor):
        told["values"] = [
            {"name": value.name, "number": value.number, "comment": value_comment(value)} for value in described.values
        ]
    else:
        told["fields"] = [
            {"name": field.name, "type": _spelled(field), "comment": comment(field, described.file)}
            for field in described.fields
        ]
    return told


def _types(found: Iterable[Type]) -> Iterator[Type]:
    """These, and what is declared in them."""
    for each in found:
        yield each
        if isinstance(each, Descriptor):
            yield from _types((*each.nested_types, *each.enum_types))


def _type_of(field: FieldDescriptor) -> Type | None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _type_of(field.message_type.fields_by_name["value"])
    return field.message_type or field.enum_type


def _spelled(field: FieldDescriptor) -> str:
    """The field's type, with what else is to be known about it."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        return f"map of {_spelled(entry['key'])} to {_spelled(entry['value'])}"
    found = _type_of(field)
    spelled = _SCALARS[field.type] if found is None else _IN_JSON.get(found.full_name, _short(found))
    if field.is_repeated:
        return f"list of {spelled}"
    oneof = field.containing_oneof
    if oneof is None:
        return spelled
    if len(oneof.fields) == 1 and oneof.name.startswith("_"):
        return f"{spelled}, optional"
    return f"{spelled}, one of {oneof.name}"


def _short(described: Type) -> str:
    return described.full_name.removeprefix("sendoff.v1.")


def _filled(text: str, indent: str, width: int) -> Iterator[str]:
    for paragraph in text.split("\n\n") if text else ():
        words = " ".join(paragraph.split())
        yield from textwrap.wrap(words, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
