"""Cancelling what an agent or a conversation works on, or waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import InvalidRequest, ServiceError, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.gateway.routes.conversation_address import Address, addressed
from sendoff_server.use_cases import UseCases

_MOST = 1_000
_PATIENCE_S = 5.0
"""How long an answer waits for the ends of what it cancelled; what takes longer goes on to its end."""


class NothingToCancel(RefusedHere):
    reason = "NOTHING_TO_CANCEL"
    http_status = 409


async def cancel_of_agent(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages/cancel"""
    agent_id = path_id(request, "agent_id", "agent")
    run_ids = (await body_of(request)).get("run_ids") or []
    if not isinstance(run_ids, list) or not all(isinstance(run_id, str) for run_id in run_ids):
        raise InvalidRequest([Violation("run_ids", "must be a list of run ids")])
    if len(run_ids) > _MOST:
        raise InvalidRequest([Violation("run_ids", f"must be at most {_MOST}")])
    await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
    return await _cancelled(use_cases, Address(agent_id, "default"), run_ids)


async def cancel_of_conversation(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/cancel"""
    address = await addressed(use_cases, request, request.query_params.get("agent_id"))
    return await _cancelled(use_cases, address, [])


async def _cancelled(use_cases: UseCases, address: Address, run_ids: list[str]) -> Response:
    wanted = list(dict.fromkeys(run_ids)) or await _at_work(use_cases, address)
    if not wanted:
        raise NothingToCancel("No active runs to cancel")
    told = {run_id: await _cancel(use_cases, address.agent_id, run_id) for run_id in wanted}
    await _over(use_cases, told)
    return answer(told)


async def _at_work(use_cases: UseCases, address: Address) -> list[str]:
    """The conversation's runs that have not ended, newest first, and the one that stopped for what is pending."""
    agent_id, conversation_id = address.agent_id, address.conversation_id
    runs = v1.ListRunsRequest(agent_id=agent_id, conversation_id=conversation_id, active=True, page_size=_MOST)
    listed = await use_cases.runs.list(acting().tenant, runs)
    actions = v1.ListPendingActionsRequest(agent_id=agent_id, conversation_id=conversation_id, page_size=_MOST)
    pending = await use_cases.actions.list(acting().tenant, actions)
    return list(dict.fromkeys([*(run.id for run in listed.runs), *(action.run_id for action in pending.actions)]))


async def _cancel(use_cases: UseCases, agent_id: str, run_id: str) -> str:
    """What became of one run; those of other agents are not touched."""
    try:
        run = await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=run_id))
        if run.agent_id != agent_id:
            return "failed"
        await use_cases.runs.cancel(acting().tenant, v1.CancelRunRequest(run_id=run_id))
    except ServiceError as error:
        if error.http_status >= 500:
            raise
        return "failed"
    return "cancelled"


async def _over(use_cases: UseCases, told: Mapping[str, str]) -> None:
    """Wait until what was cancelled has ended: then a next message finds the conversation free, and a next cancel
    nothing to do. The cancel itself is durable, so nothing that happens here makes it fail."""
    ending = [use_cases.runs.ended(acting().tenant, run_id) for run_id, became in told.items() if became == "cancelled"]
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*ending, return_exceptions=True)


TABLE: Table = (
    ("POST", "/v1/agents/{agent_id}/messages/cancel", cancel_of_agent),
    ("POST", "/v1/conversations/{conversation_id}/cancel", cancel_of_conversation),
)
