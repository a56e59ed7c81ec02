"""The built-in tools: an agent changes its memory blocks, and looks for what was said earlier in its conversation.

What they work on is handed to them by the use cases, through `memory_port`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sendoff import v1
from sendoff_server import ids
from sendoff_server.tools import conversation_search
from sendoff_server.tools.arguments import ArgumentsRefused, text, whole_number
from sendoff_server.tools.memory_edits import AT_THE_END, inserted, replaced
from sendoff_server.tools.memory_port import Blocks, EditRefused, LabelUnknown, MemoryUnavailable, Messages
from sendoff_server.tools.port import ToolCall, ToolResult, Tools, text_result

MEMORY_INSERT = "memory_insert"
MEMORY_REPLACE = "memory_replace"


class MemoryTools(Tools):
    """Tools of the type BUILT_IN."""

    def __init__(self, blocks: Blocks, messages: Messages) -> None:
        self._blocks = blocks
        self._messages = messages
        self._behaviours: Mapping[str, Callable[[ToolCall], Awaitable[str]]] = {
            MEMORY_INSERT: self._insert,
            MEMORY_REPLACE: self._replace,
            conversation_search.NAME: self._search,
        }

    async def call(self, call: ToolCall) -> ToolResult:
        try:
            return text_result(await self._behaviours[call.tool.name](call))
        except (ArgumentsRefused, EditRefused) as refused:
            return _failed(str(refused))
        except LabelUnknown as unknown:
            known = ", ".join(map(repr, unknown.labels))
            told = f"It has {known}." if known else "It has none at all."
            return _failed(f"This agent has no memory block with the label {unknown.label!r}. {told}")
        except MemoryUnavailable:
            return _failed("The memory cannot be reached at the moment. Nothing was changed; try again.")

    async def _insert(self, call: ToolCall) -> str:
        added = text(call.arguments, "new_string")
        line = whole_number(call.arguments, "insert_line", AT_THE_END)
        return await self._edit(call, lambda block: inserted(block, added, line))

    async def _replace(self, call: ToolCall) -> str:
        old, new = text(call.arguments, "old_string"), text(call.arguments, "new_string")
        return await self._edit(call, lambda block: replaced(block, old, new))

    async def _edit(self, call: ToolCall, new_value: Callable[[v1.Block], str]) -> str:
        label = text(call.arguments, "label")
        block = await self._blocks.edit(call.tenant, call.agent_id, label, new_value, change=call.key)
        return f"The block {label!r} is changed. It has {len(block.value)} of at most {block.limit} characters."

    async def _search(self, call: ToolCall) -> str:
        wanted = conversation_search.read_wanted(call.arguments)
        return await conversation_search.search(self._messages, call.tenant, call.lane, call.position, wanted)


def _failed(told: str) -> ToolResult:
    return text_result(told, is_error=True)


# ---- what models are told of them ----


def _tool(name: str, effect: v1.ToolEffect.ValueType, description: str, schema: Mapping[str, Any]) -> v1.Tool:
    tool = v1.Tool(
        id=ids.derive("tool", "built_in", name),
        name=name,
        description=description,
        json_schema=v1.JsonObject(json=json.dumps(schema)),
        effect=effect,
        type=v1.TOOL_TYPE_BUILT_IN,
    )
    tool.etag = hashlib.blake2b(tool.SerializeToString(deterministic=True), digest_size=8).hexdigest()
    return tool


def _object(required: Sequence[str], **properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_LABEL = {"type": "string", "description": "Label of the memory block to change."}

BUILT_IN_TOOLS: Sequence[v1.Tool] = (
    _tool(
        MEMORY_INSERT,
        v1.TOOL_EFFECT_IDEMPOTENT,
        "Adds text to one of your memory blocks, as lines of its own. Use it to keep something for later.",
        _object(
            ("label", "new_string"),
            label=_LABEL,
            new_string={"type": "string", "description": "Text to add. May have several lines."},
            insert_line={
                "type": "integer",
                "minimum": AT_THE_END,
                "default": AT_THE_END,
                "description": "Number of the line after which to add it, counted from 1; 0 puts it first, -1 last.",
            },
        ),
    ),
    _tool(
        MEMORY_REPLACE,
        v1.TOOL_EFFECT_IDEMPOTENT,
        "Replaces a piece of text in one of your memory blocks. Use it to correct or to remove what the block says.",
        _object(
            ("label", "old_string", "new_string"),
            label=_LABEL,
            old_string={
                "type": "string",
                "description": "Text to replace, to the letter. It must stand in the block exactly once.",
            },
            new_string={"type": "string", "description": "Text to put in its place. Empty to remove it."},
        ),
    ),
    _tool(
        conversation_search.NAME,
        v1.TOOL_EFFECT_READ_ONLY,
        "Looks for earlier messages of this conversation, also for those that you are not shown any more. "
        "Gives the newest that match, each with its date, role and id.",
        _object(("query",), **conversation_search.PROPERTIES),
    ),
)
"""All of them, for every tenant the same."""
