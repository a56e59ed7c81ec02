"""Lists of agents."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.routes.agent_state import includes_of, told
from sendoff_server.use_cases import UseCases

_PAGE = 100


async def list_agents(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/: filtered first, then cut. An unknown cursor is ignored, as the reference does."""
    query = Query(request)
    limit, order = query.limit(50), query.choice("order", ("asc", "desc"), "desc")
    includes = includes_of(query)
    agents = [agent for agent in await _all(use_cases) if _matches(agent, query)]
    if order == "asc":
        agents.reverse()
    ids = [agent.id for agent in agents]
    after, before = query.text("after"), query.text("before")
    first = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    page = agents[first:end]
    page = page[-limit:] if before in ids and after not in ids else page[:limit]
    return answer([await told(use_cases, agent, includes) for agent in page])


async def _all(use_cases: UseCases) -> list[v1.Agent]:
    found: list[v1.Agent] = []
    wanted = v1.ListAgentsRequest(page_size=_PAGE)
    while True:
        page = await use_cases.agents.list(TENANT, wanted)
        found += page.agents
        if not page.next_page_token:
            return found
        wanted.page_token = page.next_page_token


def _matches(agent: v1.Agent, query: Query) -> bool:
    tags, wanted = set(agent.tags), set(query.texts("tags", "tags[]"))
    name, text = query.text("name"), query.text("query_text")
    in_tags = wanted <= tags if query.flag("match_all_tags") else not wanted or bool(wanted & tags)
    return in_tags and name in (None, agent.name) and (text or "").lower() in agent.name.lower()


async def count(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/agents/count"""
    return answer(len(await _all(use_cases)))


TABLE: Table = (
    ("GET", "/v1/agents/", list_agents),
    ("GET", "/v1/agents/count", count),
)
