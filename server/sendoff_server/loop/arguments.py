"""Arguments of tool calls: read, completed, and checked against the tool's JSON Schema. Pure.

What a schema says with regular expressions is left to the tool: schemas come from callers, and an expression can be
made to take for ever. References are followed inside the schema only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

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
    validator = _validator(tool.json_schema.json)
    if validator is None:
        return arguments
    try:
        error = best_match(validator.iter_errors(arguments))
    except (Unresolvable, RecursionError, SchemaError):
        return arguments  # the schema is broken; the tool will say what it thinks of them
    if error is not None:
        where = f" at {error.json_path}" if error.path else ""
        raise _bad(f"they do not fit the tool{where}: {_quoted(error.message)}")
    return arguments


_Validator = extend(Draft202012Validator, {"pattern": None})  # type: ignore[no-untyped-call]  # as the stubs have it


@lru_cache(maxsize=512)
def _validator(schema: str) -> Draft202012Validator | None:
    """None: anything fits."""
    if not schema or '"patternProperties"' in schema:
        return None
    try:
        read = json.loads(schema)
        Draft202012Validator.check_schema(read)
    except (ValueError, RecursionError, SchemaError):
        return None
    made: Draft202012Validator = _Validator(read, registry=Registry())
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _bad(told: str) -> BadArguments:
    return BadArguments(f"{BAD_ARGUMENTS} The arguments cannot be used: {told}. Call the tool again with good ones.")


def _quoted(text: str) -> str:
    return text if len(text) <= _QUOTED else text[:_QUOTED] + "…"
