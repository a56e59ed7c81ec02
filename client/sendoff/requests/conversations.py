"""Requests about conversations and their messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import methods, v1
from sendoff.methods import Call
from sendoff.requests.json_text import json_object
from sendoff.requests.request_ids import new_request_id


class ConversationFields(TypedDict, total=False):
    """What a conversation has and a caller may set. None is as if it were not given; in an update it takes away."""

    summary: str | None
    description: str | None
    model: str | None
    """Wins over the agent's."""
    archived: bool | None
    hidden: bool | None
    """Left out of lists, but for those that ask for what is hidden."""
    labels: Mapping[str, str] | None
    metadata: Mapping[str, Any] | None
    model_settings: v1.ModelSettings | None
    """How the model is called; wins over the agent's, field by field."""
    context_window_limit: int | None
    """Wins over the agent's."""


class ConversationFilters(TypedDict, total=False):
    """Which conversations to list, in which order. None is as if it were not given. See ListConversationsRequest."""

    order_by: str
    """"last_message_time desc", for example; unset: the newest first."""
    summary_search: str | None
    archived: bool | None
    show_hidden: bool
    after_conversation_id: str | None
    page_size: int


class MessageFilters(TypedDict, total=False):
    """Which messages to list, and in which order. See ListMessagesRequest."""

    agent_id: str | None
    """With conversation_id "default": whose. With an empty one: all of this agent; without that too: of all agents."""
    order_by: str
    """"position" is oldest first; unset: newest first."""
    message_types: Sequence[v1.MessageType.ValueType]
    newer_than_message_id: str | None
    older_than_message_id: str | None
    use_assistant_message: bool | None
    """Show calls of the tool through which the agent speaks as what it says."""
    assistant_message_tool_name: str | None
    assistant_message_tool_kwarg: str | None
    page_size: int


def create_conversation(
    agent_id: str, request_id: str | None, fields: ConversationFields
) -> Call[v1.CreateConversationRequest, v1.Conversation]:
    """CreateConversation, with a request_id in any case."""
    request = v1.CreateConversationRequest(
        agent_id=agent_id, conversation=_conversation(fields), request_id=request_id or new_request_id()
    )
    return Call(methods.CREATE_CONVERSATION, request, is_repeatable=True)


def fork_conversation(
    conversation_id: str,
    agent_id: str | None,
    at_message_id: str | None,
    request_id: str | None,
    fields: ConversationFields,
) -> Call[v1.ForkConversationRequest, v1.Conversation]:
    """ForkConversation, with a request_id in any case."""
    request = v1.ForkConversationRequest(
        conversation_id=conversation_id,
        agent_id=agent_id,
        at_message_id=at_message_id,
        conversation=_conversation(fields),
        request_id=request_id or new_request_id(),
    )
    return Call(methods.FORK_CONVERSATION, request, is_repeatable=True)


def get_conversation(conversation_id: str) -> Call[v1.GetConversationRequest, v1.Conversation]:
    return methods.GET_CONVERSATION.call(v1.GetConversationRequest(conversation_id=conversation_id))


def update_conversation(
    conversation_id: str, etag: str | None, fields: ConversationFields
) -> Call[v1.UpdateConversationRequest, v1.Conversation]:
    """UpdateConversation of exactly the fields that are given. With an etag it is not repeated, as UpdateAgent."""
    conversation = _conversation(fields)
    conversation.etag = etag or ""
    request = v1.UpdateConversationRequest(
        conversation_id=conversation_id, conversation=conversation, update_mask=FieldMask(paths=sorted(fields))
    )
    return Call(methods.UPDATE_CONVERSATION, request, is_repeatable=not etag)


def delete_conversation(
    conversation_id: str, *, cancel_runs: bool
) -> Call[v1.DeleteConversationRequest, v1.DeleteConversationResponse]:
    request = v1.DeleteConversationRequest(conversation_id=conversation_id, cancel_runs=cancel_runs)
    return methods.DELETE_CONVERSATION.call(request)


def get_conversation_context(
    conversation_id: str, agent_id: str | None
) -> Call[v1.GetConversationContextRequest, v1.ConversationContext]:
    request = v1.GetConversationContextRequest(conversation_id=conversation_id, agent_id=agent_id)
    return methods.GET_CONVERSATION_CONTEXT.call(request)


def compact_conversation(
    conversation_id: str, agent_id: str | None, request_id: str | None
) -> Call[v1.CompactConversationRequest, v1.CompactConversationResponse]:
    """CompactConversation, with a request_id in any case."""
    request = v1.CompactConversationRequest(
        conversation_id=conversation_id, agent_id=agent_id, request_id=request_id or new_request_id()
    )
    return Call(methods.COMPACT_CONVERSATION, request, is_repeatable=True)


def reset_conversation(
    conversation_id: str, agent_id: str | None, request_id: str | None
) -> Call[v1.ResetConversationRequest, v1.ResetConversationResponse]:
    """ResetConversation, with a request_id in any case."""
    request = v1.ResetConversationRequest(
        conversation_id=conversation_id, agent_id=agent_id, request_id=request_id or new_request_id()
    )
    return Call(methods.RESET_CONVERSATION, request, is_repeatable=True)


def list_messages(conversation_id: str, filters: MessageFilters) -> v1.ListMessagesRequest:
    return v1.ListMessagesRequest(conversation_id=conversation_id, **filters)


def get_message(message_id: str) -> Call[v1.GetMessageRequest, v1.GetMessageResponse]:
    return methods.GET_MESSAGE.call(v1.GetMessageRequest(message_id=message_id))


def _conversation(fields: ConversationFields) -> v1.Conversation:
    return v1.Conversation(
        summary=fields.get("summary"),
        description=fields.get("description"),
        model=fields.get("model"),
        archived=bool(fields.get("archived")),
        hidden=bool(fields.get("hidden")),
        labels=fields.get("labels"),
        metadata=json_object(fields.get("metadata")),
        model_settings=fields.get("model_settings"),
        context_window_limit=fields.get("context_window_limit"),
    )
