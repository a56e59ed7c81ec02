"""The built-in tools as models call them, over a memory that a test holds in its hands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import jsonschema
import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.tools.memory import BUILT_IN_TOOLS, MemoryTools
from sendoff_server.tools.memory_port import Blocks, LabelUnknown, MemoryUnavailable, Messages
from sendoff_server.tools.port import ToolCall

TOOLS = {tool.name: tool for tool in BUILT_IN_TOOLS}


class OneBlock(Blocks):
    """An agent that has one block."""

    def __init__(self) -> None:
        self.block = v1.Block(label="human", value="Likes tea.", limit=50)
        self.asked: list[tuple[str, str, str]] = []
        self.away = False

    async def edit(
        self, tenant: str, agent_id: str, label: str, new_value: Callable[[v1.Block], str], *, change: str
    ) -> v1.Block:
        self.asked.append((tenant, agent_id, change))
        if self.away:
            raise MemoryUnavailable
        if label != self.block.label:
            raise LabelUnknown(label, [self.block.label, "persona"])
        self.block.value = new_value(self.block)
        return self.block


class NoMessages(Messages):
    async def before(self, tenant: str, lane: str, position: int, limit: int) -> Sequence[v1.Message]:
        return []


@pytest.fixture
def blocks() -> OneBlock:
    return OneBlock()


async def called(blocks: OneBlock, name: str, **arguments: Any) -> tuple[bool, str]:
    """Whether it failed, and what it said."""
    call = ToolCall(
        tenant="t",
        agent_id="agent-1",
        lane="agent-1",
        run_id="run-1",
        tool=TOOLS[name],
        call_id="call-1",
        arguments=arguments,
        key="key-1",
        position=10,
    )
    result = await MemoryTools(blocks, NoMessages()).call(call)
    return result.is_error, result.content.text


async def test_a_block_is_changed_and_how_full_it_is_told(blocks: OneBlock) -> None:
    told = await called(blocks, "memory_replace", label="human", old_string="tea", new_string="coffee")
    assert told == (False, "The block 'human' is changed. It has 13 of at most 50 characters.")
    told = await called(blocks, "memory_insert", label="human", new_string="Name: Zoë")
    assert told == (False, "The block 'human' is changed. It has 23 of at most 50 characters.")
    await called(blocks, "memory_insert", label="human", new_string="# Facts", insert_line=0)
    assert blocks.block.value == "# Facts\nLikes coffee.\nName: Zoë"
    assert blocks.asked == [("t", "agent-1", "key-1")] * 3


FAILING: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "an unknown label": (
        ("memory_insert", {"label": "Human", "new_string": "x"}),
        "This agent has no memory block with the label 'Human'. It has 'human', 'persona'.",
    ),
    "an edit that cannot be": (
        ("memory_replace", {"label": "human", "old_string": "milk", "new_string": "x"}),
        "old_string does not stand in the block 'human' to the letter. Nothing was changed.",
    ),
    "no text": (("memory_insert", {"label": "human", "new_string": 5}), "new_string must be a text."),
    "no label": (("memory_insert", {"new_string": "x"}), "label must be a text."),
    "half a character": (
        ("memory_insert", {"label": "human", "new_string": "\ud800"}),
        "new_string has half of a surrogate pair, which is not a character.",
    ),
    "no line": (
        ("memory_insert", {"label": "human", "new_string": "x", "insert_line": 1.5}),
        "insert_line must be a whole number.",
    ),
    "a line that is a yes": (
        ("memory_insert", {"label": "human", "new_string": "x", "insert_line": True}),
        "insert_line must be a whole number.",
    ),
    "an endless line": (
        ("memory_insert", {"label": "human", "new_string": "x", "insert_line": float("inf")}),
        "insert_line must be a whole number.",
    ),
    "no such role": (
        ("conversation_search", {"query": "x", "roles": ["admin"]}),
        "roles must be a list of some of user, assistant, tool, system.",
    ),
    "too much wanted": (("conversation_search", {"query": "x", "limit": 51}), "limit must be 1 to 50, is 51."),
    "no date": (
        ("conversation_search", {"query": "x", "start_date": "last Friday"}),
        "start_date must be a date as 2026-03-04, or a date and time as 2026-03-04T10:15:00Z.",
    ),
    "too many words": (("conversation_search", {"query": "x " * 33}), "query has 33 words, take at most 32."),
}


@pytest.mark.parametrize("case", FAILING)
async def test_what_goes_wrong_is_a_result_that_the_model_can_act_on(case: str, blocks: OneBlock) -> None:
    (name, arguments), told = FAILING[case]
    assert await called(blocks, name, **arguments) == (True, told)
    assert blocks.block.value == "Likes tea."


async def test_an_agent_without_blocks_is_told_so(blocks: OneBlock) -> None:
    async def none(*_: object, **__: object) -> v1.Block:
        raise LabelUnknown("human", [])

    blocks.edit = none  # type: ignore[method-assign]
    told = "This agent has no memory block with the label 'human'. It has none at all."
    assert await called(blocks, "memory_insert", label="human", new_string="x") == (True, told)


async def test_a_memory_that_is_away_is_a_result_too(blocks: OneBlock) -> None:
    blocks.away = True
    told = "The memory cannot be reached at the moment. Nothing was changed; try again."
    assert await called(blocks, "memory_insert", label="human", new_string="x") == (True, told)


async def test_a_whole_number_may_be_written_with_a_point(blocks: OneBlock) -> None:
    await called(blocks, "memory_insert", label="human", new_string="x", insert_line=0.0)
    assert blocks.block.value == "x\nLikes tea."


# ---- what models are told ----


def test_the_tools_have_names_ids_and_effects_that_do_not_change() -> None:
    assert [(tool.name, tool.id, tool.effect) for tool in BUILT_IN_TOOLS] == [
        ("memory_insert", ids.derive("tool", "built_in", "memory_insert"), v1.TOOL_EFFECT_IDEMPOTENT),
        ("memory_replace", ids.derive("tool", "built_in", "memory_replace"), v1.TOOL_EFFECT_IDEMPOTENT),
        ("conversation_search", ids.derive("tool", "built_in", "conversation_search"), v1.TOOL_EFFECT_READ_ONLY),
    ]
    assert {tool.type for tool in BUILT_IN_TOOLS} == {v1.TOOL_TYPE_BUILT_IN}
    assert len({tool.etag for tool in BUILT_IN_TOOLS} - {""}) == 3


@pytest.mark.parametrize("name", TOOLS)
def test_their_schemas_describe_every_argument(name: str) -> None:
    schema = json.loads(TOOLS[name].json_schema.json)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert set(schema["required"]) <= set(schema["properties"])
    assert all(argument["description"].endswith(".") for argument in schema["properties"].values())
    assert TOOLS[name].description.endswith(".")


def test_what_a_schema_takes_for_granted_the_tool_does_too() -> None:
    insert = json.loads(TOOLS["memory_insert"].json_schema.json)["properties"]
    search = json.loads(TOOLS["conversation_search"].json_schema.json)["properties"]
    assert (insert["insert_line"]["default"], search["limit"]["default"]) == (-1, 5)
