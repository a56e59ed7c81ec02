"""A Python tool's description and schema are made from its function, in a process like that of a call."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.tools.port import Described, Unfit
from tests.unit.tools.python_tools import some_tools


async def described(source: str, name: str = "t") -> Described:
    return await some_tools("unconfined").describe(name, textwrap.dedent(source))


def schema(required: list[str], /, **properties: Any) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return shape | {"required": required} if required else shape


GOOGLE = '''
def t(city: str, days: int = 3):
    """Tell the weather.

    For the days to come.

    Args:
        city: Where, by name.
        days (int): How far
            ahead.

    Returns:
        A sentence.
    """
'''
NUMPY = '''
def t(city: str, days: int = 3):
    """Tell the weather.

    For the days to come.

    Parameters
    ----------
    city : str
        Where, by name.
    days : int
        How far
        ahead.
    """
'''
REST = '''
def t(city: str, days: int = 3):
    """Tell the weather.

    For the days to come.

    :param city: Where, by name.
    :param days: How far
        ahead.
    :returns: A sentence.
    """
'''


@pytest.mark.parametrize("source", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
async def test_docstrings_of_each_style_describe_the_tool_and_its_arguments(source: str) -> None:
    told = await described(source)
    assert told.description == "Tell the weather.\n\nFor the days to come."
    assert json.loads(told.json_schema) == schema(
        ["city"],
        city={"type": "string", "description": "Where, by name."},
        days={"type": "integer", "default": 3, "description": "How far\nahead."},
    )


_COLOUR = {"enum": ["red", "blue"], "type": "string"}
TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("def t(): pass", schema([])),
    "async": ("async def t(a: bool): pass", schema(["a"], a={"type": "boolean"})),
    "not annotated": ("def t(a, b=None): pass", schema(["a"], a={}, b={"default": None})),
    "keyword only": ("def t(*, a: float): pass", schema(["a"], a={"type": "number"})),
    "optional": (
        "def t(a: list[str] | None = None): pass",
        schema([], a={"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None}),
    ),
    "literal": (
        "from typing import Literal\ndef t(a: Literal['red', 'blue']): pass",
        schema(["a"], a=_COLOUR),
    ),
    "annotations as text": (
        "from __future__ import annotations\nfrom typing import Annotated\nfrom pydantic import Field\n"
        "def t(a: Annotated[int, Field(ge=1, description='How many.')]): 'Docs.'",
        schema(["a"], a={"type": "integer", "minimum": 1, "description": "How many."}),
    ),
    "an argument called title": (
        "def t(title: str, properties: dict[str, int]): pass",
        schema(
            ["title", "properties"],
            title={"type": "string"},
            properties={"type": "object", "additionalProperties": {"type": "integer"}},
        ),
    ),
    "its own classes": (
        "import enum\nfrom dataclasses import dataclass\n"
        "class Colour(enum.Enum):\n RED = 'red'\n BLUE = 'blue'\n"
        "@dataclass\nclass Hat:\n title: str\n colour: Colour\n"
        "def t(hat: Hat): pass",
        schema(["hat"], hat={"$ref": "#/$defs/Hat"})
        | {
            "$defs": {
                "Colour": _COLOUR,
                "Hat": {
                    "type": "object",
                    "properties": {"title": {"type": "string"}, "colour": {"$ref": "#/$defs/Colour"}},
                    "required": ["title", "colour"],
                },
            }
        },
    ),
}


@pytest.mark.parametrize("case", TABLE)
async def test_the_schema_is_that_of_the_signature(case: str) -> None:
    source, expected = TABLE[case]
    told = await described(source)
    assert json.loads(told.json_schema) == expected
    assert told.misfit == ""


async def test_arguments_beyond_those_that_are_named_may_be_allowed() -> None:
    told = await described("def t(a: str, **rest: int): pass")
    assert json.loads(told.json_schema)["additionalProperties"] == {"type": "integer"}


async def test_the_order_of_arguments_is_kept() -> None:
    told = await described("def t(zebra: int, apple: int, mango: int): pass")
    assert list(json.loads(told.json_schema)["properties"]) == ["zebra", "apple", "mango"]


@pytest.mark.parametrize(
    ("source", "misfit"),
    [
        ("def t(a, /): pass", "the parameter a of t has no name that a caller could use"),
        ("def t(*rest): pass", "the parameter rest of t has no name that a caller could use"),
        ("class A: pass\ndef t(a: A): 'Docs.'", "PydanticSchemaGenerationError: Unable to generate"),
        ("from __future__ import annotations\ndef t(a: Missing): pass", "NameError: name 'Missing' is not defined"),
    ],
)
async def test_a_function_without_a_schema_is_described_without_one_and_why_is_told(source: str, misfit: str) -> None:
    told = await described(source)
    assert told.json_schema == ""
    assert told.misfit.startswith(misfit)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def t(:", "SyntaxError: invalid syntax"),
        ("import nothing_of_that_name\ndef t(): pass", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("t = 1", "it defines no public function"),
        ("def a(): pass\ndef b(): pass", "it defines several public functions (a, b) and none is called t"),
        ("import os\nos._exit(0)\ndef t(): pass", "the tool's process ended before it returned, with exit code 0"),
        ("x = 'a' * (8 << 30)\ndef t(): pass", "MemoryError"),
        ("(" * 100_000, "SyntaxError: too many nested parentheses"),
    ],
)
async def test_source_code_that_is_no_tool_is_refused_with_what_is_wrong(source: str, why: str) -> None:
    with pytest.raises(Unfit) as refused:
        await described(source)
    assert str(refused.value).startswith(why)


async def test_without_a_name_the_only_public_function_gives_one() -> None:
    assert (await described("import os\ndef _helper(): ...\ndef light(): ...", "")).name == "light"
    with pytest.raises(Unfit, match=r"\(a, b\) and a name has to tell which is the tool"):
        await described("def a(): pass\ndef b(): pass", "")


def _forging(answer: str) -> str:
    """A module that answers for its worker."""
    return f"""
        import os
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, b'{answer}')
            except OSError:
                pass
        os._exit(0)
        """


@pytest.mark.parametrize("answer", ['{"text": "x"}', "[]", "1"])
async def test_a_module_that_answers_nonsense_for_its_worker_is_refused(answer: str) -> None:
    with pytest.raises(Unfit, match="the tool's process ended before it returned"):
        await described(_forging(answer))


async def test_a_module_that_answers_for_its_worker_cannot_tell_what_could_not_be_kept() -> None:
    told = await described(_forging(r'{"schema": "\\ud800", "description": ["\\udfff"]}'))
    assert v1.Tool(description=told.description, json_schema=v1.JsonObject(json=told.json_schema)).ByteSize()


async def test_a_module_that_never_loads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sendoff_server.tools.python.tools.DESCRIBE_TIMEOUT_S", 0.3)
    with pytest.raises(Unfit, match="takes longer than"):
        await described("while True: pass")
