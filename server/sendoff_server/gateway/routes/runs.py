"""Runs, their messages and what they used."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server import page_token
from sendoff_server.access.principal import acting
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import InvalidRequest, RunNotFound, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.message_pages import Span, StoredPage, page_of, span_of
from sendoff_server.gateway.nouns.messages import messages_json
from sendoff_server.gateway.nouns.runs import API_REASONS, API_STATUSES, metrics_json, run_json, usage_json
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.use_cases import UseCases

ORDERS = ("asc", "desc")


_ALL_STEPS = 1_000
"""A run has no more."""
_NAMES_AT_ONCE = 100


class NoTraces(RefusedHere):
    reason = "NO_TRACES"
    http_status = 501


class UnknownStatus(RefusedHere):
    reason = "UNKNOWN_STATUS"
    http_status = 400


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}"""
    return answer(run_json(await _run(use_cases, request)))


async def usage(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/usage"""
    return answer(usage_json((await _run(use_cases, request)).usage))


async def metrics(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/metrics"""
    run = await _run(use_cases, request)
    return answer(metrics_json(run, await _tools_used(use_cases, run.id)))


async def _tools_used(use_cases: UseCases, run_id: str) -> Sequence[str]:
    """The ids of the tools that a run has called; those of its caller have none."""
    steps = await use_cases.steps.list(acting().tenant, v1.ListStepsRequest(run_id=run_id, page_size=_ALL_STEPS))
    names = sorted({name for step in steps.steps for name in step.tools_called})
    found: list[str] = []
    for first in range(0, len(names), _NAMES_AT_ONCE):
        wanted = v1.ListToolsRequest(names=names[first : first + _NAMES_AT_ONCE], page_size=_ALL_STEPS)
        found += [tool.id for tool in (await use_cases.tools.list(acting().tenant, wanted)).tools]
    return found


async def trace(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/trace: traces go to where the operator has them sent, and are not told here."""
    await _run(use_cases, request)
    raise NoTraces("traces of runs are not kept by this server")


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/runs/{run_id}: of a run that has ended; its messages stay in the conversation."""
    await use_cases.runs.delete(acting().tenant, v1.DeleteRunRequest(run_id=path_id(request, "run_id", "run")))
    return answer(None)


async def _run(use_cases: UseCases, request: Request) -> v1.Run:
    return await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=path_id(request, "run_id", "run")))


# ---- lists ----


async def list_runs(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/"""
    return await _listed(use_cases, Query(request), active=None)


async def list_active(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/active"""
    return await _listed(use_cases, Query(request), active=True)


async def _listed(use_cases: UseCases, query: Query, *, active: bool | None) -> Response:
    wanted = _wanted(query)
    active = query.flag("active") if active is None else active
    if active is not None:
        wanted.active = active
    newest_first = not query.flag("ascending") and query.choice("order", ORDERS, "desc") == "desc"
    limit = query.limit(100)
    query.choice("order_by", ("created_at",), "created_at")
    query.checked()
    runs = await _page(use_cases, wanted, query, newest_first=newest_first, limit=limit)
    return answer([run_json(run) for run in runs])


def _wanted(query: Query) -> v1.ListRunsRequest:
    wanted = v1.ListRunsRequest(statuses=[_status(word) for word in query.texts("statuses", "statuses[]")])
    agent_ids = sorted(set(query.texts("agent_id", "agent_ids", "agent_ids[]")))
    if len(agent_ids) == 1:
        wanted.agent_id = agent_ids[0]
    else:
        wanted.agent_ids.extend(agent_ids)
    if (conversation_id := query.text("conversation_id")) is not None:
        wanted.conversation_id = conversation_id
    if (background := query.flag("background")) is not None:
        wanted.background = background
    if (word := query.text("stop_reason")) is not None:
        wanted.stop_reasons.append(_reason(word))
    return wanted


def _status(word: str) -> v1.RunStatus.ValueType:
    if word not in API_STATUSES:
        raise UnknownStatus(f"{word!r} is not a valid RunStatus")
    return v1.RunStatus.ValueType(API_STATUSES[word])


def _reason(word: str) -> v1.StopReason.ValueType:
    if word not in API_REASONS:
        raise InvalidRequest([Violation("stop_reason", f"must be one of {', '.join(API_REASONS)}")])
    return v1.StopReason.ValueType(API_REASONS[word])


async def _page(
    use_cases: UseCases, wanted: v1.ListRunsRequest, query: Query, *, newest_first: bool, limit: int
) -> Sequence[v1.Run]:
    """The runs that follow `after` in the order asked for, or those just in front of `before`."""
    after, before = query.text("after"), query.text("before")
    backwards = before is not None and after is None
    wanted.order_by = "create_time desc" if newest_first != backwards else "create_time asc"
    wanted.page_size = limit
    cursor = before if backwards else after
    if cursor is not None:
        last = await _cursor(use_cases, cursor)
        wanted.page_token = page_token.write((nanoseconds(last.create_time), last.id), page_token.digest(wanted))
    runs = (await use_cases.runs.list(acting().tenant, wanted)).runs
    return runs[::-1] if backwards else runs


async def _cursor(use_cases: UseCases, run_id: str) -> v1.Run:
    try:
        return await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=run_id))
    except InvalidRequest:
        raise RunNotFound(run_id) from None


# ---- messages ----


async def list_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/messages: filtered first, then cut. Cursors are by time, and count messages, as the limit
    does, not their entries."""
    run_id = path_id(request, "run_id", "run")
    query = Query(request)
    span = span_of(query, "asc")
    query.choice("order_by", ("created_at",), "created_at")
    query.checked()

    async def read(span: Span, page_token: str, limit: int) -> StoredPage:
        wanted = v1.ListRunMessagesRequest(
            run_id=run_id,
            newer_than_message_id=span.newer_than,
            older_than_message_id=span.older_than,
            order_by=span.order_by,
            page_size=limit,
            page_token=page_token,
        )
        return await use_cases.runs.list_messages(acting().tenant, wanted)

    return answer(messages_json(entry for entries in await page_of(read, span) for entry in entries))


TABLE: Table = (
    ("GET", "/v1/runs/", list_runs),
    ("GET", "/v1/runs/active", list_active),
    ("GET", "/v1/runs/{run_id}", retrieve),
    ("GET", "/v1/runs/{run_id}/messages", list_messages),
    ("GET", "/v1/runs/{run_id}/usage", usage),
    ("GET", "/v1/runs/{run_id}/metrics", metrics),
    ("GET", "/v1/runs/{run_id}/trace", trace),
    ("DELETE", "/v1/runs/{run_id}", delete),
)
