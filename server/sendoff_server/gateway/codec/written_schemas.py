"""JSON Schemas of what the writers make: every declared member is there; what can be unset can be null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sendoff_server.gateway.codec.schemas import Schema, Schemas, nullable
from sendoff_server.gateway.codec.shapes import Shape, is_list_in_arm, shape, union, union_name

_NULL: Schema = {"type": "null"}


class WrittenSchemas(Schemas):
    """As `Schemas`, in the other direction; the names of its schemas end in `Written`."""

    def members(self, descriptor: Descriptor, *, without: frozenset[str] = frozenset()) -> Schema:
        fields = [field for field in descriptor.fields if field.name not in without]
        told = {field.name: self._told(field) for field in fields}
        return {"type": "object", "required": list(told), "properties": told}

    def _told(self, field: FieldDescriptor) -> Schema:
        """An enum without presence is null where it says nothing."""
        absent = field.has_presence or (field.enum_type is not None and not field.is_repeated)
        return nullable(self._field(field)) if absent else self._field(field)

    def _schema(self, descriptor: Descriptor) -> Schema:
        if shape(descriptor) is Shape.SOURCE:
            name = union_name(descriptor)
            return {"type": "object", "required": [name], "properties": {name: self._arms(descriptor, {})}}
        return super()._schema(descriptor)

    def _arms(self, descriptor: Descriptor, beside: Mapping[str, Any]) -> Schema:
        """One of the arms, or none. An arm that is a union itself gives way to its own arms and their types."""
        told = [each for arm in union(descriptor) for each in self._forms(arm, beside)]
        none = _object({"type": _NULL, **beside.get("properties", {})}) if beside else _NULL
        return {"anyOf": [*told, none]}

    def _forms(self, arm: FieldDescriptor, beside: Mapping[str, Any]) -> list[Schema]:
        of = arm.message_type
        members = {"type": {"const": arm.name}, **beside.get("properties", {})}
        if of is None:
            return [_object({**members, arm.name: self._value(arm)})]
        if shape(of) is Shape.UNION:
            inner = self._schema(of)["anyOf"]
            return [_object({**members, **each["properties"]}) for each in inner]
        own = self.members(of) if is_list_in_arm(of) else self._schema(of)
        return [_object({**members, **own["properties"]})]

    def _name(self, descriptor: Descriptor) -> str:
        return f"{super()._name(descriptor)}Written"


def _object(properties: Mapping[str, Any]) -> Schema:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}
