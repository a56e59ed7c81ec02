"""The schema of a tool's arguments is one, of an object, and refers to nothing outside itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sendoff import v1
from tests.unit.validation.checking import violated
from tests.unit.validation.rule_cases import tool


def _violated(schema: dict[str, Any]) -> list[str]:
    return violated(tool(json_schema=v1.JsonObject(json=json.dumps(schema))))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "integer"}}},
        {"properties": {"$ref": {"type": "string"}, "type": {"enum": ["array"]}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"type": "null"}}},
    ],
)
def test_schemas_of_objects_are_accepted(schema: dict[str, Any]) -> None:
    assert _violated(schema) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": ["object", "null"]},
        {"properties": {"a": {"type": "text"}}},
        {"required": "a"},
        {"properties": {"a": {"$ref": "https://example.com/a.json"}}},
        {"properties": {"default": {"$ref": "file:///etc/passwd"}}},
        {"allOf": [{"$dynamicRef": "other.json"}]},
    ],
)
def test_what_is_none_or_would_have_to_be_fetched_is_refused(schema: dict[str, Any]) -> None:
    assert _violated(schema) == ["tool.json_schema"]
