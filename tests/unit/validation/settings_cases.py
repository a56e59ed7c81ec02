"""The rules of how models are called and contexts compacted, with a value that breaks each and one that just does
not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from sendoff import v1
from tests.unit.validation.rule_cases import AGENT, KIB, Field, agent, bounds, characters, labels, size


def settings(**fields: Any) -> v1.CreateAgentRequest:
    return agent(model_settings=v1.ModelSettings(**fields))


def compaction(**fields: Any) -> v1.CreateAgentRequest:
    return agent(compaction_settings=v1.CompactionSettings(**fields))


def answers(text: str) -> v1.CreateAgentRequest:
    """Answers that have to fit a schema."""
    told = v1.JsonSchemaFormat(json_schema=v1.JsonObject(json=text))
    return settings(response_format=v1.ResponseFormat(json_schema=told))


def schema(most: int) -> str:
    told = {"schema": {"description": ""}}
    told["schema"]["description"] = "x" * (most - len(json.dumps(told)))
    return json.dumps(told)


def named(name: str) -> str:
    return json.dumps({"name": name, "schema": {}})


def limited(limit: int) -> v1.CreateConversationRequest:
    return v1.CreateConversationRequest(agent_id=AGENT, conversation=v1.Conversation(context_window_limit=limit))


def _setting(name: str, rules: dict[str, tuple[Any, Any]]) -> Field:
    return Field(f"ModelSettings.{name}", f"agent.model_settings.{name}", _with(settings, name), rules)


def _of_compaction(name: str, rules: dict[str, tuple[Any, Any]]) -> Field:
    return Field(f"CompactionSettings.{name}", f"agent.compaction_settings.{name}", _with(compaction, name), rules)


def _with(make: Callable[..., Message], name: str) -> Callable[[Any], Message]:
    return lambda value: make(**{name: value})


_FORMAT = "agent.model_settings.response_format"
_SCHEMA = f"{_FORMAT}.json_schema.json_schema.json"

SETTINGS: Sequence[Field] = (
    _setting("temperature", {"double.gte = 0": (-0.01, 0.0), "double.lte = 2": (2.01, 2.0)}),
    _setting("top_p", {"double.gt = 0": (0.0, 0.01), "double.lte = 1": (1.01, 1.0)}),
    _setting("max_output_tokens", bounds("int32", least=1)),
    _setting("reasoning_effort", {"enum.defined_only = true": (1_000, v1.REASONING_EFFORT_MAX)}),
    _setting("max_reasoning_tokens", bounds("int32", least=0)),
    _setting("frequency_penalty", {"double.gte = -2": (-2.01, -2.0), "double.lte = 2": (2.01, 2.0)}),
    _setting("verbosity", {"enum.defined_only = true": (1_000, v1.VERBOSITY_HIGH)}),
    Field(
        "ResponseFormat.format",
        _FORMAT,
        lambda v: settings(response_format=v),
        {"one is required": (v1.ResponseFormat(), v1.ResponseFormat(text=v1.TextFormat()))},
    ),
    Field(
        "JsonSchemaFormat.json_schema",
        _SCHEMA,
        answers,
        {
            "string.max_bytes = 65536": (schema(64 * KIB + 1), schema(64 * KIB)),
            "has an object `schema`": ('{"schema":1}', '{"schema":{}}'),
            "`name`, if it is there, is letters, digits, _ and -, at most 64": (named("a b"), named("a_B-" * 16)),
        },
    ),
    _of_compaction("mode", {"enum.defined_only = true": (1_000, v1.COMPACTION_MODE_SELF_COMPACT_SLIDING_WINDOW)}),
    _of_compaction("sliding_window_percentage", {"double.gt = 0": (0.0, 0.01), "double.lte = 1": (1.01, 1.0)}),
    _of_compaction("model", characters(255, least=1)),
    _of_compaction("prompt", size(64 * KIB, least=1)),
    _of_compaction("clip_chars", bounds("int32", least=1)),
    Field(
        "Agent.context_window_limit",
        "agent.context_window_limit",
        lambda v: agent(context_window_limit=v),
        bounds("int32", least=1),
    ),
    Field(
        "Agent.timezone",
        "agent.timezone",
        lambda v: agent(timezone=v),
        {"is a known name": ("../localtime", "America/Argentina/Buenos_Aires")},
    ),
    Field(
        "Agent.secrets",
        "agent.secrets",
        lambda v: agent(secrets=v),
        {
            "map.max_pairs = 64": (labels(65), labels(64)),
            "keys are letters, digits and _, at most 128, no digit first, and do not begin with SENDOFF_": (
                {"SENDOFF_KEY": "x"},
                {"_" * 128: "x"},
            ),
        },
    ),
    Field(
        "Agent.secrets",
        "agent.secrets['K']",
        lambda v: agent(secrets={"K": v}),
        {"values.string.max_bytes = 32768": ("x" * 32_769, "x" * 32_768), "values have no NUL": ("a\0b", "a b")},
    ),
    Field("Conversation.context_window_limit", "conversation.context_window_limit", limited, bounds("int32", least=1)),
)
