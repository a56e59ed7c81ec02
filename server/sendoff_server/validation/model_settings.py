"""Rules of how models are called, and of how full contexts are compacted."""

from __future__ import annotations

import json
import re
from zoneinfo import ZoneInfo

from sendoff import v1
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.rules import (
    check_enum,
    check_length,
    check_number,
    check_range,
    check_size,
)
from sendoff_server.validation.violations import Violations, quoted

_SCHEMA_BYTES = 65_536
_PROMPT_BYTES = 65_536
_EFFORTS = frozenset(v1.ReasoningEffort.values()) - {0}
_VERBOSITIES = frozenset(v1.Verbosity.values()) - {0}
_MODES = frozenset(v1.CompactionMode.values()) - {0}
_SELF = frozenset({v1.COMPACTION_MODE_SELF_COMPACT_ALL, v1.COMPACTION_MODE_SELF_COMPACT_SLIDING_WINDOW})
_SLIDING = frozenset(
    {v1.COMPACTION_MODE_UNSPECIFIED, v1.COMPACTION_MODE_SLIDING_WINDOW, v1.COMPACTION_MODE_SELF_COMPACT_SLIDING_WINDOW}
)
_SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_model_settings(found: Violations, path: str, settings: v1.ModelSettings) -> None:
    """`path` is the field that holds them."""
    if settings.HasField("temperature"):
        check_range(found, f"{path}.temperature", settings.temperature, least=0, most=2)
    if settings.HasField("top_p"):
        check_range(found, f"{path}.top_p", settings.top_p, above=0, most=1)
    if settings.HasField("max_output_tokens"):
        check_number(found, f"{path}.max_output_tokens", settings.max_output_tokens, least=1)
    if settings.HasField("reasoning_effort"):
        check_enum(found, f"{path}.reasoning_effort", settings.reasoning_effort, _EFFORTS)
    if settings.HasField("max_reasoning_tokens"):
        check_number(found, f"{path}.max_reasoning_tokens", settings.max_reasoning_tokens, least=0)
        if settings.HasField("reasoning_effort"):
            found.add(f"{path}.max_reasoning_tokens", "must not be set beside reasoning_effort")
    if settings.HasField("frequency_penalty"):
        check_range(found, f"{path}.frequency_penalty", settings.frequency_penalty, least=-2, most=2)
    if settings.HasField("verbosity"):
        check_enum(found, f"{path}.verbosity", settings.verbosity, _VERBOSITIES)
    if settings.HasField("response_format"):
        _check_format(found, f"{path}.response_format", settings.response_format)


def _check_format(found: Violations, path: str, told: v1.ResponseFormat) -> None:
    form = told.WhichOneof("format")
    if form is None:
        found.add(path, "must be set, to one of text, json_object, json_schema")
    elif form == "json_schema":
        _check_schema(found, f"{path}.json_schema.json_schema", told.json_schema.json_schema)


def _check_schema(found: Violations, path: str, told: v1.JsonObject) -> None:
    before = len(found.told)
    check_json_object(found, path, told, most=_SCHEMA_BYTES)
    if len(found.told) > before:
        return
    schema = json.loads(told.json or "{}")
    if not isinstance(schema.get("schema"), dict):
        found.add(f"{path}.json", 'must have the JSON Schema as "schema", an object')
    name = schema.get("name")
    if name is not None and not (isinstance(name, str) and _SCHEMA_NAME.fullmatch(name)):
        found.add(f"{path}.json", 'must have a "name" of at most 64 letters, digits, _ and -, or none')


def check_compaction_settings(found: Violations, path: str, settings: v1.CompactionSettings) -> None:
    """`path` is the field that holds them."""
    if settings.mode:
        check_enum(found, f"{path}.mode", settings.mode, _MODES)
    if settings.HasField("sliding_window_percentage"):
        check_range(found, f"{path}.sliding_window_percentage", settings.sliding_window_percentage, above=0, most=1)
        if settings.mode not in _SLIDING and settings.mode in _MODES:
            found.add(f"{path}.sliding_window_percentage", "has no meaning in this mode, which keeps no window")
    if settings.HasField("model"):
        check_length(found, f"{path}.model", settings.model, least=1, most=255)
    for name in ("model", "model_settings"):
        if settings.HasField(name) and settings.mode in _SELF:
            found.add(f"{path}.{name}", "has no meaning in this mode, in which the agent itself writes the summary")
    check_model_settings(found, f"{path}.model_settings", settings.model_settings)
    if settings.HasField("prompt"):
        check_size(found, f"{path}.prompt", settings.prompt, least=1, most=_PROMPT_BYTES)
    if settings.HasField("clip_chars"):
        check_number(found, f"{path}.clip_chars", settings.clip_chars, least=1)


def check_timezone(found: Violations, path: str, name: str) -> None:
    """Empty is right."""
    if name and not _is_known(name):
        found.add(path, f"must be a time zone of the IANA database, like Europe/Berlin, is {quoted(name)}")


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # no name of a file, a folder, or no file
        return False
    return True
