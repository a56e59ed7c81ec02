"""Arguments of tool calls, good and bad."""

from __future__ import annotations

import json

import pytest

from sendoff import v1
from sendoff_server.loop.arguments import MAX_ARGUMENTS_BYTES, BadArguments, checked, is_object, merged, parsed


def tool(schema: object) -> v1.Tool:
    return v1.Tool(name="look", json_schema=v1.JsonObject(json=json.dumps(schema)))


def call(arguments: str) -> v1.ToolCall:
    return v1.ToolCall(tool_call_id="a", name="look", arguments=arguments)


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
def test_nothing_at_all_is_no_arguments(arguments: str) -> None:
    assert parsed(arguments) == {}


@pytest.mark.parametrize(
    "arguments",
    ['{"a": ', "[1]", '"a"', "NaN", '{"a": NaN}', "[" * 100_000, '{"a": "' + "x" * MAX_ARGUMENTS_BYTES + '"}'],
    ids=["cut off", "list", "text", "no JSON value", "NaN inside", "deep", "long"],
)
def test_what_is_no_object_is_refused_in_words(arguments: str) -> None:
    with pytest.raises(BadArguments, match=r"^\[InvalidArguments\] The arguments cannot be used: "):
        parsed(arguments)
    assert not is_object(arguments)


def test_arguments_must_fit_the_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert checked(call('{"n": 3}'), tool(schema)) == {"n": 3}
    with pytest.raises(BadArguments, match=r"at \$\.n: 'x' is not of type 'integer'"):
        checked(call('{"n": "x"}'), tool(schema))
    with pytest.raises(BadArguments, match="'n' is a required property"):
        checked(call(""), tool(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "#/nowhere"},
        {"properties": {"n": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {"type": "integer"}}},
    ],
    ids=["broken", "elsewhere", "nowhere", "expression", "expressions of names"],
)
def test_what_a_schema_may_not_make_the_server_do_is_left_to_the_tool(schema: object) -> None:
    text = json.dumps({"n": "a" * 60 + "!"})
    assert checked(call(text), tool(schema)) == json.loads(text)


def test_fixed_arguments_win_and_replace_what_cannot_be_read() -> None:
    assert json.loads(merged(call('{"a": 1, "b": 2}'), {"b": 3}).arguments) == {"a": 1, "b": 3}
    broken = merged(call('{"a": '), {"b": 3})
    assert (broken.arguments, broken.arguments_are_valid_json) == ('{"b": 3}', True)
    same = call('{"a":1}')
    assert merged(same, {}) is same
