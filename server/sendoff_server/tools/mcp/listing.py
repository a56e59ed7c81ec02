"""What an MCP server says of its tools, as tools that agents can name."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sendoff import v1
from sendoff_server import ids
from sendoff_server.tools.mcp.config import ServerConfig

if TYPE_CHECKING:
    import mcp_types

MAX_TOOLS = 1_000
"""Of one server; more are left out."""
MAX_SCHEMA_BYTES = 262_144
MAX_DESCRIPTION_BYTES = 65_536

_MAX_NAME = 64
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of one server."""

    tools: Mapping[str, v1.Tool]
    """By the server's own name, in its order. Without etag and times, which are those of whoever keeps them."""
    faults: tuple[str, ...] = ()
    """What is wrong with them, for the operator."""


def offer(server: str, config: ServerConfig, servers: Collection[str], told: Iterable[mcp_types.Tool]) -> Offer:
    """The tools that the configuration lets through. One that cannot be offered to a model is left out, as a fault.

    `servers` are the names of all servers: which name a tool gets depends on them, see `tool_name`.
    """
    tools: dict[str, v1.Tool] = {}
    faults: list[str] = []
    seen = set()
    for tool in told:
        seen.add(tool.name)
        if tool.name in tools or (config.tools is not None and tool.name not in config.tools):
            continue
        fault = _schema_fault(tool.input_schema) or ("there are too many" if len(tools) == MAX_TOOLS else "")
        if fault:
            faults.append(f"the tool {tool.name[:_MAX_NAME]!r} is left out: {fault}")
        else:
            tools[tool.name] = _tool(server, config, servers, tool)
    faults += [f"the configuration names a tool {name!r}, which is not there" for name in config.named_tools - seen]
    return Offer(tools, tuple(faults))


def tool_id(server: str, tool: str) -> str:
    return ids.derive("tool", "mcp", server, tool)


def tool_name(server: str, tool: str, servers: Collection[str]) -> str:
    """`server_tool`, unless that is no name for a tool or could be one of a server with a longer name; then made to fit
    and told apart by a piece of its id. The same whenever it is made, whatever else the servers offer."""
    plain = f"{server}_{tool}"
    taken = any(len(other) > len(server) and plain.startswith(f"{other}_") for other in servers)
    if len(plain) <= _MAX_NAME and not taken and not _FORBIDDEN.search(plain):
        return plain
    end = f"_{tool_id(server, tool)[-8:]}"
    return _FORBIDDEN.sub("_", plain)[: _MAX_NAME - len(end)] + end


def _tool(server: str, config: ServerConfig, servers: Collection[str], told: mcp_types.Tool) -> v1.Tool:
    tool = v1.Tool(
        id=tool_id(server, told.name),
        name=tool_name(server, told.name, servers),
        description=_description(told),
        json_schema=v1.JsonObject(json=_json(told.input_schema)),
        requires_approval=config.approval(told.name),
        effect=config.effect(told.name) or _effect(told.annotations),
        type=v1.TOOL_TYPE_MCP,
        mcp_server=server,
    )
    if config.timeout_s is not None:
        tool.timeout.FromTimedelta(timedelta(seconds=config.timeout_s))
    return tool


def _effect(annotations: mcp_types.ToolAnnotations | None) -> v1.ToolEffect.ValueType:
    if annotations is not None and annotations.read_only_hint:
        return v1.TOOL_EFFECT_READ_ONLY
    if annotations is not None and annotations.idempotent_hint:
        return v1.TOOL_EFFECT_IDEMPOTENT
    return v1.TOOL_EFFECT_ONCE


def _description(told: mcp_types.Tool) -> str:
    text = told.description or told.title or ""
    return text.encode(errors="replace")[:MAX_DESCRIPTION_BYTES].decode(errors="ignore")


def _json(schema: Mapping[str, Any]) -> str:
    told = {"type": "object", **schema}
    return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _schema_fault(schema: dict[str, Any]) -> str:
    """Why a provider or our own check of arguments would choke on it; empty if neither would."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        size = len(_json(schema).encode())
        if size > MAX_SCHEMA_BYTES:
            return f"its schema has {size} bytes, and {MAX_SCHEMA_BYTES} is the most"
        if schema.get("type", "object") != "object":
            return "its schema is not that of an object"
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"its schema is none: {error.message[:200]}"
    except (ValueError, RecursionError):
        return "its schema is not JSON"
    return ""
