"""Rules of the requests of `ConversationService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.create_message import check_labels, check_message_types
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.limits import MAX_KEY_CHARACTERS
from sendoff_server.validation.model_settings import check_model_settings
from sendoff_server.validation.rules import (
    AGENT_ID,
    CONVERSATION_ID,
    MESSAGE_ID,
    MESSAGE_ORDERS,
    check_choice,
    check_conversation_id,
    check_id,
    check_length,
    check_message_bounds,
    check_number,
    check_size,
)
from sendoff_server.validation.violations import Violations

CONVERSATION_UPDATABLE = (
    "summary",
    "model",
    "metadata",
    "labels",
    "description",
    "archived",
    "hidden",
    "model_settings",
    "context_window_limit",
)
"""What an update mask may name."""

CONVERSATION_ORDERS = ("create_time", "last_message_time", "last_run_time")
"""What order_by may name, alone or with a direction behind it."""
_DIRECTIONS = ("", " asc", " desc")

_SUMMARY_BYTES = 65_536
_SEARCH_CHARACTERS = 255


def check_create_conversation(request: v1.CreateConversationRequest) -> None:
    found = Violations()
    check_id(found, "agent_id", request.agent_id, AGENT_ID)
    _check_new(found, request)
    found.refuse()


def check_fork_conversation(request: v1.ForkConversationRequest) -> None:
    found = Violations()
    _check_address(found, request)
    if request.HasField("at_message_id"):
        check_id(found, "at_message_id", request.at_message_id, MESSAGE_ID)
    _check_new(found, request)
    found.refuse()


def check_get_conversation(request: v1.GetConversationRequest) -> None:
    found = Violations()
    check_id(found, "conversation_id", request.conversation_id, CONVERSATION_ID)
    found.refuse()


def check_list_conversations(request: v1.ListConversationsRequest) -> None:
    found = Violations()
    if request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    check_number(found, "page_size", request.page_size, least=0)
    orders = ["", *(f"{by}{direction}" for by in CONVERSATION_ORDERS for direction in _DIRECTIONS)]
    check_choice(found, "order_by", request.order_by, orders)
    if request.HasField("summary_search"):
        check_length(found, "summary_search", request.summary_search, least=1, most=_SEARCH_CHARACTERS)
    if request.HasField("after_conversation_id"):
        check_id(found, "after_conversation_id", request.after_conversation_id, CONVERSATION_ID)
    found.refuse()


def check_update_conversation(request: v1.UpdateConversationRequest) -> None:
    """Output-only fields are let through, so that a conversation that was read can be sent back changed."""
    found = Violations()
    check_id(found, "conversation_id", request.conversation_id, CONVERSATION_ID)
    _check_conversation(found, request.conversation)
    if request.conversation.id not in ("", request.conversation_id):
        found.add("conversation.id", "must be conversation_id or empty")
    for index, path in enumerate(request.update_mask.paths):
        if path not in CONVERSATION_UPDATABLE:
            found.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(CONVERSATION_UPDATABLE)}")
    found.refuse()


def check_delete_conversation(request: v1.DeleteConversationRequest) -> None:
    found = Violations()
    check_id(found, "conversation_id", request.conversation_id, CONVERSATION_ID)
    found.refuse()


def check_get_conversation_context(request: v1.GetConversationContextRequest) -> None:
    found = Violations()
    _check_address(found, request)
    found.refuse()


def check_compact_conversation(request: v1.CompactConversationRequest) -> None:
    _check_upkeep(request)


def check_reset_conversation(request: v1.ResetConversationRequest) -> None:
    _check_upkeep(request)


def _check_upkeep(request: v1.CompactConversationRequest | v1.ResetConversationRequest) -> None:
    found = Violations()
    _check_address(found, request)
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    found.refuse()


def check_list_messages(request: v1.ListMessagesRequest) -> None:
    found = Violations()
    if request.conversation_id:
        _check_address(found, request)
    elif request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    check_number(found, "page_size", request.page_size, least=0)
    check_choice(found, "order_by", request.order_by, MESSAGE_ORDERS)
    check_message_types(found, "message_types", request.message_types)
    check_message_bounds(found, request)
    for name in ("assistant_message_tool_name", "assistant_message_tool_kwarg"):
        check_length(found, name, getattr(request, name), most=255)
    found.refuse()


def check_get_message(request: v1.GetMessageRequest) -> None:
    found = Violations()
    check_id(found, "message_id", request.message_id, MESSAGE_ID)
    found.refuse()


_Addressed = (
    v1.ForkConversationRequest
    | v1.ListMessagesRequest
    | v1.CompactConversationRequest
    | v1.ResetConversationRequest
    | v1.GetConversationContextRequest
)


def _check_address(found: Violations, request: _Addressed) -> None:
    check_conversation_id(found, "conversation_id", request.conversation_id)
    if request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    elif request.conversation_id == "default":
        found.add("agent_id", "must be set, unless conversation_id names a conversation")


def _check_new(found: Violations, request: v1.CreateConversationRequest | v1.ForkConversationRequest) -> None:
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    conversation = request.conversation
    _check_conversation(found, conversation)
    for field, _ in conversation.ListFields():
        if field.name not in CONVERSATION_UPDATABLE:
            found.add(f"conversation.{field.name}", "is made by the server")


def _check_conversation(found: Violations, conversation: v1.Conversation) -> None:
    check_size(found, "conversation.summary", conversation.summary, most=_SUMMARY_BYTES)
    check_size(found, "conversation.description", conversation.description, most=_SUMMARY_BYTES)
    if conversation.HasField("model"):
        check_length(found, "conversation.model", conversation.model, least=1, most=255)
    check_json_object(found, "conversation.metadata", conversation.metadata)
    check_labels(found, "conversation.labels", conversation.labels)
    check_model_settings(found, "conversation.model_settings", conversation.model_settings)
    if conversation.HasField("context_window_limit"):
        check_number(found, "conversation.context_window_limit", conversation.context_window_limit, least=1)
