"""Memory blocks as the API shows them."""

from __future__ import annotations

from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.nouns.runs import USER

Json = dict[str, Any]

MEMBERS = ("label", "value", "limit", "description", "read_only", "metadata", "tags")
"""Those that blocks of the contract have under the same name; the API's others are about templates and projects, which
there are none of."""
_NOTHING = ("project_id", "template_name", "template_id", "base_template_id", "deployment_id", "entity_id", "hidden")


def block_json(block: v1.Block) -> Json:
    return {
        "value": block.value,
        "limit": block.limit,
        "is_template": False,
        "preserve_on_migration": False,
        "label": block.label,
        "read_only": block.read_only,
        "description": block.description or None,
        "metadata": written(block.metadata) if block.HasField("metadata") else {},
        "id": block.id,
        "created_by_id": USER,
        "last_updated_by_id": USER,
        "tags": list(block.tags),
        **dict.fromkeys(_NOTHING),
    }
