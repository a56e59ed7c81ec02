"""How a model is called, as the API has it: `model_settings`, whose shape depends on the provider, and what older
programs say instead of it, in members of an agent and in `llm_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.reading import read
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.nouns.provider_types import endpoint_type, settings_type, window_of
from sendoff_server.validation.violations import Violations

Json = dict[str, Any]

_PLAIN = ("temperature", "top_p", "max_output_tokens", "parallel_tool_calls", "frequency_penalty", "seed", "verbosity")
"""Members that the contract has under the same name."""
_NOT_HERE = {"tool_call_parser": "tool calls are read as the provider tells them"}
"""Members that would change answers, and cannot be honoured."""
_REASONING_TOKENS = 1_024
"""Of a model that is to reason and wants to be told how much."""


# ---- what is asked for ----


def read_model_settings(told: object, path: str, found: Violations) -> v1.ModelSettings:
    """`model_settings` of whatever provider."""
    settings = v1.ModelSettings()
    if not isinstance(told, dict):
        found.add(path, "must be an object")
        return settings
    for name, why in _NOT_HERE.items():
        if told.get(name) is not None:
            found.add(f"{path}.{name}", f"cannot be set here: {why}")
    form = told.get("response_format")
    members = {
        **{name: told[name] for name in (*_PLAIN, "strict") if name in told},
        "response_format": told.get("response_schema") if form is None else form,
        "reasoning_effort": _inside(told, "reasoning", "reasoning_effort", path, found) or told.get("effort"),
        "max_reasoning_tokens": _budget(told, path, found),
    }
    read(settings, _unless_nothing(members), path, found)
    return settings


def _budget(told: Mapping[str, Any], path: str, found: Violations) -> object:
    kind = _inside(told, "thinking", "type", path, found)
    if kind == "disabled":
        return 0
    if kind not in (None, "enabled"):
        found.add(f"{path}.thinking.type", "must be one of enabled, disabled")
    budget = _inside(told, "thinking", "budget_tokens", path, found)
    return _inside(told, "thinking_config", "thinking_budget", path, found) if budget is None else budget


def _inside(told: Mapping[str, Any], outer: str, inner: str, path: str, found: Violations) -> object:
    value = told.get(outer)
    if isinstance(value, dict):
        return value.get(inner)
    if value is not None:
        found.add(f"{path}.{outer}", "must be an object")
    return None


def _unless_nothing(members: Mapping[str, object]) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def read_older_settings(body: Mapping[str, Any], model: v1.Model, found: Violations) -> v1.ModelSettings:
    """What is said in members of the agent itself, and in `llm_config`, which counts less.

    `reasoning` and `enable_reasoner` are for models that can reason: where `model` must be told how much, a little.
    """
    config = body.get("llm_config")
    config = config if isinstance(config, dict) else {}
    settings = v1.ModelSettings()
    for told, path in ((config, "llm_config"), (body, "")):
        form = told.get("response_format")
        members = {
            **({name: told.get(name) for name in (*_PLAIN, "strict")} if told is config else {}),
            "max_output_tokens": told.get("max_tokens"),
            "parallel_tool_calls": told.get("parallel_tool_calls"),
            "response_format": form,
            "reasoning_effort": (config.get("reasoning_effort") or config.get("effort")) if told is config else None,
        }
        if form is not None:
            settings.ClearField("response_format")
        read(settings, _unless_nothing(members), path, found)
        _read_reasoning(settings, told, path, model, found)
    return settings


def _read_reasoning(
    settings: v1.ModelSettings, told: Mapping[str, Any], path: str, model: v1.Model, found: Violations
) -> None:
    member = "reasoning" if told.get("reasoning") is not None else "enable_reasoner"
    wanted, budget = told.get(member), told.get("max_reasoning_tokens")
    where = f"{path}.{member}" if path else member
    if wanted is not None and not isinstance(wanted, bool):
        found.add(where, "must be true or false")
    elif wanted is False:
        settings.ClearField("max_reasoning_tokens")
        if _reasons(model):
            settings.reasoning_effort = v1.REASONING_EFFORT_NONE
    elif wanted and not _reasons(model) and not path:  # a whole llm_config says so for all models
        found.add(where, f"{model.handle} does not reason; leave it out, or choose another model")
    elif budget or (wanted and not path and "max_reasoning_tokens" in model.supported_settings):
        read(settings, {"max_reasoning_tokens": budget or _REASONING_TOKENS}, path, found)


def _reasons(model: v1.Model) -> bool:
    return bool({"reasoning_effort", "max_reasoning_tokens"} & set(model.supported_settings))


# ---- what is told ----


def model_settings_json(settings: v1.ModelSettings, handle: str, *, parallel: bool | None = None) -> Json:
    """The settings in the shape of the model's provider; what is not set is null. `parallel`: what is so without being
    set."""
    kind, told = settings_type(handle), written(settings)
    form = "response_schema" if kind == "google_ai" else "response_format"
    shared = {name: told[name] for name in _PLAIN}
    effort = told["reasoning_effort"]
    return {
        "provider_type": kind,
        **shared,
        "parallel_tool_calls": parallel if told["parallel_tool_calls"] is None else told["parallel_tool_calls"],
        form: told["response_format"],
        "strict": settings.strict,
        **_reasoning_json(kind, effort, settings),
    }


def _reasoning_json(kind: str, effort: str | None, settings: v1.ModelSettings) -> Json:
    budget = settings.max_reasoning_tokens if settings.HasField("max_reasoning_tokens") else None
    match kind:
        case "anthropic":
            thinking = (
                None if budget is None else {"type": "enabled" if budget else "disabled", "budget_tokens": budget}
            )
            return {"effort": effort, "thinking": thinking}
        case "google_ai":
            return {"reasoning": {"reasoning_effort": effort}, "thinking_config": None}
        case _:
            return {"reasoning": {"reasoning_effort": effort}}


def llm_config_json(agent: v1.Agent, model: v1.Model, *, parallel: bool) -> Json:
    """The older form of the same, with what is known of the model."""
    provider, _, name = agent.model.partition("/")
    told = written(agent.model_settings)
    limit = agent.context_window_limit
    window = min(limit, window_of(model)) if limit and model.context_window else limit or window_of(model)
    nothing = ("model_endpoint", "model_wrapper", "compatibility_type", "tier", "tool_call_parser")
    return {
        "model": name or agent.model,
        "display_name": name or agent.model,
        "context_window": window,
        "model_endpoint_type": endpoint_type(agent.model),
        "provider_name": provider,
        "provider_category": "base",
        "handle": agent.model,
        "put_inner_thoughts_in_kwargs": False,
        "temperature": told["temperature"],
        "max_tokens": told["max_output_tokens"],
        "enable_reasoner": None,
        "reasoning_effort": told["reasoning_effort"],
        "max_reasoning_tokens": agent.model_settings.max_reasoning_tokens,
        "effort": None,
        "frequency_penalty": told["frequency_penalty"],
        "verbosity": told["verbosity"],
        "parallel_tool_calls": parallel,
        "response_format": told["response_format"],
        "strict": agent.model_settings.strict,
        "return_logprobs": False,
        "top_logprobs": None,
        "return_token_ids": False,
        **dict.fromkeys(nothing),
    }
