"""Arguments of tool calls: read, completed, and checked against the tool's JSON Schema. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sendoff import v1

BAD_ARGUMENTS = "[InvalidArguments]"
"""How the return of a call begins whose arguments cannot be used."""
MAX_ARGUMENTS_BYTES = 1024 * 1024
_QUOTED = 200


class BadArguments(Exception):
    """The arguments cannot be used. Its text is the call's return."""


def parsed(arguments: str) -> dict[str, Any]:
    """The object that the model wrote; nothing at all counts as none. Raises BadArguments."""
    if len(arguments) > MAX_ARGUMENTS_BYTES:
        raise _bad(f"they are longer than {MAX_ARGUMENTS_BYTES} bytes")
    if not arguments.strip():
        return {}
    try:
        value = json.loads(arguments, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(f"they are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _bad(f"they must be a JSON object, and are {_quoted(arguments)}")
    return value


def is_object(arguments: str) -> bool:
    """Whether the text is a JSON object."""
    try:
        return bool(arguments.strip()) and parsed(arguments) is not None
    except BadArguments:
        return False


def merged(call: v1.ToolCall, fixed: Mapping[str, Any]) -> v1.ToolCall:
    """The call with arguments that win over the model's; they also replace what cannot be read."""
    if not fixed:
        return call
    try:
        arguments = {**parsed(call.arguments), **fixed}
    except BadArguments:
        arguments = dict(fixed)
    return replaced(call, json.dumps(arguments, ensure_ascii=False))


def replaced(call: v1.ToolCall, arguments: str) -> v1.ToolCall:
    """The call with other arguments."""
    return v1.ToolCall(
        tool_call_id=call.tool_call_id,
        name=call.name,
        arguments=arguments,
        arguments_are_valid_json=is_object(arguments),
    )


def checked(call: v1.ToolCall, tool: v1.Tool) -> dict[str, Any]:
    """The arguments of a call, if they fit the tool. Raises BadArguments."""
    arguments = parsed(call.arguments)
    if not tool.json_schema.json:
        return arguments
    from sendoff_server.loop import schemas  # it brings a library along that a server without tools does without

    if fault := schemas.fault(tool.json_schema.json, arguments):
        raise _bad(f"they do not fit the tool{fault.where}: {_quoted(fault.told)}")
    return arguments


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _bad(told: str) -> BadArguments:
    return BadArguments(f"{BAD_ARGUMENTS} The arguments cannot be used: {told}. Call the tool again with good ones.")


def _quoted(text: str) -> str:
    return text if len(text) <= _QUOTED else text[:_QUOTED] + "…"
