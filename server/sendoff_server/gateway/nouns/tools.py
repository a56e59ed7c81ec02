"""Tools as the API shows them, and what its requests say of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sendoff import v1
from sendoff_server.errors import InvalidRequest, Unsupported, Violation
from sendoff_server.gateway.asked import flag, message_of
from sendoff_server.gateway.nouns.runs import USER

Json = dict[str, Any]

DEFAULT_RETURN_CHARACTERS = 50_000
TYPE_WORDS = {
    v1.TOOL_TYPE_BUILT_IN: "letta_memory_core",
    v1.TOOL_TYPE_MCP: "external_mcp",
    v1.TOOL_TYPE_PYTHON: "custom",
    v1.TOOL_TYPE_CLIENT: "custom",
}
"""The API's word for each type of ours."""
SOURCE_TYPES = {"python": v1.TOOL_TYPE_PYTHON, "json": v1.TOOL_TYPE_CLIENT}
"""A tool without source code is a schema: whoever sends messages is asked to run it."""
_SAME = ("description", "source_code", "tags", "return_char_limit")
"""Members that tools of the contract have under the same name."""
_NOT_HERE = ("pip_requirements", "npm_requirements", "metadata")


def tool_json(tool: v1.Tool) -> Json:
    parameters = json.loads(tool.json_schema.json) if tool.json_schema.json else {"type": "object", "properties": {}}
    return {
        "id": tool.id,
        "tool_type": TYPE_WORDS.get(tool.type, "custom"),
        "description": tool.description,
        "source_type": "python" if tool.type == v1.TOOL_TYPE_PYTHON else "json",
        "name": tool.name,
        "tags": list(tool.tags),
        "source_code": tool.source_code or None,
        "json_schema": {"name": tool.name, "description": tool.description, "parameters": parameters},
        "args_json_schema": None,
        "return_char_limit": tool.return_char_limit or DEFAULT_RETURN_CHARACTERS,
        "pip_requirements": None,
        "npm_requirements": None,
        "default_requires_approval": tool.requires_approval,
        "enable_parallel_execution": tool.type != v1.TOOL_TYPE_BUILT_IN and not tool.in_order,
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "metadata_": {},
        "project_id": None,
    }


def tool_of(body: Mapping[str, Any]) -> tuple[v1.Tool, list[str]]:
    """The tool that a body describes, and which fields it says something of. Raises InvalidRequest, Unsupported."""
    _check_honoured(body)
    given = {name: value for name, value in body.items() if value is not None}
    tool = message_of(v1.Tool, {name: given[name] for name in _SAME if name in given})
    paths = [name for name in _SAME if name in given]
    if (kind := given.get("source_type")) is not None:
        tool.type = _type(kind)
    paths += _flags(tool, given) + _schema(tool, given)
    return tool, list(dict.fromkeys(paths))


def _check_honoured(body: Mapping[str, Any]) -> None:
    asked = [name for name in _NOT_HERE if body.get(name)]
    if asked:
        raise Unsupported([Violation(name, "does not work here") for name in asked])


def _type(kind: object) -> v1.ToolType.ValueType:
    if not isinstance(kind, str) or kind not in SOURCE_TYPES:
        raise InvalidRequest([Violation("source_type", f"must be one of {', '.join(SOURCE_TYPES)}")])
    return SOURCE_TYPES[kind]


def _flags(tool: v1.Tool, given: Mapping[str, Any]) -> list[str]:
    paths = []
    if "default_requires_approval" in given:
        tool.requires_approval = flag(given, "default_requires_approval", default=False)
        paths.append("requires_approval")
    if "enable_parallel_execution" in given:
        tool.in_order = not flag(given, "enable_parallel_execution", default=True)
        paths.append("in_order")
    return paths


def _schema(tool: v1.Tool, given: Mapping[str, Any]) -> list[str]:
    """`json_schema` has name, description and parameters; `args_json_schema` is the parameters alone."""
    told, parameters = _object(given, "json_schema"), _object(given, "args_json_schema")
    parameters = _object(told, "parameters", "json_schema.parameters") or parameters
    paths = []
    if parameters:
        tool.json_schema.json = json.dumps(parameters, ensure_ascii=False)
        paths.append("json_schema")
    for name in ("name", "description"):
        value = told.get(name)
        if value is None or (name == "description" and "description" in given):
            continue
        if not isinstance(value, str):
            raise InvalidRequest([Violation(f"json_schema.{name}", "must be a string")])
        setattr(tool, name, value)
        paths.append(name)
    return paths


def _object(given: Mapping[str, Any], name: str, path: str = "") -> Json:
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidRequest([Violation(path or name, "must be an object")])
    return value or {}
