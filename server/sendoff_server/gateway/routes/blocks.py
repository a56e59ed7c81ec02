"""Memory blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, message_of, path_id
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.nouns.blocks import MEMBERS, block_json
from sendoff_server.page_token import Cursor
from sendoff_server.use_cases import UseCases

_NULLABLE = ("description", "metadata", "tags")
"""Members that null empties; null for another leaves it as it is."""


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/blocks/"""
    body = await body_of(request)
    missing = [Violation(name, "must be set") for name in ("label", "value") if body.get(name) is None]
    if missing:
        raise InvalidRequest(missing)
    made = await use_cases.blocks.create(TENANT, v1.CreateBlockRequest(block=_block(body)))
    return answer(block_json(made))


def _block(body: Mapping[str, Any]) -> v1.Block:
    return message_of(v1.Block, {name: body[name] for name in MEMBERS if name in body})


async def retrieve(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/blocks/{block_id}"""
    wanted = v1.GetBlockRequest(block_id=path_id(request, "block_id", "block"))
    return answer(block_json(await use_cases.blocks.get(TENANT, wanted)))


async def update(use_cases: UseCases, request: Request) -> Response:
    """PATCH /v1/blocks/{block_id}: members that are there are changed"""
    block_id = path_id(request, "block_id", "block")
    return answer(block_json(await update_block(use_cases, block_id, await body_of(request))))


async def update_block(use_cases: UseCases, block_id: str, body: Mapping[str, Any]) -> v1.Block:
    """The block with what a body changes of it. Raises BlockNotFound, InvalidRequest."""
    paths = [name for name in MEMBERS if name in body and (body[name] is not None or name in _NULLABLE)]
    if not paths:
        return await use_cases.blocks.get(TENANT, v1.GetBlockRequest(block_id=block_id))
    changed = v1.UpdateBlockRequest(block_id=block_id, block=_block(body), update_mask=FieldMask(paths=paths))
    return await use_cases.blocks.update(TENANT, changed)


async def delete(use_cases: UseCases, request: Request) -> Response:
    """DELETE /v1/blocks/{block_id}: agents that have it go on without it"""
    wanted = v1.DeleteBlockRequest(block_id=path_id(request, "block_id", "block"))
    await use_cases.blocks.delete(TENANT, wanted)
    return answer(None)


# ---- lists ----


def place_of_block(block: v1.Block) -> Cursor:
    return nanoseconds(block.create_time), block.id


async def place_of_block_id(use_cases: UseCases, block_id: str) -> Cursor:
    """Raises BlockNotFound."""
    return place_of_block(await use_cases.blocks.get(TENANT, v1.GetBlockRequest(block_id=block_id)))


TABLE: Table = (
    ("POST", "/v1/blocks/", create),
    ("GET", "/v1/blocks/{block_id}", retrieve),
    ("PATCH", "/v1/blocks/{block_id}", update),
    ("DELETE", "/v1/blocks/{block_id}", delete),
)
