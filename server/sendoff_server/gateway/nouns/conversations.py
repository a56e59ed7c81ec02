"""Conversations as the API shows them and is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server.errors import Unsupported, Violation
from sendoff_server.gateway.asked import message_of
from sendoff_server.gateway.codec.writing import moment
from sendoff_server.gateway.nouns.conversation_settings import (
    SETTINGS,
    conversation_settings_json,
    read_conversation_settings,
)
from sendoff_server.gateway.nouns.runs import USER

Json = dict[str, Any]

_MEMBERS = ("summary", "model", "description", "archived", "hidden")


def conversation_json(conversation: v1.Conversation, in_context: Sequence[str] = ()) -> Json:
    """A conversation, in the API's order of members, those of its newer clients behind them. `in_context`: ids of the
    messages that the model is shown."""
    settings = conversation_settings_json(conversation)
    return {
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "created_at": moment(conversation.create_time),
        "updated_at": moment(conversation.update_time),
        "id": conversation.id,
        "agent_id": conversation.agent_id,
        "summary": conversation.summary if conversation.HasField("summary") else None,
        "in_context_message_ids": list(in_context),
        "isolated_block_ids": [],
        "model": conversation.model if conversation.HasField("model") else None,
        "model_settings": settings["model_settings"],
        "last_message_at": _moment_or_none(conversation, "last_message_time"),
        "archived": conversation.archived,
        "archived_at": _moment_or_none(conversation, "archive_time"),
        "context_window_limit": settings["context_window_limit"],
        "description": conversation.description if conversation.HasField("description") else None,
        "hidden": conversation.hidden,
    }


def _moment_or_none(conversation: v1.Conversation, name: Any) -> str | None:
    return moment(getattr(conversation, name)) if conversation.HasField(name) else None


def wanted_conversation(body: Mapping[str, Any]) -> v1.Conversation:
    """What a body wants a conversation to be. Raises InvalidRequest and Unsupported."""
    if body.get("isolated_block_labels"):
        raise Unsupported([Violation("isolated_block_labels", "conversations have the memory blocks of their agent")])
    told = {name: body[name] for name in _MEMBERS if body.get(name) is not None}
    conversation = message_of(v1.Conversation, told)
    read_conversation_settings(conversation, body)
    return conversation


def changed_by(body: Mapping[str, Any]) -> FieldMask:
    """Which fields of a conversation a body is to change; null takes one away."""
    return FieldMask(paths=[name for name in (*_MEMBERS, *SETTINGS) if name in body])
