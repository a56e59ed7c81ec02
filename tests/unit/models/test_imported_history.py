"""Imported tool calls as each kind of provider is shown them, in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from sendoff import v1
from tests.fixtures.fake_providers import fake_providers
from tests.unit.models.asking import ask, call, user
from tests.unit.models.test_library import Provide, anthropic, compatible, responses
from tests.unit.models.test_mapping import assistant


def text(told: str) -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=told))


CALLS = [
    v1.ContentPart(tool_call=v1.ToolCallPart(id="c1", name="sky", input=v1.JsonObject(json='{"city":"Ulm"}'))),
    v1.ContentPart(tool_call=v1.ToolCallPart(id="c2", name="wind")),
]
RETURNS = [
    v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c1", content="rain")),
    v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c2", content="no wind", is_error=True)),
]
IN_ONE_MESSAGE = [
    user("Weather?"),
    assistant(text("Let me look."), *CALLS, *RETURNS, text("It rains."), answer_id="message-1"),
    user("Thanks."),
]
IN_SEVERAL = [
    user("Weather?"),
    assistant(text("Let me look."), *CALLS, answer_id="message-1"),
    assistant(RETURNS[0], answer_id="message-2"),
    assistant(RETURNS[1], answer_id="message-3"),
    assistant(text("It rains."), answer_id="message-4"),
    user("Thanks."),
]

CHAT = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "sky", "arguments": '{"city":"Ulm"}'}},
            {"id": "c2", "type": "function", "function": {"name": "wind", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    {"role": "tool", "tool_call_id": "c2", "content": '{"error":"no wind"}'},
    {"role": "assistant", "content": "It rains."},
    {"role": "user", "content": "Thanks."},
]
RESPONSES = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": "Let me look."},
    {"type": "function_call", "call_id": "c1", "name": "sky", "arguments": '{"city":"Ulm"}'},
    {"type": "function_call", "call_id": "c2", "name": "wind", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    {"type": "function_call_output", "call_id": "c2", "output": '{"error":"no wind"}'},
    {"role": "assistant", "content": "It rains."},
    {"role": "user", "content": "Thanks."},
]


def _said(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def _block(told: str) -> dict[str, Any]:
    return {"type": "text", "text": told}


ANTHROPIC = [
    _said("user", _block("Weather?")),
    _said(
        "assistant",
        _block("Let me look."),
        {"type": "tool_use", "id": "c1", "name": "sky", "input": {"city": "Ulm"}},
        {"type": "tool_use", "id": "c2", "name": "wind", "input": {}},
    ),
    _said(
        "user",
        {"type": "tool_result", "tool_use_id": "c1", "content": [_block("rain")], "is_error": False},
        {"type": "tool_result", "tool_use_id": "c2", "content": [_block("no wind")], "is_error": True},
    ),
    _said("assistant", _block("It rains.")),
    _said("user", _block("Thanks.")),
]


@pytest.mark.parametrize("messages", [IN_ONE_MESSAGE, IN_SEVERAL], ids=["in one message", "in several"])
@pytest.mark.parametrize(
    ("provide", "member", "expected"),
    [(compatible, "messages", CHAT), (responses, "input", RESPONSES), (anthropic, "messages", ANTHROPIC)],
    ids=["chat completions", "responses", "anthropic"],
)
async def test_calls_and_returns_are_shown_as_such(
    provide: Provide, member: str, expected: list[dict[str, Any]], messages: list[v1.Message]
) -> None:
    async with fake_providers() as fake:
        provider = provide(fake)
        await ask(provider.model("small"), call(messages=messages))
        await provider.aclose()
        assert fake.last.body[member] == expected
