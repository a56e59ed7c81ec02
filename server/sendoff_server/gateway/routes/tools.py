"""Tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import InvalidRequest, Unsupported, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, body_of, path_id
from sendoff_server.gateway.cursors import Listing, cursors_of, page_of
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.tools import TYPE_WORDS, tool_json, tool_of
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.gateway.renaming import told_as
from sendoff_server.page_token import Cursor
from sendoff_server.use_cases import UseCases

_PAGE = 50
_NAMES = {"tool.name": "json_schema.name", "tool.requires_approval": "default_requires_approval", "tool": ""}
_NO_PYTHON = (
    "Python tools are not allowed on this server; its operator can set SENDOFF_PYTHON_TOOLS. For a tool that whoever "
    "sends messages runs himself, set source_type to json, source_code to an empty string, and json_schema"
)
TOOL_TYPES = (
    *("custom", "letta_core", "letta_memory_core", "letta_multi_agent_core", "letta_sleeptime_core"),
    *("letta_voice_sleeptime_core", "letta_builtin", "letta_files_core"),
    *("external_langchain", "external_composio", "external_mcp"),
)
"""The API's. Ours have few of them."""


class SourceUnfit(RefusedHere):
    """The source code is not that of a tool, or tells too little of it."""

    reason = "SOURCE_UNFIT"
    http_status = 400


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/tools/{tool_id}"""
    wanted = v1.GetToolRequest(tool_id=path_id(request, "tool_id", "tool"))
    return answer(tool_json(await use_cases.tools.get(acting().tenant, wanted)))


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/tools/: a tool whose name is taken is refused"""
    return await _put(use_cases, request, create_only=True)


async def upsert(use_cases: UseCases, request: Request) -> Response:
    """PUT /v1/tools/: makes a tool, or changes the one of that name"""
    return await _put(use_cases, request, create_only=False)


async def _put(use_cases: UseCases, request: Request, *, create_only: bool) -> Response:
    body = await body_of(request)
    if not isinstance(body.get("source_code"), str):
        raise InvalidRequest([Violation("source_code", "must be set to a string")])
    tool, paths = tool_of(body)
    tool.type = tool.type or v1.TOOL_TYPE_PYTHON
    _check_source(tool)
    asked = v1.UpsertToolRequest(tool=tool, update_mask=FieldMask(paths=paths), create_only=create_only)
    with _refusing(tool):
        return answer(tool_json(await use_cases.tools.upsert(acting().tenant, asked)))


def _check_source(tool: v1.Tool) -> None:
    if tool.type == v1.TOOL_TYPE_CLIENT and tool.source_code:
        told = "must be empty with source_type json: the tool is run by whoever sends messages, and from no source here"
        raise InvalidRequest([Violation("source_code", told)])
    if tool.type == v1.TOOL_TYPE_PYTHON and not tool.source_code:
        raise InvalidRequest([Violation("source_code", "must not be empty, but with source_type json")])


@contextmanager
def _refusing(tool: v1.Tool) -> Iterator[None]:
    """Refusals in the words of this door. Raises SourceUnfit where it is the source code."""
    try:
        with told_as(_NAMES):
            yield
    except Unsupported as error:
        is_python = [violation.field for violation in error.violations] == ["type"]
        raise Unsupported([Violation("source_code", _NO_PYTHON)]) if is_python else error from None
    except InvalidRequest as error:
        if tool.source_code and {violation.field for violation in error.violations} == {"source_code"}:
            raise SourceUnfit(error.message) from None
        raise


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/tools/{tool_id}: members that are there are changed"""
    tool_id = path_id(request, "tool_id", "tool")
    tool, paths = tool_of(await body_of(request))
    if not paths and not tool.type:
        return answer(tool_json(await use_cases.tools.get(acting().tenant, v1.GetToolRequest(tool_id=tool_id))))
    tool.id = tool_id
    with _refusing(tool):
        asked = v1.UpsertToolRequest(tool=tool, update_mask=FieldMask(paths=paths))
        return answer(tool_json(await use_cases.tools.upsert(acting().tenant, asked)))


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/tools/{tool_id}: agents that have it go on without it"""
    wanted = v1.DeleteToolRequest(tool_id=path_id(request, "tool_id", "tool"))
    await use_cases.tools.delete(acting().tenant, wanted)
    return answer(None)


# ---- lists ----


async def list_tools(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/tools/: newest first; those that are built in are older than all others"""
    query = Query(request)
    cursors = cursors_of(query, "tool", _PAGE)
    types = _types(query)
    wanted = v1.ListToolsRequest(
        names=query.texts("name")[:1] or query.texts("names", "names[]"),
        tool_ids=_listed(query, "tool_ids"),
        types=types,
        name_search=query.text("search") or "",
    )
    query.checked()
    if not types or _contradicts(query):
        return answer([])
    listing: Listing[v1.ListToolsRequest, v1.Tool] = Listing(
        ask=partial(_page, use_cases), place=place_of_tool, place_of=partial(place_of_tool_id, use_cases)
    )
    with told_as({"name_search": "search"}):
        return answer([tool_json(tool) for tool in await page_of(listing, wanted, cursors)])


def _types(query: Query) -> list[v1.ToolType.ValueType]:
    """The types that may be told."""
    wanted = set(_words(query, "tool_types") or TOOL_TYPES) - set(_words(query, "exclude_tool_types"))
    if query.flag("return_only_letta_tools"):
        wanted = {word for word in wanted if word.startswith("letta_")}
    return [kind for kind, word in TYPE_WORDS.items() if word in wanted]


def _words(query: Query, name: str) -> Sequence[str]:
    """Raises InvalidRequest for a word that the API does not have."""
    words = _listed(query, name)
    if any(word not in TOOL_TYPES for word in words):
        raise InvalidRequest([Violation(name, f"must be one of {', '.join(TOOL_TYPES)}")])
    return words


def _listed(query: Query, name: str) -> list[str]:
    """Values that come repeated, or in one with commas."""
    return [word for text in query.texts(name, f"{name}[]") for word in text.split(",") if word]


def _contradicts(query: Query) -> bool:
    """Whether one name is wanted and it is not among the names wanted."""
    name, names = query.text("name"), query.texts("names", "names[]")
    return name is not None and bool(names) and name not in names


async def _page(use_cases: UseCases, wanted: v1.ListToolsRequest) -> tuple[Sequence[v1.Tool], str]:
    page = await use_cases.tools.list(acting().tenant, wanted)
    return page.tools, page.next_page_token


def place_of_tool(tool: v1.Tool) -> Cursor:
    """Tools that are built in were there before all others."""
    return nanoseconds(tool.create_time), tool.id


async def place_of_tool_id(use_cases: UseCases, tool_id: str) -> Cursor:
    """Raises ToolNotFound."""
    return place_of_tool(await use_cases.tools.get(acting().tenant, v1.GetToolRequest(tool_id=tool_id)))


TABLE: Table = (
    ("GET", "/v1/tools/", list_tools),
    ("POST", "/v1/tools/", create),
    ("PUT", "/v1/tools/", upsert),
    ("GET", "/v1/tools/{tool_id}", retrieve),
    ("PATCH", "/v1/tools/{tool_id}", update),
    ("DELETE", "/v1/tools/{tool_id}", delete),
)
