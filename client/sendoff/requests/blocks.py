"""Requests about memory blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import methods, v1
from sendoff.methods import Call
from sendoff.requests.json_text import json_object
from sendoff.requests.request_ids import new_request_id


class BlockFields(TypedDict, total=False):
    """What a memory block has and a caller may set."""

    label: str
    """Names it to the model; unique among the blocks of an agent."""
    value: str
    limit: int
    """Most characters of the value; 0: the server's default."""
    description: str
    """What it is for, told to the model."""
    read_only: bool
    """Whether memory tools may not change it."""
    tags: Sequence[str]
    metadata: Mapping[str, Any]


class BlockFilters(TypedDict, total=False):
    """Which blocks to list, and in which order; all that are given must hold. See ListBlocksRequest."""

    label_search: str
    value_search: str
    description_search: str
    tags: Sequence[str]
    match_all_tags: bool
    order_by: str


def create_block(request_id: str | None, fields: BlockFields) -> Call[v1.CreateBlockRequest, v1.Block]:
    """CreateBlock, with a request_id in any case."""
    request = v1.CreateBlockRequest(block=_block(fields), request_id=request_id or new_request_id())
    return Call(methods.CREATE_BLOCK, request, is_repeatable=True)


def get_block(block_id: str) -> Call[v1.GetBlockRequest, v1.Block]:
    return methods.GET_BLOCK.call(v1.GetBlockRequest(block_id=block_id))


def update_block(block_id: str, etag: str | None, fields: BlockFields) -> Call[v1.UpdateBlockRequest, v1.Block]:
    """UpdateBlock of exactly the fields that are given, be they empty. With an etag it is not repeated, as
    UpdateAgent."""
    block = _block(fields)
    block.etag = etag or ""
    request = v1.UpdateBlockRequest(block_id=block_id, block=block, update_mask=FieldMask(paths=sorted(fields)))
    return Call(methods.UPDATE_BLOCK, request, is_repeatable=not etag)


def delete_block(block_id: str) -> Call[v1.DeleteBlockRequest, v1.DeleteBlockResponse]:
    return methods.DELETE_BLOCK.call(v1.DeleteBlockRequest(block_id=block_id))


def _block(fields: BlockFields) -> v1.Block:
    return v1.Block(
        label=fields.get("label", ""),
        value=fields.get("value", ""),
        limit=fields.get("limit", 0),
        description=fields.get("description", ""),
        read_only=fields.get("read_only", False),
        tags=fields.get("tags", ()),
        metadata=json_object(fields.get("metadata")),
    )
