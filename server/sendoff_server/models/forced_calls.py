"""Tool calls of a model that cannot make any by itself: its answer is decoded by a JSON schema that only a call fits.

So small a model fills in the arguments of a tool fairly and chooses among tools badly, so it is offered tools only
where one must be called.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sendoff import v1
from sendoff_server.models.failures import failed
from sendoff_server.models.port import Answer, Delta, DeltaKind, Finish, ModelCall, ToolSpec

_MOST_CHARACTERS = 200
_MOST_ITEMS = 8
_NO_ARGUMENTS = {"type": "object", "properties": {}}
_MAPS = frozenset({"properties", "$defs", "definitions"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf"})


def schema_of(tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """The schema that a call of one of the tools fits: {"name": its name, "arguments": what its own schema says}."""
    arguments = [bounded(json.loads(tool.parameters) if tool.parameters else _NO_ARGUMENTS) for tool in tools]
    # References start at the root, so definitions belong there.
    definitions = {name: told for schema in arguments for name, told in schema.pop("$defs", {}).items()}
    calls = [_call_schema(tool.name, schema) for tool, schema in zip(tools, arguments, strict=True)]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return schema | {"$defs": definitions} if definitions else schema


def told_to_call(tools: Sequence[ToolSpec]) -> str:
    """What to add to the system prompt."""
    lines = [f"- {tool.name}: {tool.description}" if tool.description else f"- {tool.name}" for tool in tools]
    return "\n".join(["Answer with one call of a tool, as JSON with its name and arguments. Tools:", *lines])


def as_call(call: ModelCall, answer: Answer) -> tuple[Delta, Answer]:
    """The answer that fits the schema as a tool call, and the one piece that it is told in.

    Raises ModelFailed (MODEL_ANSWER_INVALID) if it is no call, which happens when it was cut off.
    """
    text = "".join(part.text.text for part in answer.parts)
    try:
        told = json.loads(text)
        name, arguments = told["name"], json.dumps(told["arguments"], ensure_ascii=False)
    except (ValueError, TypeError, KeyError):
        unfinished = f"{call.handle} did not finish its tool call"
        raise failed("MODEL_ANSWER_INVALID", unfinished, handle=call.handle) from None
    made = v1.ToolCallPart(id=f"call_{uuid.uuid4().hex[:24]}", name=name, input=v1.JsonObject(json=arguments))
    part = v1.ContentPart(tool_call=made)
    return Delta(0, DeltaKind.TOOL_ARGUMENTS, arguments), replace(answer, parts=[part], finish=Finish.TOOL_CALLS)


def _call_schema(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with an end to every text and list, without which the model may never stop, and closed objects."""
    copy = {key: _bounded_inside(key, value) for key, value in schema.items()}
    kinds = copy.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds and not {"enum", "const"} & set(copy):
        copy["maxLength"] = min(copy.get("maxLength", _MOST_CHARACTERS), _MOST_CHARACTERS)
    if "array" in kinds:
        copy["maxItems"] = min(copy.get("maxItems", _MOST_ITEMS), _MOST_ITEMS)
    if "object" in kinds:
        copy["additionalProperties"] = False
    return copy


def _bounded_inside(key: str, value: Any) -> Any:
    if key in _MAPS and isinstance(value, dict):
        return {name: bounded(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}
    if key in _LISTS and isinstance(value, list):
        return [bounded(inner) if isinstance(inner, dict) else inner for inner in value]
    return bounded(value) if key == "items" and isinstance(value, dict) else value
