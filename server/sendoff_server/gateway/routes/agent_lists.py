"""Lists of agents, how many there are, and their tags."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server import page_token
from sendoff_server.access.principal import acting
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import InvalidRequest
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query
from sendoff_server.gateway.cursors import ORDERS, Cursors, Listing, page_of
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.runs import API_REASONS, reason_word
from sendoff_server.gateway.renaming import told_as
from sendoff_server.gateway.routes.agent_state import includes_of, told_with
from sendoff_server.page_token import Cursor
from sendoff_server.use_cases import UseCases

_PAGE = 50
_ORDER_BY = {"created_at": "create_time", "updated_at": "update_time", "last_run_completion": "last_run_time"}
_NAMES = {"filter.name_search": "query_text", "filter": ""}

LastRuns = dict[str, v1.LastRun]
"""By agent."""


async def list_agents(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/: an unknown cursor is ignored, as the reference does."""
    query = Query(request)
    cursors, order = _cursors(query), _order(query)
    wanted = v1.ListAgentsRequest(filter=_filter(query))
    includes = includes_of(query)
    last_runs: LastRuns = {}
    listing: Listing[v1.ListAgentsRequest, v1.Agent] = Listing(
        ask=partial(_page, use_cases, last_runs),
        place=lambda agent: _place(agent, last_runs, order),
        place_of=partial(_place_of, use_cases, order),
        order=order,
    )
    with told_as(_NAMES):
        agents = await page_of(listing, wanted, cursors)
    return answer([await told_with(use_cases, agent, includes, last_runs.get(agent.id)) for agent in agents])


def _cursors(query: Query) -> Cursors:
    order = query.choice("order", ORDERS, "asc" if query.flag("ascending") else "desc")
    return Cursors(
        limit=query.limit(_PAGE),
        newest_first=order == "desc",
        after=query.text("after"),
        before=query.text("before"),
    )


def _order(query: Query) -> str:
    """What the list goes by; `sort_by` is the older name."""
    older = query.choice("sort_by", tuple(_ORDER_BY), "created_at")
    return _ORDER_BY.get(query.choice("order_by", tuple(_ORDER_BY), older), "create_time")


def _filter(query: Query) -> v1.AgentFilter:
    wanted = v1.AgentFilter(
        name_search=query.text("query_text") or "",
        tags=query.texts("tags", "tags[]"),
        match_all_tags=bool(query.flag("match_all_tags")),
    )
    if (name := query.text("name")) is not None:
        wanted.name = name
    if word := query.choice("last_stop_reason", tuple(API_REASONS), ""):
        wanted.last_stop_reasons.extend(v for v in v1.StopReason.values() if v and reason_word(v) == word)
    return wanted


async def _page(
    use_cases: UseCases, last_runs: LastRuns, wanted: v1.ListAgentsRequest
) -> tuple[Sequence[v1.Agent], str]:
    page = await use_cases.agents.list(acting().tenant, wanted)
    last_runs.update((each.agent_id, each) for each in page.last_runs)
    return page.agents, page.next_page_token


def _place(agent: v1.Agent, last_runs: LastRuns, order: str) -> Cursor:
    if order == "last_run_time":
        last_run = last_runs.get(agent.id)
        return nanoseconds(last_run.complete_time) if last_run is not None else 0, agent.id
    return nanoseconds(agent.update_time if order == "update_time" else agent.create_time), agent.id


async def _place_of(use_cases: UseCases, order: str, agent_id: str) -> Cursor | None:
    last_runs: LastRuns = {}
    wanted = v1.ListAgentsRequest(filter=v1.AgentFilter(agent_ids=[agent_id]))
    try:
        agents, _ = await _page(use_cases, last_runs, wanted)
    except InvalidRequest:
        return None
    return _place(agents[0], last_runs, order) if agents else None


async def count(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/count: of all agents, or of those that the list would have"""
    query = Query(request)
    wanted = v1.CountAgentsRequest(filter=_filter(query))
    query.checked()
    with told_as(_NAMES):
        return answer((await use_cases.agents.count(acting().tenant, wanted)).count)


async def list_tags(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/tags/: those of agents and blocks; cursors are tags"""
    query = Query(request)
    query.choice("order_by", ("name",), "name")
    limit, backwards = query.limit(_PAGE), query.choice("order", ORDERS, "asc") == "desc"
    after, before = query.text("after"), query.text("before")
    query.checked()
    from_end = before is not None and after is None
    wanted = v1.ListTagsRequest(
        search=query.text("name") or query.text("query_text") or "",
        order_by="name desc" if backwards != from_end else "name asc",
        page_size=limit,
    )
    if (cursor := before if from_end else after) is not None:
        wanted.page_token = page_token.write((0, cursor), page_token.digest(wanted))
    with told_as({"search": "name", "page_token": "before" if from_end else "after"}):
        tags = list((await use_cases.agents.list_tags(acting().tenant, wanted)).tags)
    if before is not None and not from_end:
        tags = [tag for tag in tags if (tag > before if backwards else tag < before)]
    return answer(tags[::-1] if from_end else tags)


TABLE: Table = (
    ("GET", "/v1/agents/", list_agents),
    ("GET", "/v1/agents/count", count),
    ("GET", "/v1/tags/", list_tags),
)
