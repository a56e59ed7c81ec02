"""Lists of messages and steps, with the API's cursors: `limit` and cursors count messages, not their entries."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import StepNotFound
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, path_id
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.nouns.messages import message_json
from sendoff_server.gateway.nouns.runs import ORGANIZATION, reason_word
from sendoff_server.gateway.routes.conversation_messages import Entries, conversations_of, in_time, page_of
from sendoff_server.use_cases import UseCases

_ORDERS = ("asc", "desc")
_STATUSES = {
    v1.STEP_STATUS_PENDING: "pending",
    v1.STEP_STATUS_SUCCESS: "success",
    v1.STEP_STATUS_FAILED: "failed",
    v1.STEP_STATUS_CANCELLED: "cancelled",
}
_TOLD_REASONS = frozenset({v1.STOP_REASON_END_TURN, v1.STOP_REASON_TOOL_RULE, v1.STOP_REASON_REQUIRES_APPROVAL})


async def list_agent_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/{agent_id}/messages: always in the order of time; `desc` selects the newest ones."""
    agent_id = path_id(request, "agent_id", "agent")
    query = Query(request)
    limit, newest = query.limit(100), query.choice("order", _ORDERS, "desc") == "desc"
    types = set(query.message_types("include_return_message_types"))
    query.checked()
    agent = await use_cases.agents.get(TENANT, v1.GetAgentRequest(agent_id=agent_id))
    wanted = query.text("conversation_id")
    lanes = [wanted] if wanted else await conversations_of(use_cases, agent_id)
    found = await page_of(
        in_time(use_cases, agent, lanes, newest_first=newest),
        begin=query.text("before" if newest else "after"),
        end=query.text("after" if newest else "before"),
        limit=limit,
        where=agent_id,
    )
    return answer(_told(found[::-1] if newest else found, types))


async def list_conversation_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/conversations/{conversation_id}/messages: `desc` is really newest first here; cursors are by time."""
    conversation_id = path_id(request, "conversation_id", "conv")
    query = Query(request)
    limit, newest = query.limit(100), query.choice("order", _ORDERS, "desc") == "desc"
    query.checked()
    conversation = await use_cases.conversations.get(TENANT, v1.GetConversationRequest(conversation_id=conversation_id))
    agent = await use_cases.agents.get(TENANT, v1.GetAgentRequest(agent_id=conversation.agent_id))
    found = await page_of(
        in_time(use_cases, agent, [conversation_id], newest_first=newest),
        begin=query.text("before" if newest else "after"),
        end=query.text("after" if newest else "before"),
        limit=limit,
        where=conversation_id,
    )
    return answer(_told(found, set()))


def _told(messages: list[Entries], types: set[v1.MessageType.ValueType]) -> list[dict[str, Any]]:
    told = [message_json(entry) for entries in messages for entry in entries]
    words = {v1.MessageType.Name(kind).removeprefix("MESSAGE_TYPE_").lower() for kind in types}
    return [each for each in told if not words or each["message_type"] in words]


# ---- steps ----


async def list_steps(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/steps"""
    run_id = path_id(request, "run_id", "run")
    query = Query(request)
    limit, order = query.limit(100), query.choice("order", _ORDERS, "desc")
    query.checked()
    steps = await _steps(use_cases, v1.ListStepsRequest(run_id=run_id, page_size=1_000, order_by=f"index {order}"))
    found = [step.id for step in steps]
    first = _place(found, query.text("after")) + 1 if query.text("after") is not None else 0
    end = _place(found, query.text("before")) if query.text("before") is not None else len(found)
    page = steps[first:end]
    backwards = query.text("before") is not None and query.text("after") is None
    return answer([step_json(step) for step in (page[-limit:] if backwards else page[:limit])])


async def _steps(use_cases: UseCases, wanted: v1.ListStepsRequest) -> list[v1.Step]:
    found: list[v1.Step] = []
    while True:
        page = await use_cases.steps.list(TENANT, wanted)
        found += page.steps
        if not page.next_page_token:
            return found
        wanted.page_token = page.next_page_token


def _place(found: list[str], step_id: str | None) -> int:
    if step_id not in found:
        raise StepNotFound(step_id or "")
    return found.index(step_id)


async def retrieve_step(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/steps/{step_id}"""
    return answer(step_json(await _step(use_cases, request)))


async def step_metrics(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/steps/{step_id}/metrics"""
    step = await _step(use_cases, request)
    ended = nanoseconds(step.end_time) - nanoseconds(step.start_time) if step.HasField("end_time") else None
    called = nanoseconds(step.model_call_time) if step.HasField("model_call_time") else None
    return answer(
        {
            "id": step.id,
            "organization_id": ORGANIZATION,
            "provider_id": None,
            "run_id": step.run_id,
            "agent_id": step.agent_id,
            "step_start_ns": nanoseconds(step.start_time),
            "llm_request_start_ns": called,
            "llm_request_ns": step.model_duration_ns if step.HasField("model_duration_ns") else None,
            "tool_execution_ns": step.tool_duration_ns if step.HasField("tool_duration_ns") else None,
            "step_ns": ended,
            "base_template_id": None,
            "template_id": None,
            "project_id": None,
        }
    )


async def _step(use_cases: UseCases, request: Request) -> v1.Step:
    return await use_cases.steps.get(TENANT, v1.GetStepRequest(step_id=path_id(request, "step_id", "step")))


def step_json(step: v1.Step) -> dict[str, Any]:
    usage = step.usage
    cached = usage.cached_input_tokens if usage.HasField("cached_input_tokens") else None
    written = usage.cache_write_tokens if usage.HasField("cache_write_tokens") else None
    reasoning = usage.reasoning_tokens if usage.HasField("reasoning_tokens") else None
    provider, _, model = step.model_handle.partition("/")
    failed = step.status == v1.STEP_STATUS_FAILED
    ends = step.HasField("stop_reason") and (failed or step.stop_reason in _TOLD_REASONS)
    nothing = ("origin", "provider_id", "model_endpoint", "tid", "request_id", "feedback", "project_id")
    return {
        "id": step.id,
        "organization_id": ORGANIZATION,
        "run_id": step.run_id,
        "agent_id": step.agent_id,
        "provider_name": provider,
        "provider_category": "base",
        "model": model,
        "model_handle": step.model_handle,
        "context_window_limit": step.context_window or None,
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": cached,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
        "completion_tokens_details": {"reasoning_tokens": reasoning or 0},
        "prompt_tokens_details": {
            "cached_tokens": cached or 0,
            "cache_read_tokens": cached or 0,
            "cache_creation_tokens": written or 0,
        },
        "stop_reason": reason_word(step.stop_reason) if ends else None,
        "tags": [],
        "trace_id": step.trace_id or None,
        "messages": [],
        "error_type": step.error.reason if failed else None,
        "error_data": {"message": step.error.message} if failed else None,
        "status": _STATUSES.get(step.status, "pending"),
        **dict.fromkeys(nothing),
    }


TABLE: Table = (
    ("GET", "/v1/agents/{agent_id}/messages", list_agent_messages),
    ("GET", "/v1/conversations/{conversation_id}/messages", list_conversation_messages),
    ("GET", "/v1/runs/{run_id}/steps", list_steps),
    ("GET", "/v1/steps/{step_id}", retrieve_step),
    ("GET", "/v1/steps/{step_id}/metrics", step_metrics),
)
