"""Settings of a call in the words of each dialect. They are sent as they are, so that a model that cannot take one says
so, and nothing is dropped on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from pydantic_ai.settings import ModelSettings

from sendoff import v1

Json = dict[str, Any]
Body = Callable[[v1.ModelSettings], Json]
"""Makes the members of a request's body, beside the limit of tokens, which the library knows to send."""

_EFFORT_PREFIX, _VERBOSITY_PREFIX = len("REASONING_EFFORT_"), len("VERBOSITY_")
_NO_EFFORTS = frozenset({v1.REASONING_EFFORT_NONE, v1.REASONING_EFFORT_UNSPECIFIED})
_SCHEMA_NAME = "answer"
"""Of a schema without a name, which OpenAI wants."""


def with_settings(settings: ModelSettings, wanted: v1.ModelSettings, body: Body) -> ModelSettings:
    """The library's settings and what is wanted on top of them."""
    members = body(wanted)
    extra_body = settings.get("extra_body")
    if members:
        whole = {**(extra_body if isinstance(extra_body, dict) else {}), **members}
        settings = settings | ModelSettings(extra_body=whole)
    if wanted.HasField("max_output_tokens"):
        settings = settings | ModelSettings(max_tokens=wanted.max_output_tokens)
    return settings


def chat(wanted: v1.ModelSettings) -> Json:
    """Chat completions."""
    body = _plain(wanted, "temperature", "top_p", "frequency_penalty", "seed")
    if wanted.HasField("reasoning_effort"):
        body["reasoning_effort"] = _effort(wanted)
    if wanted.HasField("verbosity"):
        body["verbosity"] = _verbosity(wanted)
    match wanted.response_format.WhichOneof("format"):
        case "json_object":
            body["response_format"] = {"type": "json_object"}
        case "json_schema":
            body["response_format"] = {"type": "json_schema", "json_schema": named_schema(wanted)}
    return body


def responses(wanted: v1.ModelSettings) -> Json:
    """OpenAI's Responses API."""
    body = _plain(wanted, "temperature", "top_p")
    if wanted.HasField("reasoning_effort"):
        body["reasoning"] = {"effort": _effort(wanted)}
    text: Json = {"verbosity": _verbosity(wanted)} if wanted.HasField("verbosity") else {}
    match wanted.response_format.WhichOneof("format"):
        case "json_object":
            text["format"] = {"type": "json_object"}
        case "json_schema":
            text["format"] = {"type": "json_schema", **named_schema(wanted)}
    return {**body, "text": text} if text else body


def messages(wanted: v1.ModelSettings) -> Json:
    """Anthropic's messages."""
    body = _plain(wanted, "temperature", "top_p")
    output: Json = {}
    if wanted.HasField("reasoning_effort"):
        if wanted.reasoning_effort in _NO_EFFORTS:
            body["thinking"] = {"type": "disabled"}
        else:
            output["effort"] = "low" if wanted.reasoning_effort == v1.REASONING_EFFORT_MINIMAL else _effort(wanted)
    if wanted.HasField("max_reasoning_tokens"):
        budget = wanted.max_reasoning_tokens
        body["thinking"] = {"type": "enabled", "budget_tokens": budget} if budget else {"type": "disabled"}
    if wanted.response_format.HasField("json_schema"):
        output["format"] = {"type": "json_schema", "schema": named_schema(wanted)["schema"]}
    return {**body, "output_config": output} if output else body


def named_schema(wanted: v1.ModelSettings) -> Json:
    """The schema that answers are to fit as OpenAI has it: {"name", "schema", ...}."""
    told: Json = json.loads(wanted.response_format.json_schema.json_schema.json)
    return {**told, "name": told.get("name") or _SCHEMA_NAME}


def _plain(wanted: Message, *names: str) -> Json:
    return {name: getattr(wanted, name) for name in names if wanted.HasField(name)}


def _effort(wanted: v1.ModelSettings) -> str:
    return v1.ReasoningEffort.Name(wanted.reasoning_effort)[_EFFORT_PREFIX:].lower()


def _verbosity(wanted: v1.ModelSettings) -> str:
    return v1.Verbosity.Name(wanted.verbosity)[_VERBOSITY_PREFIX:].lower()
