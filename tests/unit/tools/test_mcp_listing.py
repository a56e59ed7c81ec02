"""What MCP servers say of their tools, as tools that agents can name."""

from __future__ import annotations

import json
import re
from typing import Any

import mcp_types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server import ids
from sendoff_server.tools.mcp.config import ServerConfig, from_json
from sendoff_server.tools.mcp.listing import MAX_TOOLS, offer, tool_name


def config(**more: object) -> ServerConfig:
    return from_json(json.dumps({"mcpServers": {"s": {"command": "x", **more}}}), {})["s"]


def told(name: str = "t", **more: Any) -> mcp_types.Tool:
    return mcp_types.Tool(name=name, **{"input_schema": {"type": "object"}, **more})


def offered(*tools: mcp_types.Tool, **configured: object) -> list[v1.Tool]:
    return list(offer("s", config(**configured), ["s"], tools).tools.values())


@pytest.mark.parametrize(
    ("hints", "configured", "effect"),
    [
        (None, {}, v1.TOOL_EFFECT_ONCE),
        ({}, {}, v1.TOOL_EFFECT_ONCE),
        ({"read_only_hint": True}, {}, v1.TOOL_EFFECT_READ_ONLY),
        ({"idempotent_hint": True}, {}, v1.TOOL_EFFECT_IDEMPOTENT),
        ({"read_only_hint": True, "idempotent_hint": True}, {}, v1.TOOL_EFFECT_READ_ONLY),
        ({"read_only_hint": False, "idempotent_hint": False}, {}, v1.TOOL_EFFECT_ONCE),
        ({"read_only_hint": True}, {"effects": {"t": "ONCE"}}, v1.TOOL_EFFECT_ONCE),
        (None, {"effects": {"t": "READ_ONLY"}}, v1.TOOL_EFFECT_READ_ONLY),
    ],
)
def test_the_effect_is_what_is_configured_else_what_the_server_hints_else_once(
    hints: dict[str, bool] | None, configured: dict[str, object], effect: v1.ToolEffect.ValueType
) -> None:
    annotations = mcp_types.ToolAnnotations(**hints) if hints is not None else None

    (tool,) = offered(told(annotations=annotations), **configured)

    assert tool.effect == effect


def test_a_tool_has_all_that_an_agent_and_a_model_need() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}

    (tool,) = offered(told(description="Does it.", input_schema=schema), timeout_s=2.5, requires_approval=True)

    assert tool.id == ids.derive("tool", "mcp", "s", "t")
    assert (tool.name, tool.description, tool.type) == ("s_t", "Does it.", v1.TOOL_TYPE_MCP)
    assert (tool.mcp_server, tool.requires_approval) == ("s", True)
    assert json.loads(tool.json_schema.json) == schema
    assert tool.timeout.ToTimedelta().total_seconds() == 2.5


def test_only_tools_of_the_allow_list_are_offered_and_names_without_a_tool_are_faults() -> None:
    made = offer("s", config(tools=["a", "gone"]), ["s"], [told("a"), told("b"), told("a")])

    assert list(made.tools) == ["a"]
    assert made.faults == ("the configuration names a tool 'gone', which is not there",)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "string"}, "not that of an object"),
        ({"type": "object", "properties": {"a": {"type": "no"}}}, "its schema is none"),
        ({"type": "object", "description": "x" * 300_000}, "bytes"),
        ({"type": "object", "default": "\ud800"}, "not JSON"),
        ({"type": "object", "default": float("nan")}, "not JSON"),
    ],
)
def test_a_tool_with_a_schema_that_breaks_the_model_call_is_left_out(schema: dict[str, object], why: str) -> None:
    made = offer("s", config(), ["s"], [told("good"), told("bad", input_schema=schema)])

    assert list(made.tools) == ["good"]
    assert len(made.faults) == 1
    assert why in made.faults[0]


def test_tools_beyond_the_limit_are_left_out() -> None:
    made = offer("s", config(), ["s"], [told(f"t{number}") for number in range(MAX_TOOLS + 1)])

    assert len(made.tools) == MAX_TOOLS
    assert "too many" in made.faults[0]


def test_a_long_description_is_cut_between_characters() -> None:
    (tool,) = offered(told(description="ä" * 40_000))

    assert len(tool.description) == 32_768


SERVERS = ["a", "a_b", "b"]
NAMES = st.text(st.sampled_from("ab_.-ä"), min_size=1, max_size=80)


@given(st.sets(st.tuples(st.sampled_from(SERVERS), NAMES), max_size=30))
def test_names_fit_models_and_no_two_tools_have_the_same(tools: set[tuple[str, str]]) -> None:
    names = [tool_name(server, tool, SERVERS) for server, tool in tools]

    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    assert len(set(names)) == len(tools)


def test_a_name_that_fits_is_that_of_server_and_tool() -> None:
    assert tool_name("a_b", "c", SERVERS) == "a_b_c"
    assert re.fullmatch("a_b_c_[0-9a-f]{8}", tool_name("a", "b_c", SERVERS))
    assert re.fullmatch("a_x_y_[0-9a-f]{8}", tool_name("a", "x.y", SERVERS))
