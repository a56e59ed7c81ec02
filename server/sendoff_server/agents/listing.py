"""Pages of agents and of tags."""

from __future__ import annotations

from typing import Literal, cast

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page
from sendoff_server.store.port import Store
from sendoff_server.store.questions import AgentQuery, ListedAgent, TagQuery

MAX_PAGE = 100
"""An agent can have a megabyte; more of them come with the next page."""
DEFAULT_PAGE = 50

_Order = Literal["create_time", "update_time", "last_run_time"]


async def agents_page(store: Store, tenant: str, request: v1.ListAgentsRequest) -> v1.ListAgentsResponse:
    """The page that a request asks for. Raises InvalidRequest for a bad token."""
    page = Page(request, DEFAULT_PAGE, MAX_PAGE)
    field, _, direction = (request.order_by or "create_time desc").partition(" ")
    query = AgentQuery(
        tenant=tenant,
        filter=request.filter,
        order=cast(_Order, field),
        newest_first=direction == "desc",
        after=page.after,
        limit=page.enough,
    )
    listed = await store.list_agents(query)
    agents, token = page.of([(each.agent, _place(each, query.order)) for each in listed])
    last_runs = [each.last_run for each in listed[: len(agents)] if each.last_run is not None]
    return v1.ListAgentsResponse(agents=agents, next_page_token=token, last_runs=last_runs)


def _place(listed: ListedAgent, order: _Order) -> Cursor:
    agent, last_run = listed
    match order:
        case "create_time":
            return nanoseconds(agent.create_time), agent.id
        case "update_time":
            return nanoseconds(agent.update_time), agent.id
        case "last_run_time":
            return nanoseconds(last_run.complete_time) if last_run is not None else 0, agent.id


async def tags_page(store: Store, tenant: str, request: v1.ListTagsRequest) -> v1.ListTagsResponse:
    """As `agents_page`; the cursor is the tag."""
    page = Page(request, DEFAULT_PAGE)
    query = TagQuery(
        tenant=tenant,
        search=request.search,
        backwards=request.order_by.endswith(" desc"),
        after=page.after[1] if page.after else None,
        limit=page.enough,
    )
    tags = await store.list_tags(query)
    token = page.token((0, tags[page.limit - 1])) if len(tags) > page.limit else ""
    return v1.ListTagsResponse(tags=tags[: page.limit], next_page_token=token)
