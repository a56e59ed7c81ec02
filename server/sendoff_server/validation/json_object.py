"""The rule of `JsonObject`: the text of exactly one JSON object.

NaN and Infinity are refused, as JSON does not know them. Keys that appear twice are let through: the text is carried on
as it is. Numbers of thousands of digits are refused, because readers choke on them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sendoff import v1
from sendoff_server.validation.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH
from sendoff_server.validation.rules import check_size
from sendoff_server.validation.violations import Violations

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def check_json_object(found: Violations, path: str, value: v1.JsonObject, *, most: int = MAX_JSON_BYTES) -> None:
    """Check a JsonObject; `path` is the field that holds it."""
    text = value.json
    if not text:
        return
    path += ".json"
    if len(text.encode()) > most:
        check_size(found, path, text, most=most)
    elif wrong := _what_is_wrong(text):
        found.add(path, wrong)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _what_is_wrong(text: str) -> str | None:
    too_deep = f"must be at most {MAX_JSON_DEPTH} levels deep"
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return f"must be valid JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        return too_deep
    except ValueError as error:
        return f"must be valid JSON: {error}"
    if not isinstance(value, dict):
        return "must be a JSON object"
    if text.count("{") + text.count("[") > MAX_JSON_DEPTH and _depth_exceeds(value, MAX_JSON_DEPTH):
        return too_deep
    if _SURROGATE.search(text) and not _is_encodable(value):
        return "must not have lone surrogates"
    return None


def _depth_exceeds(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    """The objects and lists right inside an object or a list."""
    if isinstance(value, dict):
        return [inner for inner in value.values() if isinstance(inner, dict | list)]
    return [inner for inner in value if isinstance(inner, dict | list)] if isinstance(value, list) else []


def _is_encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
