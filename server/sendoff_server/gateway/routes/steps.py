"""Steps of runs, of one or of all, what they wrote, and what people think of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import InvalidRequest, StepNotFound, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, is_id, message_of, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.message_pages import between, span_of
from sendoff_server.gateway.nouns.messages import messages_json
from sendoff_server.gateway.nouns.steps import FEEDBACKS, step_json, step_metrics_json
from sendoff_server.use_cases import UseCases
from sendoff_server.validation.violations import quoted

_ORDERS = ("asc", "desc")
_OPINION: Sequence[str] = ("feedback", "tags")
"""What the body of feedback has."""


# ---- lists ----


async def list_run_steps(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/steps"""
    run_id = path_id(request, "run_id", "run")
    return await _listed(use_cases, v1.ListStepsRequest(run_id=run_id), Query(request), by="index", default=100)


async def list_steps(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/steps/"""
    query = Query(request)
    wanted = v1.ListStepsRequest(
        agent_id=query.text("agent_id"),
        model=query.text("model"),
        trace_ids=query.texts("trace_ids", "trace_ids[]"),
        tags=query.texts("tags", "tags[]"),
        feedback=FEEDBACKS.get(query.choice("feedback", list(FEEDBACKS), ""), v1.STEP_FEEDBACK_UNSPECIFIED),
        has_feedback=query.flag("has_feedback"),
        started_from=_moment(query, "start_date"),
        started_until=_moment(query, "end_date"),
    )
    query.choice("order_by", ("created_at",), "created_at")
    return await _listed(use_cases, wanted, query, by="start_time", default=50)


async def _listed(use_cases: UseCases, wanted: v1.ListStepsRequest, query: Query, *, by: str, default: int) -> Response:
    """The steps that follow `after` in the order asked for, or those just in front of `before`."""
    limit, order = query.limit(default), query.choice("order", _ORDERS, "desc")
    after, before = _cursor(query, "after"), _cursor(query, "before")
    query.checked()
    backwards = before is not None and after is None
    wanted.order_by = f"{by} {order if not backwards else _other(order)}"
    if backwards:
        after, before = before, None
    if after is not None:
        wanted.after_step_id = after
    if before is not None:
        wanted.before_step_id = before
    steps = await _steps(use_cases, wanted, limit)
    return answer([step_json(step) for step in (reversed(steps) if backwards else steps)])


def _other(order: str) -> str:
    return "asc" if order == "desc" else "desc"


async def _steps(use_cases: UseCases, wanted: v1.ListStepsRequest, limit: int) -> Sequence[v1.Step]:
    found: list[v1.Step] = []
    while True:
        wanted.page_size = limit - len(found)
        page = await use_cases.steps.list(acting().tenant, wanted)
        found += page.steps
        wanted.page_token = page.next_page_token
        if not page.next_page_token or len(found) >= limit:
            return found


def _cursor(query: Query, name: str) -> str | None:
    step_id = query.text(name)
    if step_id is not None and not is_id(step_id, "step"):
        raise StepNotFound(step_id)
    return step_id


def _moment(query: Query, name: str) -> Timestamp | None:
    """A date or a moment in ISO 8601; without a zone it is UTC."""
    value = query.text(name)
    if not value:
        return None
    told = Timestamp()
    try:
        moment = datetime.fromisoformat(value)
        told.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InvalidRequest([Violation(name, f"must be a moment in ISO 8601, is {quoted(value)}")]) from None
    return told


# ---- one step ----


async def retrieve_step(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/steps/{step_id}"""
    return answer(step_json(await _step(use_cases, request)))


async def step_metrics(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/steps/{step_id}/metrics"""
    return answer(step_metrics_json(await _step(use_cases, request)))


async def step_trace(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/steps/{step_id}/trace: null, because what goes to providers is not kept."""
    await _step(use_cases, request)
    return answer(None)


async def _step(use_cases: UseCases, request: Request) -> v1.Step:
    return await use_cases.steps.get(acting().tenant, v1.GetStepRequest(step_id=path_id(request, "step_id", "step")))


async def list_step_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/steps/{step_id}/messages: cursors are by time."""
    step_id = path_id(request, "step_id", "step")
    query = Query(request)
    span = span_of(query, "asc")
    query.choice("order_by", ("created_at",), "created_at")
    query.checked()
    whole = (await use_cases.steps.list_messages(acting().tenant, v1.ListStepMessagesRequest(step_id=step_id))).messages
    found = between(whole, span, step_id)
    return answer(messages_json(entry for entries in found for entry in entries))


async def give_feedback(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/steps/{step_id}/feedback: feedback that is missing or null is taken away; tags replace tags."""
    body = await body_of(request)
    wanted = message_of(v1.UpdateStepFeedbackRequest, {name: body.get(name) for name in _OPINION})
    wanted.step_id = path_id(request, "step_id", "step")
    return answer(step_json(await use_cases.steps.update_feedback(acting().tenant, wanted)))


TABLE: Table = (
    ("GET", "/v1/runs/{run_id}/steps", list_run_steps),
    ("GET", "/v1/steps/", list_steps),
    ("GET", "/v1/steps/{step_id}", retrieve_step),
    ("GET", "/v1/steps/{step_id}/messages", list_step_messages),
    ("GET", "/v1/steps/{step_id}/metrics", step_metrics),
    ("GET", "/v1/steps/{step_id}/trace", step_trace),
    ("PATCH", "/v1/steps/{step_id}/feedback", give_feedback),
)
