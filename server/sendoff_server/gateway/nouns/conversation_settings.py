"""What a conversation is set to, as the API has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.reading import read
from sendoff_server.gateway.nouns.model_settings import model_settings_json, read_model_settings
from sendoff_server.validation.violations import Violations

SETTINGS = ("model_settings", "context_window_limit")
"""Members with which it is told; null takes them away."""


def read_conversation_settings(conversation: v1.Conversation, body: Mapping[str, Any]) -> None:
    """Put what the body says into the conversation. Raises InvalidRequest."""
    found = Violations()
    if body.get("model_settings") is not None:
        told = read_model_settings(body["model_settings"], "model_settings", found)
        conversation.model_settings.CopyFrom(told)
    if body.get("context_window_limit") is not None:
        read(conversation, {"context_window_limit": body["context_window_limit"]}, "", found)
    found.refuse()


def conversation_settings_json(conversation: v1.Conversation) -> dict[str, Any]:
    """What is not set is null; without a model of its own the settings have the shape of OpenAI's."""
    limit = conversation.context_window_limit if conversation.HasField("context_window_limit") else None
    settings = None
    if conversation.HasField("model_settings"):
        told = conversation.model_settings
        settings = model_settings_json(told, conversation.model)
    return {"model_settings": settings, "context_window_limit": limit}
