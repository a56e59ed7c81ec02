"""Sending messages: in the background, and cancelling what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.errors import InvalidRequest, ServiceError, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, message_of, path_id
from sendoff_server.gateway.codec.paths import json_path
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.runs import run_json
from sendoff_server.use_cases import UseCases
from sendoff_server.validation import check_idempotency_key

_BOTH = "Cannot specify both 'input' and 'messages'"
_NEITHER = "Must specify either 'input' or 'messages'"
_LEGACY_SYSTEM = "system"


class NothingToCancel(ServiceError):
    reason = "NOTHING_TO_CANCEL"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 409


async def create_async(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages/async"""
    agent_id = path_id(request, "agent_id", "agent")
    wanted = message_request(await body_of(request), agent_id)
    run, replayed = await accepted(use_cases, wanted, idempotency_key(request))
    return answer(run_json(run), headers={"idempotency-replayed": "true"} if replayed else None)


async def accepted(
    use_cases: UseCases, wanted: v1.CreateMessageAsyncRequest, key: str | None, *, background: bool = True
) -> tuple[v1.Run, bool]:
    """Accept a request; violations are told with the paths that the caller knows."""
    try:
        return await use_cases.runs.create(TENANT, wanted, key, background=background)
    except InvalidRequest as error:
        raise InvalidRequest(_in_json(error.violations)) from None


def message_request(body: Mapping[str, Any], agent_id: str) -> v1.CreateMessageAsyncRequest:
    """The body as a request of the contract. Raises InvalidRequest."""
    has_input, has_messages = body.get("input") is not None, body.get("messages") is not None
    if has_input == has_messages:
        raise InvalidRequest([Violation("body", _BOTH if has_input else _NEITHER)])
    told = {name: value for name, value in body.items() if name != "agent_id"}
    if told.get("override_system") is None and isinstance(told.get(_LEGACY_SYSTEM), str):
        told["override_system"] = told[_LEGACY_SYSTEM]
    wanted = message_of(v1.CreateMessageAsyncRequest, told)
    wanted.agent_id = agent_id
    return wanted


def _in_json(violations: Sequence[Violation]) -> list[Violation]:
    kind = v1.CreateMessageAsyncRequest.DESCRIPTOR
    return [Violation(json_path(kind, each.field), each.description) for each in violations]


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None:
        check_idempotency_key(key)
    return key


async def cancel(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages/cancel"""
    agent_id = path_id(request, "agent_id", "agent")
    run_ids = (await body_of(request)).get("run_ids") or []
    if not isinstance(run_ids, list) or not all(isinstance(run_id, str) for run_id in run_ids):
        raise InvalidRequest([Violation("run_ids", "must be a list of run ids")])
    await use_cases.agents.get(TENANT, v1.GetAgentRequest(agent_id=agent_id))
    wanted = run_ids or await _unfinished(use_cases, agent_id)
    if not wanted:
        raise NothingToCancel(f"No active runs to cancel for agent {agent_id}", agent_id=agent_id)
    return answer({run_id: await _cancelled(use_cases, agent_id, run_id) for run_id in wanted})


async def _unfinished(use_cases: UseCases, agent_id: str) -> list[str]:
    """All runs of the agent's default conversation that have not ended, newest first."""
    listed = v1.ListRunsRequest(agent_id=agent_id, conversation_id="default", active=True, page_size=1_000)
    return [run.id for run in (await use_cases.runs.list(TENANT, listed)).runs]


async def _cancelled(use_cases: UseCases, agent_id: str, run_id: str) -> str:
    """What became of one run; those of other agents are not touched."""
    try:
        run = await use_cases.runs.get(TENANT, v1.GetRunRequest(run_id=run_id))
        if run.agent_id != agent_id:
            return "failed"
        await use_cases.runs.cancel(TENANT, v1.CancelRunRequest(run_id=run_id))
    except ServiceError as error:
        if error.http_status >= 500:
            raise
        return "failed"
    return "cancelled"


TABLE: Table = (
    ("POST", "/v1/agents/{agent_id}/messages/async", create_async),
    ("POST", "/v1/agents/{agent_id}/messages/cancel", cancel),
)
