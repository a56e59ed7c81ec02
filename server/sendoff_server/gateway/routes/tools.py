"""Tools."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import path_id
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.nouns.tools import tool_json
from sendoff_server.page_token import Cursor
from sendoff_server.use_cases import UseCases


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/tools/{tool_id}"""
    wanted = v1.GetToolRequest(tool_id=path_id(request, "tool_id", "tool"))
    return answer(tool_json(await use_cases.tools.get(TENANT, wanted)))


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/tools/{tool_id}: agents that have it go on without it"""
    wanted = v1.DeleteToolRequest(tool_id=path_id(request, "tool_id", "tool"))
    await use_cases.tools.delete(TENANT, wanted)
    return answer(None)


# ---- lists ----


def place_of_tool(tool: v1.Tool) -> Cursor:
    """Tools that are built in were there before all others."""
    return nanoseconds(tool.create_time), tool.id


async def place_of_tool_id(use_cases: UseCases, tool_id: str) -> Cursor:
    """Raises ToolNotFound."""
    return place_of_tool(await use_cases.tools.get(TENANT, v1.GetToolRequest(tool_id=tool_id)))


TABLE: Table = (
    ("GET", "/v1/tools/{tool_id}", retrieve),
    ("DELETE", "/v1/tools/{tool_id}", delete),
)
