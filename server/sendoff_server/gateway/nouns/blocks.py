"""Memory blocks as the API shows them, and what its requests say of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sendoff import v1
from sendoff_server.gateway.asked import message_of
from sendoff_server.gateway.codec.writing import written

Json = dict[str, Any]

MEMBERS = ("label", "value", "limit", "description", "read_only", "metadata", "tags")
"""Those that blocks of the contract have under the same name; the API's others are about templates and projects, which
there are none of."""
DEFAULT_LIMIT = 100_000
"""Of a block that is made without one; the contract's own default is smaller."""


def block_json(block: v1.Block) -> Json:
    return {
        "value": block.value,
        "limit": block.limit,
        "project_id": None,
        "template_name": None,
        "is_template": False,
        "template_id": None,
        "base_template_id": None,
        "deployment_id": None,
        "entity_id": None,
        "preserve_on_migration": False,
        "label": block.label,
        "read_only": block.read_only,
        "description": block.description or None,
        "metadata": written(block.metadata) if block.HasField("metadata") else {},
        "hidden": None,
        "id": block.id,
        "created_by_id": None,
        "last_updated_by_id": None,
        "tags": list(block.tags),
    }


def block_of(body: Mapping[str, Any]) -> v1.Block:
    """What a body says of a block. Raises InvalidRequest."""
    return message_of(v1.Block, {name: body[name] for name in MEMBERS if name in body})


def new_block_of(body: Mapping[str, Any]) -> v1.Block:
    """As `block_of`, of one that is to be made."""
    block = block_of(body)
    block.limit = block.limit or DEFAULT_LIMIT
    return block
