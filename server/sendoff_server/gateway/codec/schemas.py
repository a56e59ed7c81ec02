"""JSON Schemas of what the readers take and the writers make, from the same descriptors and the same rules of shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from sendoff_server.gateway.codec.shapes import (
    Shape,
    enum_words,
    is_list_in_arm,
    members_not_null,
    shape,
    union,
    union_name,
)

Schema = dict[str, Any]

REF = "#/components/schemas/"
_OBJECT: Schema = {"type": "object"}


class Schemas:
    """Collects the schemas of messages by name, each once."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def ref(self, descriptor: Descriptor) -> Schema:
        """A reference to the schema of messages of that type."""
        name = self._name(descriptor)
        if name not in self.components:
            self.components[name] = {}  # types refer to each other
            self.components[name] = self._schema(descriptor)
        return {"$ref": f"{REF}{name}"}

    def members(self, descriptor: Descriptor, *, without: frozenset[str] = frozenset()) -> Schema:
        """An object with the message's fields as members, each of which may be null."""
        fields = [field for field in descriptor.fields if field.name not in without]
        not_null = members_not_null(descriptor)
        told = {field.name: self._field(field) for field in fields}
        return {
            "type": "object",
            "properties": {name: each if name in not_null else nullable(each) for name, each in told.items()},
        }

    def _schema(self, descriptor: Descriptor) -> Schema:
        match shape(descriptor):
            case Shape.LIST:
                return self._field(descriptor.fields[0])
            case Shape.UNION:
                arms = frozenset(field.name for field in union(descriptor))
                return self._arms(descriptor, self.members(descriptor, without=arms))
            case Shape.SOURCE:
                name = union_name(descriptor)
                return {"type": "object", "properties": {name: self._arms(descriptor, {})}, "required": [name]}
            case Shape.TEXT_OR_PARTS:
                parts = descriptor.fields_by_name["parts"].message_type
                assert parts is not None
                return {"anyOf": [{"type": "string"}, self.ref(parts)]}
            case special if special in _SPECIAL:
                return dict(_SPECIAL[special])
            case _:
                return self.members(descriptor)

    def _arms(self, descriptor: Descriptor, beside: Mapping[str, Any]) -> Schema:
        """One of the arms, told by `type`."""
        return {"anyOf": [self._arm(field, beside) for field in union(descriptor)]}

    def _arm(self, field: FieldDescriptor, beside: Mapping[str, Any]) -> Schema:
        assert field.message_type is not None
        of = field.message_type
        own = (self.members(of) if is_list_in_arm(of) else self._schema(of))["properties"]
        properties = {"type": {"const": field.name}, **beside.get("properties", {}), **own}
        return {"type": "object", "properties": properties, "required": ["type"]}

    def _field(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            values = field.message_type.fields_by_name["value"]
            return {"type": "object", "additionalProperties": self._value(values)}
        one = self._value(field)
        return {"type": "array", "items": one} if field.is_repeated else one

    def _value(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.ref(field.message_type)
        if field.enum_type is not None:
            return words(field.enum_type)
        return dict(_SCALARS[field.cpp_type])

    def _name(self, descriptor: Descriptor) -> str:
        return descriptor.full_name.removeprefix(f"{descriptor.file.package}.").replace(".", "")


def words(enum: EnumDescriptor) -> Schema:
    return {"type": "string", "enum": list(enum_words(enum))}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_SPECIAL = {
    Shape.JSON: _OBJECT,
    Shape.MOMENT: {"type": "string", "format": "date-time"},
    Shape.DURATION: {"type": "number", "description": "Seconds."},
}
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
}
