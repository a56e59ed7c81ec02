"""Memory blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

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
from sendoff_server.gateway.nouns.blocks import MEMBERS, block_json, block_of, new_block_of
from sendoff_server.gateway.renaming import told_as
from sendoff_server.page_token import Cursor
from sendoff_server.use_cases import UseCases

_NULLABLE = ("description", "metadata", "tags")
"""Members that null empties; null for another leaves it as it is."""
_PAGE = 50
_COUNTS = tuple(f"connected_to_agents_count_{than}" for than in ("eq", "gt", "lt"))
_NAMES = {"block": ""}


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/blocks/"""
    body = await body_of(request)
    missing = [Violation(name, "must be set") for name in ("label", "value") if body.get(name) is None]
    if missing:
        raise InvalidRequest(missing)
    with told_as(_NAMES):
        made = await use_cases.blocks.create(acting().tenant, v1.CreateBlockRequest(block=new_block_of(body)))
    return answer(block_json(made))


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/blocks/{block_id}"""
    wanted = v1.GetBlockRequest(block_id=path_id(request, "block_id", "block"))
    return answer(block_json(await use_cases.blocks.get(acting().tenant, wanted)))


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/blocks/{block_id}: members that are there are changed"""
    block_id = path_id(request, "block_id", "block")
    return answer(block_json(await update_block(use_cases, block_id, await body_of(request))))


async def update_block(use_cases: UseCases, block_id: str, body: Mapping[str, Any]) -> v1.Block:
    """The block with what a body changes of it. Raises BlockNotFound, InvalidRequest."""
    paths = [name for name in MEMBERS if name in body and (body[name] is not None or name in _NULLABLE)]
    if not paths:
        return await use_cases.blocks.get(acting().tenant, v1.GetBlockRequest(block_id=block_id))
    changed = v1.UpdateBlockRequest(block_id=block_id, block=block_of(body), update_mask=FieldMask(paths=paths))
    with told_as(_NAMES):
        return await use_cases.blocks.update(acting().tenant, changed)


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/blocks/{block_id}: agents that have it go on without it"""
    wanted = v1.DeleteBlockRequest(block_id=path_id(request, "block_id", "block"))
    await use_cases.blocks.delete(acting().tenant, wanted)
    return answer(None)


# ---- lists ----


async def list_blocks(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/blocks/: `name` is that of a template, of which there are none"""
    query = Query(request)
    cursors, wanted = cursors_of(query, "block", _PAGE), _wanted(query)
    nothing = bool(query.text("name")) or bool(query.flag("templates_only"))
    _check_honoured(query)
    query.checked()
    if nothing:
        return answer([])
    listing: Listing[v1.ListBlocksRequest, v1.Block] = Listing(
        ask=partial(_page, use_cases), place=place_of_block, place_of=partial(place_of_block_id, use_cases)
    )
    return answer([block_json(block) for block in await page_of(listing, wanted, cursors)])


def _wanted(query: Query) -> v1.ListBlocksRequest:
    wanted = v1.ListBlocksRequest(
        label_search=query.text("label_search") or "",
        value_search=query.text("value_search") or "",
        description_search=query.text("description_search") or "",
        tags=query.texts("tags", "tags[]"),
        match_all_tags=bool(query.flag("match_all_tags")),
    )
    if (label := query.text("label")) is not None:
        wanted.label = label
    return wanted


def _check_honoured(query: Query) -> None:
    """How many agents share a block is not looked for; without the filter the answer would tell too much."""
    asked = [name for name in _COUNTS if query.texts(name, f"{name}[]")]
    if asked:
        raise Unsupported([Violation(name, "does not work here") for name in asked])


async def _page(use_cases: UseCases, wanted: v1.ListBlocksRequest) -> tuple[Sequence[v1.Block], str]:
    page = await use_cases.blocks.list(acting().tenant, wanted)
    return page.blocks, page.next_page_token


def place_of_block(block: v1.Block) -> Cursor:
    return nanoseconds(block.create_time), block.id


async def place_of_block_id(use_cases: UseCases, block_id: str) -> Cursor:
    """Raises BlockNotFound."""
    return place_of_block(await use_cases.blocks.get(acting().tenant, v1.GetBlockRequest(block_id=block_id)))


TABLE: Table = (
    ("GET", "/v1/blocks/", list_blocks),
    ("POST", "/v1/blocks/", create),
    ("GET", "/v1/blocks/{block_id}", retrieve),
    ("PATCH", "/v1/blocks/{block_id}", update),
    ("DELETE", "/v1/blocks/{block_id}", delete),
)
