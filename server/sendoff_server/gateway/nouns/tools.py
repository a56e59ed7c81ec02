"""Tools as the API shows them."""

from __future__ import annotations

import json
from typing import Any

from sendoff import v1
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
_NOTHING = ("args_json_schema", "pip_requirements", "npm_requirements", "project_id")


def tool_json(tool: v1.Tool) -> Json:
    parameters = json.loads(tool.json_schema.json) if tool.json_schema.json else {"type": "object"}
    return {
        "id": tool.id,
        "tool_type": TYPE_WORDS.get(tool.type, "custom"),
        "description": tool.description,
        "source_type": "python" if tool.type == v1.TOOL_TYPE_PYTHON else "json",
        "name": tool.name,
        "tags": list(tool.tags),
        "source_code": tool.source_code or None,
        "json_schema": {"name": tool.name, "description": tool.description, "parameters": parameters},
        "return_char_limit": tool.return_char_limit or DEFAULT_RETURN_CHARACTERS,
        "default_requires_approval": tool.requires_approval,
        "enable_parallel_execution": tool.type != v1.TOOL_TYPE_BUILT_IN,
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "metadata_": {},
        **dict.fromkeys(_NOTHING),
    }
