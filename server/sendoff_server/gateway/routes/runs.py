"""Runs, their messages and what they used."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server import page_token
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import InvalidRequest, MessageNotFound, RunNotFound, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, path_id
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.nouns.messages import message_json
from sendoff_server.gateway.nouns.results import messages_of
from sendoff_server.gateway.nouns.runs import API_REASONS, API_STATUSES, metrics_json, run_json, usage_json
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.use_cases import UseCases

ORDERS = ("asc", "desc")


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
    return answer(metrics_json(await _run(use_cases, request)))


async def _run(use_cases: UseCases, request: Request) -> v1.Run:
    return await use_cases.runs.get(TENANT, v1.GetRunRequest(run_id=path_id(request, "run_id", "run")))


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
    agent_ids = query.texts("agent_id", "agent_ids", "agent_ids[]")
    if agent_ids:
        wanted.agent_id = agent_ids[0]
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
    runs = (await use_cases.runs.list(TENANT, wanted)).runs
    return runs[::-1] if backwards else runs


async def _cursor(use_cases: UseCases, run_id: str) -> v1.Run:
    try:
        return await use_cases.runs.get(TENANT, v1.GetRunRequest(run_id=run_id))
    except InvalidRequest:
        raise RunNotFound(run_id) from None


# ---- messages ----


async def list_messages(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/messages: filtered first, then cut. Cursors and limit count messages, not their entries."""
    run_id = path_id(request, "run_id", "run")
    query = Query(request)
    limit, order = query.limit(100), query.choice("order", ORDERS, "asc")
    query.checked()
    answers = _by_message(await messages_of(use_cases, run_id))
    if order == "desc":
        answers.reverse()
    page = _cut(answers, query, run_id, limit)
    return answer([message_json(entry) for entries in page for entry in entries])


def _by_message(entries: Sequence[v1.Message]) -> list[list[v1.Message]]:
    """Entries that share an id are one message."""
    grouped: list[list[v1.Message]] = []
    for entry in entries:
        if grouped and grouped[-1][0].id == entry.id:
            grouped[-1].append(entry)
        else:
            grouped.append([entry])
    return grouped


def _cut(messages: list[list[v1.Message]], query: Query, run_id: str, limit: int) -> list[list[v1.Message]]:
    """The page behind `after`, or in front of `before`. Raises MessageNotFound for a cursor that is not there."""
    ids = [entries[0].id for entries in messages]
    first, end = 0, len(messages)
    if (after := query.text("after")) is not None:
        first = _index(ids, after, run_id) + 1
    if (before := query.text("before")) is not None:
        end = _index(ids, before, run_id)
    page = messages[first:end]
    return page[-limit:] if before is not None and after is None else page[:limit]


def _index(ids: Sequence[str], message_id: str, run_id: str) -> int:
    try:
        return ids.index(message_id)
    except ValueError:
        raise MessageNotFound(message_id, run_id) from None


TABLE: Table = (
    ("GET", "/v1/runs/", list_runs),
    ("GET", "/v1/runs/active", list_active),
    ("GET", "/v1/runs/{run_id}", retrieve),
    ("GET", "/v1/runs/{run_id}/messages", list_messages),
    ("GET", "/v1/runs/{run_id}/usage", usage),
    ("GET", "/v1/runs/{run_id}/metrics", metrics),
)
