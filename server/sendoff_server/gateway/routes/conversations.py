"""Conversations beside the default one of each agent."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, message_of, path_id
from sendoff_server.gateway.codec.writing import moment
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.nouns.conversation_settings import (
    SETTINGS,
    conversation_settings_json,
    read_conversation_settings,
)
from sendoff_server.gateway.nouns.runs import USER
from sendoff_server.use_cases import UseCases

KEPT = "sendoff.dev/conversation-state"
_MEMBERS = ("summary", "model")
_KEPT_MEMBERS = ("isolated_block_labels", "description", "hidden", "archived")
_PAGE = 100


def conversation_json(conversation: v1.Conversation) -> dict[str, Any]:
    kept = _kept(conversation)
    last = conversation.last_message_time
    return {
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "created_at": moment(conversation.create_time),
        "updated_at": moment(conversation.update_time),
        "id": conversation.id,
        "agent_id": conversation.agent_id,
        "summary": conversation.summary if conversation.HasField("summary") else None,
        "in_context_message_ids": [],
        "isolated_block_ids": [],
        "model": conversation.model if conversation.HasField("model") else None,
        **conversation_settings_json(conversation),
        "last_message_at": moment(last) if conversation.HasField("last_message_time") else None,
        "archived": bool(kept.get("archived", False)),
        "description": kept.get("description"),
    }


def _kept(conversation: v1.Conversation) -> dict[str, Any]:
    told = json.loads(conversation.metadata.json) if conversation.HasField("metadata") else {}
    kept = told.get(KEPT, {})
    return kept if isinstance(kept, dict) else {}


def _conversation(body: dict[str, Any], kept: dict[str, Any]) -> v1.Conversation:
    conversation = message_of(v1.Conversation, {name: body[name] for name in _MEMBERS if name in body})
    read_conversation_settings(conversation, body)
    kept = {**kept, **{name: body[name] for name in _KEPT_MEMBERS if body.get(name) is not None}}
    if kept:
        conversation.metadata.json = json.dumps({KEPT: kept}, ensure_ascii=False)
    return conversation


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/?agent_id="""
    query = Query(request)
    agent_id = query.an_id("agent_id", "agent")
    query.checked()
    if agent_id is None:
        raise InvalidRequest([Violation("agent_id", "must be set")])
    wanted = _conversation(await body_of(request), {})
    made = v1.CreateConversationRequest(agent_id=agent_id, conversation=wanted)
    return answer(conversation_json(await use_cases.conversations.create(TENANT, made)))


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/conversations/{conversation_id}"""
    return answer(conversation_json(await _found(use_cases, request)))


async def _found(use_cases: UseCases, request: Request) -> v1.Conversation:
    wanted = v1.GetConversationRequest(conversation_id=path_id(request, "conversation_id", "conv"))
    return await use_cases.conversations.get(TENANT, wanted)


async def list_conversations(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/conversations/"""
    query = Query(request)
    limit, order = query.limit(50), query.choice("order", ("asc", "desc"), "desc")
    order_by = query.choice("order_by", ("created_at", "last_run_completion", "last_message_at"), "created_at")
    agent_id, after = query.an_id("agent_id", "agent"), query.text("after")
    search = (query.text("summary_search") or "").lower()
    query.checked()
    found = [each for each in await _all(use_cases, agent_id) if search in each.summary.lower()]
    if order_by != "created_at":
        found.sort(key=lambda each: each.last_message_time.ToNanoseconds(), reverse=True)
    if order == "asc":
        found.reverse()
    ids = [each.id for each in found]
    first = ids.index(after) + 1 if after in ids else 0
    return answer([conversation_json(each) for each in found[first : first + limit]])


async def _all(use_cases: UseCases, agent_id: str | None) -> list[v1.Conversation]:
    found: list[v1.Conversation] = []
    wanted = v1.ListConversationsRequest(page_size=_PAGE)
    if agent_id is not None:
        wanted.agent_id = agent_id
    while True:
        page = await use_cases.conversations.list(TENANT, wanted)
        found += page.conversations
        if not page.next_page_token:
            return found
        wanted.page_token = page.next_page_token


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/conversations/{conversation_id}"""
    current = await _found(use_cases, request)
    body = await body_of(request)
    wanted = _conversation(body, _kept(current))
    paths = [name for name in (*_MEMBERS, *SETTINGS) if name in body]
    paths += ["metadata"] if wanted.HasField("metadata") else []
    changed = v1.UpdateConversationRequest(
        conversation_id=current.id, conversation=wanted, update_mask=FieldMask(paths=paths)
    )
    return answer(conversation_json(await use_cases.conversations.update(TENANT, changed) if paths else current))


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/conversations/{conversation_id}"""
    conversation_id = path_id(request, "conversation_id", "conv")
    wanted = v1.DeleteConversationRequest(conversation_id=conversation_id, cancel_runs=True)
    await use_cases.conversations.delete(TENANT, wanted)
    return answer(None)


TABLE: Table = (
    ("POST", "/v1/conversations/", create),
    ("GET", "/v1/conversations/", list_conversations),
    ("GET", "/v1/conversations/{conversation_id}", retrieve),
    ("PATCH", "/v1/conversations/{conversation_id}", update),
    ("DELETE", "/v1/conversations/{conversation_id}", delete),
)
