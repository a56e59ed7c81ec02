"""Rules of the requests of `ToolService`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sendoff import v1
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.limits import MAX_SEARCH_CHARACTERS
from sendoff_server.validation.rules import (
    AGENT_ID,
    TOOL_ID,
    check_choice,
    check_duration,
    check_enum,
    check_id,
    check_items,
    check_length,
    check_number,
    check_size,
    check_tags,
)
from sendoff_server.validation.violations import Violations, quoted

TOOL_OVERRIDABLE = ("requires_approval", "effect", "timeout", "return_char_limit", "tags", "in_order")
"""What an update mask may name of a tool that the server makes."""
TOOL_UPDATABLE = ("name", "description", "json_schema", "source_code", *TOOL_OVERRIDABLE)
"""What an update mask may name of other tools."""

TOOL_NAME = re.compile("[a-zA-Z0-9_-]{1,64}")
MAX_SCHEMA_BYTES = 262_144
_DESCRIPTION_BYTES = 65_536
_SOURCE_BYTES = 262_144
_MAX_RETURN_CHARACTERS = 1_000_000
_MAX_TIMEOUT_S = 86_400
_MAX_NAMES = 100
_ORDERS = ("", "name", "create_time", "create_time asc", "create_time desc")
_EFFECTS = frozenset(v1.ToolEffect.values())
_TYPES = frozenset(v1.ToolType.values()) - {v1.TOOL_TYPE_UNSPECIFIED}


def check_upsert_tool(request: v1.UpsertToolRequest) -> None:
    """What holds for tools of any type. Output-only fields are let through, so that a tool that was read can be sent
    back changed."""
    found = Violations()
    if request.HasField("tool"):
        _check_tool(found, request.tool)
    else:
        found.add("tool", "must be set")
    for index, path in enumerate(request.update_mask.paths):
        if path not in TOOL_UPDATABLE:
            found.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(TOOL_UPDATABLE)}")
    found.refuse()


def check_get_tool(request: v1.GetToolRequest) -> None:
    found = Violations()
    check_id(found, "tool_id", request.tool_id, TOOL_ID)
    found.refuse()


def check_list_tools(request: v1.ListToolsRequest) -> None:
    found = Violations()
    if request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    check_items(found, "names", len(request.names), most=_MAX_NAMES)
    for index, kind in enumerate(request.types):
        check_enum(found, f"types[{index}]", kind, _TYPES)
    if check_items(found, "tool_ids", len(request.tool_ids), most=_MAX_NAMES):
        for index, tool_id in enumerate(request.tool_ids):
            check_id(found, f"tool_ids[{index}]", tool_id, TOOL_ID)
    check_length(found, "name_search", request.name_search, most=MAX_SEARCH_CHARACTERS)
    check_choice(found, "order_by", request.order_by, _ORDERS)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_delete_tool(request: v1.DeleteToolRequest) -> None:
    found = Violations()
    check_id(found, "tool_id", request.tool_id, TOOL_ID)
    found.refuse()


def _check_tool(found: Violations, tool: v1.Tool) -> None:
    if tool.id:
        check_id(found, "tool.id", tool.id, TOOL_ID)
    is_named_by_source = tool.type == v1.TOOL_TYPE_PYTHON and tool.source_code
    if (tool.name or not (tool.id or is_named_by_source)) and not TOOL_NAME.fullmatch(tool.name):
        found.add("tool.name", f"must be 1 to 64 letters, digits, - and _; is {quoted(tool.name)}")
    check_size(found, "tool.description", tool.description, most=_DESCRIPTION_BYTES)
    _check_schema(found, tool.json_schema)
    if tool.effect not in _EFFECTS:
        found.add("tool.effect", f"has no value {tool.effect}")
    if tool.HasField("timeout"):
        check_duration(found, "tool.timeout", tool.timeout, above_s=0, most_s=_MAX_TIMEOUT_S)
    if tool.type != v1.TOOL_TYPE_UNSPECIFIED:
        check_enum(found, "tool.type", tool.type, _TYPES)
    check_size(found, "tool.source_code", tool.source_code, most=_SOURCE_BYTES)
    check_number(found, "tool.return_char_limit", tool.return_char_limit, least=0, most=_MAX_RETURN_CHARACTERS)
    check_tags(found, "tool.tags", tool.tags)


# ---- JSON Schema ----


def _check_schema(found: Violations, schema: v1.JsonObject) -> None:
    told = len(found.told)
    check_json_object(found, "tool.json_schema", schema, most=MAX_SCHEMA_BYTES)
    if schema.json and len(found.told) == told and (wrong := schema_fault(json.loads(schema.json))):
        found.add("tool.json_schema", wrong)


def schema_fault(schema: dict[str, Any]) -> str:
    """Why this is no JSON Schema of arguments; empty if it is one. Nothing is fetched, and nothing may have to be."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if schema.get("type", "object") != "object":
        return 'must be the schema of an object: its "type" must be "object"'
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"must be a JSON Schema: {quoted(error.message)} at {error.json_path}"
    except RecursionError:
        return "must be a JSON Schema that is less deep"
    if remote := next((each for each in _references(schema) if not each.startswith("#")), None):
        return f"must refer to nothing but itself, as {quoted('#/$defs/name')}; it refers to {quoted(remote)}"
    return ""


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
