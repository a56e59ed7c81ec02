"""What the API calls the kinds of places that models come from."""

from __future__ import annotations

from collections.abc import Mapping

from sendoff import v1

_TYPES: Mapping[str, str] = {
    "anthropic": "anthropic",
    "deepseek": "deepseek",
    "google": "google_ai",
    "groq": "groq",
    "lmstudio": "lmstudio_openai",
    "mistral": "mistral",
    "ollama": "ollama",
    "openrouter": "openrouter",
    "together": "together",
    "vllm": "vllm",
    "xai": "xai",
}
"""By the first word of handles; every other place speaks as OpenAI does."""
_WITH_SETTINGS = frozenset({"anthropic", "deepseek", "google_ai", "groq", "openrouter", "together", "xai"})
"""Those whose model settings have a shape of their own."""
_ENDPOINTS: Mapping[str, str] = {"lmstudio_openai": "lmstudio"}

ASSUMED_WINDOW = 32_000
"""Of a model of which nobody tells; the loop assumes as much."""


def provider_type(handle: str) -> str:
    return _TYPES.get(handle.partition("/")[0], "openai")


def settings_type(handle: str) -> str:
    """The shape of its model settings."""
    kind = provider_type(handle)
    return kind if kind in _WITH_SETTINGS else "openai"


def endpoint_type(handle: str) -> str:
    kind = provider_type(handle)
    return _ENDPOINTS.get(kind, kind)


def window_of(model: v1.Model) -> int:
    return model.context_window or ASSUMED_WINDOW
