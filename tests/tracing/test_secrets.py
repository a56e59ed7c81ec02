"""What spans tell of what was said: nothing, unless the operator wants it, and secrets never."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.models.port import ModelCall
from sendoff_server.tracing import content
from tests.faults.caller import PATIENCE_S, Caller, calling, script
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop, says
from tests.tracing.kept import Memory, named

SAID = ("MARK-system", "MARK-answer", "MARK-argument", "MARK-return")
SECRET = ("MARK-url", "MARK-agent-secret", "MARK-metadata", "MARK-label", "MARK-query", "MARK-authorization")


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    made.has("look", says("MARK-return"))
    return made


async def _everything_said(caller: Caller, receiver: Receiver) -> v1.Run:
    """A run with a mark wherever somebody says something, once it has ended and its callback has come."""
    agent = await caller.agent(system="MARK-system", secrets={"TOKEN": "MARK-agent-secret"})
    steps = [
        {"tool_calls": [{"name": "look", "arguments": {"at": "MARK-argument"}}]},
        {"text": "MARK-answer"},
    ]
    sent = v1.CreateMessageAsyncRequest(
        agent_id=agent,
        input=v1.Content(text=script(steps=steps)),
        metadata=v1.JsonObject(json='{"of": "MARK-metadata"}'),
        labels={"of": "MARK-label"},
        callback_url=receiver.url("/MARK-url?token=MARK-query"),
    )
    headers = (("authorization", "Bearer MARK-authorization"),)
    run = await caller.runs.CreateMessageAsync(sent, timeout=PATIENCE_S, metadata=headers)
    ended = await caller.ended(run.id)
    await receiver.requests(1)
    await caller.called_back(run.id, done=True)
    return ended


async def test_spans_tell_nothing_of_what_was_said(serve: Serve, workshop: Workshop, receiver: Receiver) -> None:
    memory = Memory()
    async with serve(tracer=memory.tracer, python_tools=True) as server, calling(server.grpc.address) as caller:
        run = await _everything_said(caller, receiver)
    assert run.status == v1.RUN_STATUS_COMPLETED
    assert {"chat script", "execute_tool look", "POST"} <= {span.name for span in memory.spans}
    told = str(memory.spans)
    assert [mark for mark in (*SAID, *SECRET, "MARK") if mark in told] == []


async def test_where_it_is_wanted_spans_tell_what_was_said_and_no_secret(
    serve: Serve, workshop: Workshop, receiver: Receiver
) -> None:
    memory = Memory(tells_content=True)
    async with serve(tracer=memory.tracer, python_tools=True) as server, calling(server.grpc.address) as caller:
        await _everything_said(caller, receiver)
    chats = [span.attributes for span in memory.spans if span.name == "chat script"]
    tool = named(memory.spans, "execute_tool look").attributes
    shown = json.loads(chats[1]["gen_ai.input.messages"])
    assert [message["role"] for message in shown] == ["user", "assistant", "tool"]
    assert shown[1]["parts"][0]["name"] == "look"
    assert shown[2]["parts"][0]["response"] == "MARK-return"
    assert "MARK-system" in chats[0]["gen_ai.system_instructions"]
    (answer,) = json.loads(chats[1]["gen_ai.output.messages"])
    assert answer == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "MARK-answer"}],
        "finish_reason": "stop",
    }
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"at": "MARK-argument"}
    assert tool["gen_ai.tool.call.result"] == "MARK-return"
    assert [mark for mark in SECRET if mark in str(memory.spans)] == []


def _user(text: str) -> v1.Message:
    return v1.Message(user_message=v1.UserMessage(content=v1.Content(text=text)))


def _question(*messages: v1.Message) -> dict[str, Any]:
    call = ModelCall(handle="a/b", system="", messages=messages, run_id="run", attempt=0)
    return dict(content.of_question(call))


def test_what_is_told_is_bounded_and_the_newest_stays() -> None:
    told = _question(*(_user(f"{number} " + "x" * 1_000) for number in range(100)))
    messages = json.loads(told["gen_ai.input.messages"])
    assert len(told["gen_ai.input.messages"]) <= content.MOST_CHARS + 1_000
    assert messages[-1]["parts"][0]["content"].startswith("99 ")
    one = json.loads(_question(_user("y" * 1_000_000))["gen_ai.input.messages"])
    assert len(one[0]["parts"][0]["content"]) == content.MOST_CHARS
