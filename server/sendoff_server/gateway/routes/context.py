"""What the model is shown of conversations: compacting it, emptying it, and the system prompt in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import Unsupported, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, flag, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.routes.agent_state import INCLUDES, told
from sendoff_server.gateway.routes.context_ids import context_ids
from sendoff_server.gateway.routes.conversation_address import Address, addressed
from sendoff_server.gateway.routes.sending_async import idempotency_key, repeated_within_s
from sendoff_server.use_cases import UseCases


async def summarize(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/summarize"""
    agent_id = path_id(request, "agent_id", "agent")
    body = await body_of(request)
    return await _compacted(use_cases, request, Address(agent_id, "default"), body)


async def compact(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/compact"""
    body = await body_of(request)
    address = await addressed(use_cases, request, _agent_of(request, body))
    return await _compacted(use_cases, request, address, body)


async def _compacted(use_cases: UseCases, request: Request, address: Address, body: Mapping[str, Any]) -> Response:
    _check_no_settings(body)
    wanted = v1.CompactConversationRequest(
        agent_id=address.agent_id,
        conversation_id=address.conversation_id,
        request_id=idempotency_key(request),
    )
    done = await use_cases.conversations.compact(acting().tenant, wanted, repeated_within_s=repeated_within_s(request))
    told = {
        "summary": done.summary,
        "num_messages_before": done.num_messages_before,
        "num_messages_after": done.num_messages_after,
    }
    return answer(told)


async def reset(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/agents/{agent_id}/reset-messages. There are no messages that every agent begins with, so none are
    added."""
    agent_id = path_id(request, "agent_id", "agent")
    flag(await body_of(request), "add_default_initial_messages", default=False)
    wanted = v1.ResetConversationRequest(
        agent_id=agent_id, conversation_id="default", request_id=idempotency_key(request)
    )
    await use_cases.conversations.reset(acting().tenant, wanted, repeated_within_s=repeated_within_s(request))
    agent = await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
    state = await told(use_cases, agent, frozenset(INCLUDES))
    return answer({**state, "message_ids": await context_ids(use_cases, agent_id, "default")})


async def recompile(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/recompile. The text is compiled anew for every model call and holds no time, so that
    whether it is a dry run, or the time is to be updated, makes no difference."""
    agent_id = path_id(request, "agent_id", "agent")
    query = Query(request)
    query.flag("dry_run")
    query.flag("update_timestamp")
    query.checked()
    return await _compiled(use_cases, Address(agent_id, "default"))


async def recompile_conversation(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/recompile"""
    query = Query(request)
    query.flag("dry_run")
    query.checked()
    body = await body_of(request)
    _check_no_settings(body)
    return await _compiled(use_cases, await addressed(use_cases, request, _agent_of(request, body)))


async def _compiled(use_cases: UseCases, address: Address) -> Response:
    wanted = v1.CompileSystemRequest(agent_id=address.agent_id, conversation_id=address.conversation_id)
    return answer((await use_cases.agents.compile_system(acting().tenant, wanted)).system)


def _agent_of(request: Request, body: Mapping[str, Any]) -> object:
    """The agent that goes with `default`, in the body or in the query."""
    told = body.get("agent_id")
    return request.query_params.get("agent_id") if told is None else told


def _check_no_settings(body: Mapping[str, Any]) -> None:
    if body.get("compaction_settings") is not None:
        raise Unsupported([Violation("compaction_settings", "can not be given for one compaction; leave it out")])


TABLE: Table = (
    ("POST", "/v1/agents/{agent_id}/summarize", summarize),
    ("PATCH", "/v1/agents/{agent_id}/reset-messages", reset),
    ("POST", "/v1/agents/{agent_id}/recompile", recompile),
    ("POST", "/v1/conversations/{conversation_id}/compact", compact),
    ("POST", "/v1/conversations/{conversation_id}/recompile", recompile_conversation),
)
