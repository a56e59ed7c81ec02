"""Messages of agents and conversations, and one by one. The runs' own are with the runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import InvalidRequest, Unsupported, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, is_id, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.message_pages import (
    Entries,
    Read,
    Span,
    StoredPage,
    page_behind_system,
    page_of,
    span_of,
    system_entry,
)
from sendoff_server.gateway.nouns.messages import messages_json
from sendoff_server.gateway.routes.conversation_address import addressed
from sendoff_server.use_cases import UseCases


async def list_agent_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/{agent_id}/messages: always in the order of time; `desc` selects the newest ones."""
    agent_id = path_id(request, "agent_id", "agent")
    asked = _asked(Query(request))
    agent = await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
    of = v1.ListMessagesRequest(agent_id=agent_id, conversation_id=asked.conversation_id)
    found = await _page(use_cases, asked, of, agent)
    return answer(_told(found[::-1] if asked.span.newest_first else found))


async def list_conversation_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/conversations/{conversation_id}/messages: `desc` is really newest first here; cursors are by time."""
    query = Query(request)
    asked = _asked(query)
    address = await addressed(use_cases, request, query.text("agent_id"))
    agent = await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=address.agent_id))
    of = v1.ListMessagesRequest(agent_id=address.agent_id, conversation_id=address.conversation_id)
    return answer(_told(await _page(use_cases, asked, of, agent)))


async def list_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/messages/: of all agents, always in the order of time; `desc` selects the newest ones. System prompts are
    not among them."""
    asked = _asked(Query(request))
    of = v1.ListMessagesRequest(conversation_id=asked.conversation_id)
    found = await page_of(_reader(use_cases, asked, of), asked.span)
    return answer(_told(found[::-1] if asked.span.newest_first else found))


async def retrieve_message(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/messages/{message_id}: a list of its entries."""
    wanted = v1.GetMessageRequest(message_id=path_id(request, "message_id", "message"))
    found = await use_cases.conversations.get_message(acting().tenant, wanted)
    return answer(_told([list(found.messages)]))


# ---- what is asked ----


@dataclass(frozen=True, slots=True)
class _Asked:
    span: Span
    types: list[v1.MessageType.ValueType]
    conversation_id: str
    """Empty for all."""
    use_assistant_message: bool
    tool_name: str | None
    tool_kwarg: str | None


def _asked(query: Query) -> _Asked:
    """Raises InvalidRequest, Unsupported. `include_err` changes nothing: no message here is told only with it."""
    span, types = span_of(query, "desc"), query.message_types("include_return_message_types")
    query.choice("order_by", ("created_at",), "created_at")
    query.flag("include_err")
    spoken = query.flag("use_assistant_message")
    conversation_id = query.text("conversation_id") or ""
    query.checked()
    if conversation_id not in ("", "default") and not is_id(conversation_id, "conv"):
        raise InvalidRequest([Violation("conversation_id", "must be conv-<uuid4> in lower case, or default")])
    if query.text("group_id"):
        raise Unsupported([Violation("group_id", "there are no groups of agents")])
    return _Asked(
        span=span,
        types=types,
        conversation_id=conversation_id,
        use_assistant_message=True if spoken is None else spoken,
        tool_name=query.text("assistant_message_tool_name"),
        tool_kwarg=query.text("assistant_message_tool_kwarg"),
    )


async def _page(use_cases: UseCases, asked: _Asked, of: v1.ListMessagesRequest, agent: v1.Agent) -> list[Entries]:
    """The messages in the order asked for, the agent's system prompt as the oldest."""
    is_told = not asked.types or v1.MESSAGE_TYPE_SYSTEM_MESSAGE in asked.types
    return await page_behind_system(_reader(use_cases, asked, of), asked.span, system_entry(agent), is_told=is_told)


def _reader(use_cases: UseCases, asked: _Asked, of: v1.ListMessagesRequest) -> Read:
    async def read(span: Span, page_token: str, limit: int) -> StoredPage:
        wanted = v1.ListMessagesRequest(
            message_types=asked.types,
            newer_than_message_id=span.newer_than,
            older_than_message_id=span.older_than,
            order_by=span.order_by,
            page_size=limit,
            page_token=page_token,
            use_assistant_message=asked.use_assistant_message,
            assistant_message_tool_name=asked.tool_name,
            assistant_message_tool_kwarg=asked.tool_kwarg,
        )
        wanted.MergeFrom(of)
        return await use_cases.conversations.list_messages(acting().tenant, wanted)

    return read


def _told(messages: Iterable[Entries]) -> list[dict[str, Any]]:
    return messages_json(entry for entries in messages for entry in entries)


TABLE: Table = (
    ("GET", "/v1/agents/{agent_id}/messages", list_agent_messages),
    ("GET", "/v1/conversations/{conversation_id}/messages", list_conversation_messages),
    ("GET", "/v1/messages/", list_messages),
    ("GET", "/v1/messages/{message_id}", retrieve_message),
)
