"""Runs that call tools: several steps, side by side, and whatever tools do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.tools.port import ToolCall, ToolResult, text_result
from tests.faults.caller import Caller, calling, patiently, script
from tests.faults.run_log import check_log
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop, says

LOOK = {"name": "look", "arguments": {"at": "it"}}


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return open_workshop(monkeypatch)


@pytest.fixture
async def caller(workshop: Workshop, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


def steps(*each: dict[str, Any]) -> str:
    return script(steps=list(each))


def calls(*names: str) -> dict[str, Any]:
    return {"tool_calls": [{"name": name} for name in names]}


async def ended(caller: Caller, text: str, **fields: Any) -> v1.Run:
    run = await caller.ended((await caller.send(await caller.agent(), text, **fields)).id)
    check_log(run, await caller.log(run.id))
    return run


def kinds(messages: Sequence[v1.Message]) -> list[str]:
    return [message.WhichOneof("kind") or "" for message in messages]


def events(log: Sequence[v1.RunEvent]) -> list[str]:
    return [event.WhichOneof("event") or "" for event in log]


async def returns(caller: Caller, run: v1.Run) -> list[v1.ToolReturn]:
    messages = await caller.messages(run.id)
    return [each for message in messages for each in message.tool_return_message.tool_returns]


async def told(caller: Caller, run: v1.Run) -> list[tuple[str, bool]]:
    """The text of each return, and whether it is an error."""
    found = await returns(caller, run)
    return [(each.tool_return.text, each.status == v1.TOOL_RETURN_STATUS_ERROR) for each in found]


async def test_a_tool_is_called_and_the_model_goes_on_with_what_it_returned(
    workshop: Workshop, caller: Caller
) -> None:
    workshop.has("look", says("seven lanterns"))
    run = await ended(caller, steps({"text": "Let me look.", "tool_calls": [LOOK]}, {"text": "There are seven."}))
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)
    messages = await caller.messages(run.id)
    assert kinds(messages) == [
        "user_message",
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    (call,) = messages[2].tool_call_message.tool_calls
    (returned,) = messages[3].tool_return_message.tool_returns
    assert (call.name, call.arguments, call.arguments_are_valid_json) == ("look", '{"at": "it"}', True)
    assert (returned.tool_call_id, returned.tool_return.text) == (call.tool_call_id, "seven lanterns")
    assert returned.status == v1.TOOL_RETURN_STATUS_SUCCESS
    assert messages[1].id == messages[2].id
    assert {message.step_id for message in messages[1:4]} == {messages[1].step_id}
    assert messages[4].step_id != messages[1].step_id
    assert messages[4].assistant_message.content.text == "There are seven."
    assert run.usage.step_count == 2
    (made,) = workshop.calls
    assert (made.arguments, made.call_id, made.run_id) == ({"at": "it"}, call.tool_call_id, run.id)
    assert made.position == messages[2].position
