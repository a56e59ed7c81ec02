"""Conversations beside the default one of each agent."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import ConversationNotFound, InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, is_id, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.conversations import changed_by, conversation_json, wanted_conversation
from sendoff_server.gateway.routes.context_ids import context_ids
from sendoff_server.gateway.routes.conversation_address import addressed
from sendoff_server.gateway.routes.sending_async import idempotency_key
from sendoff_server.use_cases import UseCases

_ORDERS = {
    "created_at": "create_time",
    "last_message_at": "last_message_time",
    "last_run_completion": "last_run_time",
}
_ARCHIVED = {"unarchived": False, "archived": True, "all": None}
_PAGE = 100


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/?agent_id="""
    query = Query(request)
    agent_id = query.an_id("agent_id", "agent")
    query.checked()
    if agent_id is None:
        raise InvalidRequest([Violation("agent_id", "must be set")])
    wanted = wanted_conversation(await body_of(request))
    made = v1.CreateConversationRequest(agent_id=agent_id, conversation=wanted, request_id=idempotency_key(request))
    return await _told(use_cases, await use_cases.conversations.create(acting().tenant, made))


async def fork(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/fork"""
    query = Query(request)
    message_id = query.an_id("message_id", "message")
    hidden = query.flag("hidden")
    query.checked()
    address = await addressed(use_cases, request, query.text("agent_id"))
    wanted = v1.ForkConversationRequest(
        conversation_id=address.conversation_id,
        agent_id=address.agent_id,
        at_message_id=message_id,
        request_id=idempotency_key(request),
    )
    if hidden is not None:
        wanted.conversation.hidden = hidden
    return await _told(use_cases, await use_cases.conversations.fork(acting().tenant, wanted))


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/conversations/{conversation_id}"""
    return await _told(use_cases, await _found(use_cases, request))


async def _told(use_cases: UseCases, conversation: v1.Conversation) -> Response:
    """One conversation, with what the model is shown of it. Lists do without: that would be one look at each."""
    in_context = await context_ids(use_cases, conversation.agent_id, conversation.id)
    return answer(conversation_json(conversation, in_context))


async def _found(use_cases: UseCases, request: Request) -> v1.Conversation:
    wanted = v1.GetConversationRequest(conversation_id=path_id(request, "conversation_id", "conv"))
    return await use_cases.conversations.get(acting().tenant, wanted)


async def list_conversations(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/conversations/: an unknown cursor is ignored, as the reference does."""
    query = Query(request)
    limit, wanted = query.limit(50), _wanted(query)
    query.checked()
    try:
        found = await _listed(use_cases, wanted, limit)
    except ConversationNotFound:
        wanted.ClearField("after_conversation_id")
        found = await _listed(use_cases, wanted, limit)
    return answer([conversation_json(each) for each in found])


def _wanted(query: Query) -> v1.ListConversationsRequest:
    order = query.choice("order", ("asc", "desc"), "desc")
    order_by = query.choice("order_by", tuple(_ORDERS), "created_at")
    archive_status = query.choice("archive_status", tuple(_ARCHIVED), "unarchived")
    after = query.text("after") or ""
    return v1.ListConversationsRequest(
        agent_id=query.an_id("agent_id", "agent"),
        order_by=f"{_ORDERS.get(order_by, '')} {order}",
        archived=_ARCHIVED.get(archive_status),
        summary_search=query.text("summary_search") or None,
        after_conversation_id=after if is_id(after, "conv") else None,
    )


async def _listed(use_cases: UseCases, wanted: v1.ListConversationsRequest, limit: int) -> list[v1.Conversation]:
    found: list[v1.Conversation] = []
    wanted.page_token = ""
    while True:
        wanted.page_size = min(_PAGE, limit - len(found))
        page = await use_cases.conversations.list(acting().tenant, wanted)
        found += page.conversations
        wanted.page_token = page.next_page_token
        if not page.next_page_token or len(found) == limit:
            return found


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/conversations/{conversation_id}"""
    current = await _found(use_cases, request)
    body = await body_of(request)
    wanted, mask = wanted_conversation(body), changed_by(body)
    if not mask.paths:
        return await _told(use_cases, current)
    changed = v1.UpdateConversationRequest(conversation_id=current.id, conversation=wanted, update_mask=mask)
    return await _told(use_cases, await use_cases.conversations.update(acting().tenant, changed))


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/conversations/{conversation_id}"""
    conversation_id = path_id(request, "conversation_id", "conv")
    wanted = v1.DeleteConversationRequest(conversation_id=conversation_id, cancel_runs=True)
    await use_cases.conversations.delete(acting().tenant, wanted)
    return answer(None)


TABLE: Table = (
    ("POST", "/v1/conversations/", create),
    ("GET", "/v1/conversations/", list_conversations),
    ("GET", "/v1/conversations/{conversation_id}", retrieve),
    ("PATCH", "/v1/conversations/{conversation_id}", update),
    ("DELETE", "/v1/conversations/{conversation_id}", delete),
    ("POST", "/v1/conversations/{conversation_id}/fork", fork),
)
