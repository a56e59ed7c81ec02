"""Conversations as the API shows them and is told of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server.errors import Unsupported, Violation
from sendoff_server.gateway.asked import message_of
from sendoff_server.gateway.codec.writing import moment
from sendoff_server.gateway.nouns.runs import USER

Json = dict[str, Any]

KEPT = "sendoff.dev/conversation-state"
"""The member of a conversation's metadata under which the door keeps what only the API's programs know."""
_MEMBERS = ("summary", "model", "description", "archived", "hidden")
_KEPT_MEMBERS = ("model_settings", "context_window_limit")


def conversation_json(conversation: v1.Conversation, in_context: Sequence[str] = ()) -> Json:
    """A conversation, in the API's order of members, those of its newer clients behind them. `in_context`: ids of the
    messages that the model is shown."""
    kept = _kept(conversation)
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
        "model_settings": kept.get("model_settings"),
        "last_message_at": _moment_or_none(conversation, "last_message_time"),
        "archived": conversation.archived,
        "archived_at": _moment_or_none(conversation, "archive_time"),
        "context_window_limit": kept.get("context_window_limit"),
        "description": conversation.description if conversation.HasField("description") else None,
        "hidden": conversation.hidden,
    }


def _moment_or_none(conversation: v1.Conversation, name: Any) -> str | None:
    return moment(getattr(conversation, name)) if conversation.HasField(name) else None


def new_conversation(body: Mapping[str, Any]) -> v1.Conversation:
    """What a body wants a conversation to be. Raises InvalidRequest and Unsupported."""
    return _conversation(body, v1.Conversation())


def changes(body: Mapping[str, Any], current: v1.Conversation) -> tuple[v1.Conversation, FieldMask]:
    """What a body wants of a conversation, and which fields that changes. Raises InvalidRequest and Unsupported."""
    wanted = _conversation(body, current)
    paths = [name for name in _MEMBERS if name in body]
    if any(name in body for name in _KEPT_MEMBERS):
        paths.append("metadata")
    return wanted, FieldMask(paths=paths)


def _conversation(body: Mapping[str, Any], current: v1.Conversation) -> v1.Conversation:
    if body.get("isolated_block_labels"):
        raise Unsupported([Violation("isolated_block_labels", "conversations have the memory blocks of their agent")])
    told = {name: body[name] for name in _MEMBERS if name in body}
    conversation = message_of(v1.Conversation, {name: value for name, value in told.items() if value is not None})
    metadata = json.loads(current.metadata.json) if current.HasField("metadata") else {}
    kept = {**_kept(current), **{name: body[name] for name in _KEPT_MEMBERS if name in body}}
    kept = {name: value for name, value in kept.items() if value is not None}
    metadata = {**metadata, KEPT: kept} if kept else {name: metadata[name] for name in metadata if name != KEPT}
    if metadata:
        conversation.metadata.json = json.dumps(metadata, ensure_ascii=False)
    return conversation


def _kept(conversation: v1.Conversation) -> Json:
    told = json.loads(conversation.metadata.json) if conversation.HasField("metadata") else {}
    kept = told.get(KEPT, {})
    return kept if isinstance(kept, dict) else {}
