"""Python functions as tools: what the model is shown of them, and what they are called with."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from sendoff import NoSchema, ToolFunction, v1
from sendoff.client_tools import docstrings, functions, outcomes
from sendoff.client_tools.functions import FunctionTool
from sendoff.client_tools.shapes import Misfit
from sendoff.client_tools.structures import shape_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(TypedDict):
    city: str
    country: NotRequired[str]


@dataclass
class Guest:
    name: str
    age: int = 0
    tags: list[str] = field(default_factory=list)


@dataclass
class Endless:
    inner: Endless | None = None


STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def made(tool: ToolFunction) -> FunctionTool:
    (only,) = functions.by_name([tool]).values()
    return only


def schema(tool: ToolFunction) -> Any:
    return json.loads(made(tool).tool.parameters.json)


def call(tool: ToolFunction, arguments: str) -> Any:
    return made(tool).bound(v1.ToolCall(tool_call_id="call-1", name="any", arguments=arguments))()


def book(
    guest: Guest, nights: int, *, place: Place | None = None, breakfast: bool = True, call: v1.ToolCall | None = None
) -> Any:
    """Book a room.

    It is paid at once.

    Args:
        guest: Who comes,
            by name.
        nights (int): How many nights.

    Returns:
        A number.
    """
    return guest, nights, place, breakfast


def test_a_tool_is_told_by_the_name_the_docstring_and_the_type_hints_of_its_function() -> None:
    def rent(days: int, where: Annotated[str, "A city"], how: Literal["bike", "car"] = "bike") -> None:
        """Rent something.

        Args:
            days: How long.
        """

    tool = made(rent).tool
    assert (tool.name, tool.description) == ("rent", "Rent something.")
    assert json.loads(tool.parameters.json) == {
        "type": "object",
        "properties": {
            "days": {"type": "integer", "description": "How long."},
            "where": {"type": "string", "description": "A city"},
            "how": {"enum": ["bike", "car"]},
        },
        "required": ["days", "where"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("hint", "expected", "value", "becomes"),
    [
        (str, STRING, "a", "a"),
        (int, INTEGER, 3, 3),
        (float, {"type": "number"}, 3, 3.0),
        (bool, {"type": "boolean"}, True, True),
        (None, {"type": "null"}, None, None),
        (Any, {}, [1, {}], [1, {}]),
        (int | None, {"anyOf": [INTEGER, {"type": "null"}]}, None, None),
        (Literal[1, "a"], {"enum": [1, "a"]}, "a", "a"),
        (Colour, {"enum": ["red", "blue"]}, "blue", Colour.BLUE),
        (list, {"type": "array", "items": {}}, [1, "a"], [1, "a"]),
        (Sequence[Colour], {"type": "array", "items": {"enum": ["red", "blue"]}}, ["red"], [Colour.RED]),
        (tuple[int, ...], {"type": "array", "items": INTEGER}, [1, 2], (1, 2)),
        (set[int], {"type": "array", "items": INTEGER, "uniqueItems": True}, [1, 1], {1}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2},
            [1, "a"],
            (1, "a"),
        ),
        (Mapping[str, int], {"type": "object", "additionalProperties": INTEGER}, {"a": 1}, {"a": 1}),
        (datetime.date, {"type": "string", "format": "date"}, "2026-11-22", datetime.date(2026, 11, 22)),
        (uuid.UUID, {"type": "string", "format": "uuid"}, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        (
            Place,
            {
                "type": "object",
                "properties": {"city": STRING, "country": STRING},
                "additionalProperties": False,
                "required": ["city"],
            },
            {"city": "Ulm"},
            {"city": "Ulm"},
        ),
        (
            Guest,
            {
                "type": "object",
                "properties": {"name": STRING, "age": INTEGER, "tags": {"type": "array", "items": STRING}},
                "additionalProperties": False,
                "required": ["name"],
            },
            {"name": "Zoë", "tags": ["kind"]},
            Guest("Zoë", 0, ["kind"]),
        ),
    ],
    ids=str,
)
def test_a_type_hint_is_a_schema_and_a_way_back(hint: Any, expected: Any, value: Any, becomes: Any) -> None:
    shape = shape_of(hint)

    assert shape.schema == expected
    found = shape.convert(value, "it")
    assert (found, type(found)) == (becomes, type(becomes))


@pytest.mark.parametrize(
    ("hint", "value", "told"),
    [
        (str, 1, "it: expected string, got 1"),
        (int, True, "it: expected integer, got True"),
        (int, 1.5, "it: expected integer, got 1.5"),
        (float, "1", "it: expected number, got '1'"),
        (Literal["a"], "b", "it: expected one of 'a', got 'b'"),
        (Colour, "green", "it: expected one of 'red', 'blue', got 'green'"),
        (list[int], [1, "x"], "it[1]: expected integer, got 'x'"),
        (tuple[int, int], [1], "it: expected 2 items, got [1]"),
        (dict[str, int], {"a": None}, "it.a: expected integer, got None"),
        (int | None, "x", "it: expected integer, got 'x'; or it: expected null, got 'x'"),
        (datetime.date, "soon", "it: expected date, got 'soon'"),
        (Guest, {"age": 3}, "it: name missing"),
        (Guest, {"name": "A", "size": 3}, "it: there is no size, but name, age, tags"),
        (Place, {"city": 1}, "it.city: expected string, got 1"),
        (str, ["x" * 200], "it: expected string, got ['" + "x" * 98 + "..."),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_with_its_place(hint: Any, value: Any, told: str) -> None:
    with pytest.raises(Misfit) as misfit:
        shape_of(hint).convert(value, "it")

    assert str(misfit.value) == told


def test_a_function_is_called_with_what_its_type_hints_ask_for() -> None:
    arguments = {"guest": {"name": "Zoë"}, "nights": 2, "place": {"city": "Ulm"}}
    assert call(book, json.dumps(arguments)) == (Guest("Zoë"), 2, {"city": "Ulm"}, True)


def test_a_function_that_wants_the_call_is_given_it_and_the_model_is_not_told() -> None:
    def pay(euro: int, order: v1.ToolCall) -> tuple[int, str]:
        return euro, order.tool_call_id

    assert list(schema(pay)["properties"]) == ["euro"]
    assert call(pay, '{"euro": 5}') == (5, "call-1")


@pytest.mark.parametrize("arguments", ["{", "[]", '{"euro": 5, "more": 1}', "{}", "", '{"euro": NaN}', "[" * 100_000])
def test_arguments_that_do_not_fit_are_no_call(arguments: str) -> None:
    def pay(euro: int) -> None:
        raise AssertionError("it was called")

    with pytest.raises(Misfit, match="arguments"):
        call(pay, arguments)


def test_a_function_that_takes_everything_is_given_everything() -> None:
    def note(title: str, **more: Any) -> Any:
        return title, more

    assert schema(note)["additionalProperties"] is True
    assert call(note, '{"title": "a", "b": [1]}') == ("a", {"b": [1]})


def test_a_schema_of_ones_own_goes_with_any_function() -> None:
    def look(**arguments: Any) -> Any:
        """Look it up."""
        return arguments

    own = {"type": "object", "properties": {"page": {"type": "integer", "minimum": 1}}}
    tool = made((own, look)).tool
    assert (tool.name, tool.description, json.loads(tool.parameters.json)) == ("look", "Look it up.", own)
    assert call((own, look), '{"page": 7}') == {"page": 7}


def test_a_client_tool_is_told_as_it_is() -> None:
    told = v1.ClientTool(name="look-up", description="Looks.", parameters=v1.JsonObject(json='{"type":"object"}'))
    assert made((told, lambda **_: "x")).tool == told
    assert call((told, lambda page: page), '{"page": 7}') == 7


@pytest.mark.parametrize("function", [made(book).bound, partial(book, nights=1), lambda: 1])
def test_functions_without_a_type_hint_or_a_docstring_are_tools_as_well(function: Callable[..., Any]) -> None:
    told = v1.ClientTool(name="any")
    assert made((told, function)).tool == told


def _positional(a: int, /) -> None: ...
def _several(*a: int) -> None: ...
def _odd(a: bytes) -> None: ...
def _numbered(a: dict[int, str]) -> None: ...
def _deep(a: Endless) -> None: ...
def _unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is the point
def _binary(a: Literal[b"x"]) -> None: ...


@pytest.mark.parametrize(
    "function", [_positional, _several, _odd, _numbered, _deep, _unknown, _binary, partial(book, nights=1)]
)
def test_a_function_that_json_cannot_call_is_refused_at_once(function: Callable[..., Any]) -> None:
    with pytest.raises(NoSchema):
        functions.by_name([function])


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tools are called book"):
        functions.by_name([book, book])


@pytest.mark.parametrize(
    ("docstring", "description", "arguments"),
    [
        (None, "", {}),
        ("Do it.", "Do it.", {}),
        ("Do it.\n\n    Well.\n\n    Args:\n        a: One: two.\n            More.\n        b (int, optional): B.\n\n"
         "    Raises:\n        c: No argument.", "Do it.\n\nWell.", {"a": "One: two. More.", "b": "B."}),
        ("Do it.\n\n    :param a: One.\n        More.\n    :param int b: B.\n    :returns: c: no argument.", "Do it.",
         {"a": "One. More.", "b": "B."}),
    ],
)  # fmt: skip
def test_docstrings_are_read(docstring: str | None, description: str, arguments: dict[str, str]) -> None:
    told = docstrings.read(docstring)
    assert (told.description, told.arguments) == (description, arguments)


ACTION = v1.PendingAction(tool_call_id="call-1", call=v1.ToolCall(tool_call_id="call-1", name="pay"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("paid", "paid"),
        ("", "(empty)"),
        (None, "null"),
        ({"é": [1, 2.5]}, '{"é": [1, 2.5]}'),
        (Guest("Zoë"), '{"name": "Zoë", "age": 0, "tags": []}'),
        (datetime.date(2026, 11, 22), '"2026-11-22"'),
        ({3}, "[3]"),
    ],
)
def test_a_result_is_told_as_text_or_json(value: Any, text: str) -> None:
    told = outcomes.returned(ACTION, value).tool
    assert (told.tool_call_id, told.status, told.tool_return.text) == ("call-1", v1.TOOL_RETURN_STATUS_SUCCESS, text)


def test_content_is_told_as_it_is() -> None:
    content = v1.Content(parts=v1.Content.Parts(parts=[v1.ContentPart(text=v1.Text(text="a"))]))
    assert outcomes.returned(ACTION, content).tool.tool_return == content


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize("value", [{(1, 2): "no name"}, _circle(), "x" * (outcomes.MAX_RESULT_BYTES + 1), "\ud800"])
def test_a_result_that_cannot_be_told_is_an_error(value: Any) -> None:
    told = outcomes.returned(ACTION, value).tool
    assert told.status == v1.TOOL_RETURN_STATUS_ERROR
    assert "result" in told.tool_return.text


def test_an_error_is_told_by_type_and_message_and_not_for_ever() -> None:
    told = outcomes.raised(ACTION, KeyError("x" * 10_000)).tool
    assert told.status == v1.TOOL_RETURN_STATUS_ERROR
    assert told.tool_return.text.startswith("KeyError: 'xxx")
    assert len(told.tool_return.text) == 2_000
