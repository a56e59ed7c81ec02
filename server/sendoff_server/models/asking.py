"""What a call asks of the model library beside the history: tools, and facts about tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import Model as LibraryModel
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModelSettings
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from sendoff_server.models.dialect import Dialect
from sendoff_server.models.port import ModelCall, ToolSpec

_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


def parameters_of(
    call: ModelCall, history: Iterable[ModelMessage], dialect: Dialect
) -> tuple[ModelRequestParameters | None, ModelSettings]:
    """The tools to declare, None if there are none, and the settings that go with them.

    Where a history with tool calls needs tools and no tool may be called now, those of the history are declared, and
    calling them is forbidden.
    """
    if call.tools:
        tools = [_definition(tool, call.settings.strict) for tool in call.tools]
        return ModelRequestParameters(function_tools=tools), _tool_settings(call)
    if dialect.declares_past_tools and (names := sorted(set(_called_in(history)))):
        tools = [ToolDefinition(name=name, parameters_json_schema=_ANY_OBJECT, strict=False) for name in names]
        return ModelRequestParameters(function_tools=tools), ModelSettings(tool_choice="none")
    return None, ModelSettings()


def forced(settings: ModelSettings, model: LibraryModel) -> ModelSettings:
    """The settings, with "auto" in the place of "required" for a model that refuses to be made to call a tool."""
    if settings.get("tool_choice") != "required" or _can_be_forced(model):
        return settings
    return settings | ModelSettings(tool_choice="auto")


def token_settings(call: ModelCall, settings: ModelSettings) -> ModelSettings:
    """What asks an OpenAI-compatible provider for facts about tokens, on top of `settings`.

    Token ids are asked for as vLLM has it, `return_token_ids` in the body and `token_ids` in each choice, and with them
    the log-probabilities that belong to them.
    """
    asked = OpenAIChatModelSettings()
    if call.top_logprobs is not None or call.token_ids:
        asked["openai_logprobs"] = True
        asked["openai_top_logprobs"] = call.top_logprobs or 0
    if call.token_ids:
        extra_body = settings.get("extra_body")
        asked["extra_body"] = {**(extra_body if isinstance(extra_body, dict) else {}), "return_token_ids": True}
        asked["openai_include_unmapped_response_data"] = True
    return cast(ModelSettings, asked)


def _tool_settings(call: ModelCall) -> ModelSettings:
    settings = ModelSettings()
    if call.must_call:
        settings["tool_choice"] = "required"
    if not call.parallel_calls:
        settings["parallel_tool_calls"] = False
    return settings


def _can_be_forced(model: LibraryModel) -> bool:
    profile = model.profile
    if not profile.get("supports_forced_tool_choice", True):
        return False
    thinks = profile.get("thinking_enabled_by_default", False)
    return not thinks or profile.get("supports_forced_tool_choice_with_thinking", True)


def _called_in(history: Iterable[ModelMessage]) -> Iterator[str]:
    for message in history:
        if isinstance(message, ModelResponse):
            yield from (part.tool_name for part in message.parts if isinstance(part, ToolCallPart))


@lru_cache(maxsize=4_096)
def _definition(tool: ToolSpec, strict: bool) -> ToolDefinition:
    """Unless it is strict a schema goes to the provider as it was given."""
    schema = json.loads(tool.parameters) if tool.parameters else _ANY_OBJECT
    return ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=schema, strict=strict)
