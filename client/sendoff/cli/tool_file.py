"""Tools in files: Python source code, or JSON as `sendoff tools get --json` shows it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from google.protobuf.json_format import ParseDict, ParseError

from sendoff import v1

_BAD_IN_NAME = re.compile("[^a-zA-Z0-9_-]")


def read(file: str) -> v1.Tool:
    """The tool in a file, "-" for JSON on stdin. A Python tool is called as its file. Raises typer.BadParameter."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file}: it is not text in UTF-8") from error
    if file.endswith(".py"):
        name = _BAD_IN_NAME.sub("_", Path(file).stem)[:64]
        return v1.Tool(name=name, type=v1.TOOL_TYPE_PYTHON, source_code=text)
    return _from_json(file, text)


def _from_json(file: str, text: str) -> v1.Tool:
    try:
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ParseError("expected an object")
        return ParseDict(_as_contract(told), v1.Tool())
    except (ValueError, RecursionError, ParseError) as error:
        raise typer.BadParameter(f"{file}: it is neither Python (.py) nor the JSON of a tool: {error}") from error


def _as_contract(told: dict[str, Any]) -> dict[str, Any]:
    """With what people may write shorter: the schema as an object, `CLIENT` for TOOL_TYPE_CLIENT, `ONCE` likewise."""
    schema = told.get("json_schema")
    if isinstance(schema, dict) and schema.keys() != {"json"}:
        told["json_schema"] = {"json": json.dumps(schema, ensure_ascii=False)}
    _spell_out(told, "type", "TOOL_TYPE_", v1.ToolType.keys)
    _spell_out(told, "effect", "TOOL_EFFECT_", v1.ToolEffect.keys)
    return told


def _spell_out(told: dict[str, Any], member: str, prefix: str, names: Callable[[], list[str]]) -> None:
    value = told.get(member)
    if isinstance(value, str) and prefix + value.upper() in names():
        told[member] = prefix + value.upper()
