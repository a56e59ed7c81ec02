"""Rules of the requests of `BlockService`, and of a block as a whole."""

from __future__ import annotations

from collections.abc import Collection

from sendoff import v1
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.limits import (
    DEFAULT_BLOCK_CHARACTERS,
    MAX_BLOCK_CHARACTERS,
    MAX_KEY_CHARACTERS,
    MAX_SEARCH_CHARACTERS,
)
from sendoff_server.validation.rules import (
    AGENT_ID,
    BLOCK_ID,
    check_choice,
    check_id,
    check_length,
    check_no_control_characters,
    check_number,
    check_size,
    check_tags,
)
from sendoff_server.validation.violations import Violations

BLOCK_UPDATABLE = ("label", "value", "limit", "description", "read_only", "metadata", "tags")
"""What an update mask may name."""

_LABEL_CHARACTERS = 64
_ORDERS = ("", "create_time", "create_time asc", "create_time desc")
_DESCRIPTION_BYTES = 16_384


def check_create_block(request: v1.CreateBlockRequest) -> None:
    found = Violations()
    if request.HasField("block"):
        block = request.block
        _check_block(found, block, least_label=1)
        most = block.limit if block.limit > 0 else DEFAULT_BLOCK_CHARACTERS
        check_length(found, "block.value", block.value, most=most)
        for field, _ in block.ListFields():
            if field.name not in BLOCK_UPDATABLE:
                found.add(f"block.{field.name}", "is made by the server")
    else:
        found.add("block", "must be set")
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    found.refuse()


def check_get_block(request: v1.GetBlockRequest) -> None:
    found = Violations()
    check_id(found, "block_id", request.block_id, BLOCK_ID)
    found.refuse()


def check_list_blocks(request: v1.ListBlocksRequest) -> None:
    found = Violations()
    if request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
        if request.order_by in _ORDERS[1:]:
            found.add("order_by", "may not stand together with agent_id: the blocks of an agent go in its order")
    for name in ("label_search", "value_search", "description_search"):
        check_length(found, name, getattr(request, name), most=MAX_SEARCH_CHARACTERS)
    check_tags(found, "tags", request.tags)
    check_choice(found, "order_by", request.order_by, _ORDERS)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_update_block(request: v1.UpdateBlockRequest) -> None:
    """Output-only fields are let through, so that a block that was read can be sent back changed. Whether the value
    fits is told by `check_block_fits`, of the block as it will be."""
    found = Violations()
    check_id(found, "block_id", request.block_id, BLOCK_ID)
    _check_block(found, request.block, least_label=1 if "label" in request.update_mask.paths else 0)
    check_length(found, "block.value", request.block.value, most=MAX_BLOCK_CHARACTERS)
    if request.block.id not in ("", request.block_id):
        found.add("block.id", "must be block_id or empty")
    for index, path in enumerate(request.update_mask.paths):
        if path not in BLOCK_UPDATABLE:
            found.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(BLOCK_UPDATABLE)}")
    found.refuse()


def check_delete_block(request: v1.DeleteBlockRequest) -> None:
    found = Violations()
    check_id(found, "block_id", request.block_id, BLOCK_ID)
    found.refuse()


def check_block_fits(block: v1.Block, changed: Collection[str]) -> None:
    """Raise InvalidRequest if the value of a block, as it will be, is over its limit; `changed` are the fields that are
    to change."""
    found = Violations()
    if "value" in changed:
        check_length(found, "block.value", block.value, most=block.limit)
    elif len(block.value) > block.limit:
        found.add("block.limit", f"must be at least {len(block.value)}, because the value has so many characters")
    found.refuse()


def _check_block(found: Violations, block: v1.Block, *, least_label: int) -> None:
    check_length(found, "block.label", block.label, least=least_label, most=_LABEL_CHARACTERS)
    check_no_control_characters(found, "block.label", block.label)
    check_number(found, "block.limit", block.limit, least=0, most=MAX_BLOCK_CHARACTERS)
    check_size(found, "block.description", block.description, most=_DESCRIPTION_BYTES)
    check_json_object(found, "block.metadata", block.metadata)
    check_tags(found, "block.tags", block.tags)
