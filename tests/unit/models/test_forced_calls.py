"""What binds a model that cannot call tools by itself, and how it is shown calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.models.forced_calls import as_call, bounded, schema_of
from sendoff_server.models.port import Answer, DeltaKind, Finish, ModelFailed, ToolSpec
from sendoff_server.models.prose import in_prose
from tests.unit.models.asking import call
from tests.unit.models.conversations import CONVERSATIONS, WEATHER

BOUND_WEATHER = {
    "type": "object",
    "title": "Weather",
    "properties": {"city": {"type": "string", "default": "Ulm", "maxLength": 200}},
    "required": ["city"],
    "additionalProperties": False,
}


def call_of(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    properties = {"name": {"const": name}, "arguments": arguments}
    required = ["name", "arguments"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def test_a_call_of_one_tool_has_its_name_and_its_arguments() -> None:
    assert schema_of([WEATHER]) == call_of("weather", BOUND_WEATHER)


def test_a_call_of_several_is_a_call_of_one_of_them() -> None:
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    assert schema_of([WEATHER, ToolSpec("now", "", "")]) == {
        "anyOf": [call_of("weather", BOUND_WEATHER), call_of("now", nothing)]
    }


def test_definitions_stay_where_references_find_them() -> None:
    parameters = {
        "type": "object",
        "properties": {"to": {"$ref": "#/$defs/Person"}},
        "$defs": {"Person": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }
    schema = schema_of([ToolSpec("greet", "", json.dumps(parameters))])
    assert schema["$defs"]["Person"]["properties"]["name"]["maxLength"] == 200
    assert "$defs" not in schema["properties"]["arguments"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 5}),
        ({"type": "string", "maxLength": 9_999}, {"type": "string", "maxLength": 200}),
        ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"], "maxLength": 200}),
        ({"type": "integer"}, {"type": "integer"}),
        (
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 8},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": True}]},
            {"anyOf": [{"type": "string", "maxLength": 200}, {"type": "object", "additionalProperties": False}]},
        ),
    ],
)
def test_every_text_and_list_ends_and_every_object_is_closed(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    before = json.dumps(schema)
    assert bounded(schema) == expected
    assert json.dumps(schema) == before


def test_an_answer_that_fits_is_a_call() -> None:
    part = v1.ContentPart(text=v1.Text(text='{"name": "weather", "arguments": {"city": "Köln"}}'))
    delta, answer = as_call(call(), Answer(parts=[part], usage=v1.Usage(), finish=Finish.STOP))
    assert (delta.part_index, delta.kind, delta.text) == (0, DeltaKind.TOOL_ARGUMENTS, '{"city": "Köln"}')
    (made,) = answer.parts
    assert (made.tool_call.name, made.tool_call.input.json) == ("weather", '{"city": "Köln"}')
    assert answer.finish is Finish.TOOL_CALLS


@pytest.mark.parametrize("text", ['{"name": "weather", "argum', "", "null", '{"name": "weather"}'])
def test_an_answer_that_was_cut_off_is_no_call(text: str) -> None:
    part = v1.ContentPart(text=v1.Text(text=text))
    with pytest.raises(ModelFailed, match="MODEL_ANSWER_INVALID"):
        as_call(call(), Answer(parts=[part], usage=v1.Usage(), finish=Finish.LENGTH))


def told(messages: Sequence[v1.Message]) -> list[tuple[str, str]]:
    """Who says what; the message itself where it is neither the user nor the assistant."""
    return [
        ("assistant", message.assistant_message.content.text)
        if message.HasField("assistant_message")
        else ("user", message.user_message.content.text)
        if message.HasField("user_message")
        else (str(message.WhichOneof("kind")), "")
        for message in in_prose(messages)
    ]


def test_calls_and_returns_are_told_in_words() -> None:
    assert told(CONVERSATIONS["tool loop"].messages) == [
        ("summary_message", ""),
        ("event_message", ""),
        ("user", "Weather and time?"),
        ("assistant", "Let me look."),
        ("assistant", "I called weather.\nI called weather."),
        ("user", "weather returned: rain\nweather returned: the arguments are no JSON"),
        ("assistant", "I called weather."),
        ("assistant", "I called clock.\nI called weather."),
        ("approval_response_message", ""),
        (
            "user",
            "weather returned: Error: request to call tool denied. User reason: too dear\n"
            "clock returned: 12:00\nasked the clock\nslow\nweather returned: sun",
        ),
        ("user", "Hurry up."),
    ]


def test_imported_calls_and_returns_are_told_in_words() -> None:
    assert told(CONVERSATIONS["imported calls"].messages)[1:-1] == [
        ("assistant", "Let me look."),
        ("assistant", "I called look up."),
        ("assistant", "I called clock."),
        ("user", "look up returned: no rain"),
        ("user", "clock returned: broken"),
        ("assistant", "It is dry."),
    ]
