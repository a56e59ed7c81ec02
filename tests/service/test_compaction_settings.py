"""How a full context is compacted is for the agent's settings to say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.context import summary
from sendoff_server.models.port import ModelCall
from sendoff_server.models.scripted import ECHO, SMALL
from tests.faults.caller import Caller, calling, script
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

WORDS = "Seven lanterns burn at the quiet harbour until the morning comes. " * 6
"""About 100 tokens, and as many in the echo of it: four turns fill the window of the small model."""
TURNS = 5


class Gate(HeldCalls):
    """Notes every call, and holds none."""

    def __init__(self) -> None:
        super().__init__(lambda call, sent: False)

    def calls(self) -> list[ModelCall]:
        return [self.begun.get_nowait() for _ in range(self.begun.qsize())]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()
    hold_calls(monkeypatch, made)
    return made


@pytest.fixture
async def caller(gate: Gate, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def compacted(caller: Caller, gate: Gate, **settings: Any) -> tuple[str, ModelCall, ModelCall]:
    """A conversation grows until it is compacted: the summary, the call that asked for it, and the call after it."""
    agent = await caller.agent(model=SMALL, compaction_settings=v1.CompactionSettings(**settings))
    for number in range(TURNS):
        run = await caller.ended((await caller.send(agent, f"{number}: {WORDS}")).id)
        assert run.status == v1.RUN_STATUS_COMPLETED, run
        for entry in await caller.messages(run.id):
            if entry.HasField("context_start"):
                asking, after = gate.calls()[-2:]
                return json.loads(entry.user_message.content.text)["message"], asking, after
    raise AssertionError("nothing was compacted")


def text(message: v1.Message) -> str:
    said = message.user_message.content.text or message.assistant_message.content.text
    return said or message.summary_message.summary


async def test_a_prompt_of_the_agent_is_asked_word_for_word(caller: Caller, gate: Gate) -> None:
    _, asking, _ = await compacted(caller, gate, prompt="Say what it was about.")
    assert asking.system == "Say what it was about."


async def test_another_model_writes_the_summary_as_it_is_set_to(caller: Caller, gate: Gate) -> None:
    settings = v1.ModelSettings(temperature=0.5)
    _, asking, after = await compacted(caller, gate, model=ECHO, model_settings=settings)
    assert (asking.handle, asking.settings) == (ECHO, settings)
    assert (after.handle, after.settings) == (SMALL, v1.ModelSettings())


async def test_a_summary_is_cut_after_so_many_characters(caller: Caller, gate: Gate) -> None:
    told, _, _ = await compacted(caller, gate, clip_chars=40)
    words = told.removeprefix(summary.NOTE).strip()
    assert len(words) == 40
    assert words.endswith(summary.CUT)


async def test_all_history_becomes_part_of_the_summary(caller: Caller, gate: Gate) -> None:
    _, _, after = await compacted(caller, gate, mode=v1.COMPACTION_MODE_ALL)
    assert [each.WhichOneof("kind") for each in after.messages] == ["summary_message", "user_message"]


async def test_the_window_that_slides_is_as_wide_as_is_wanted(caller: Caller, gate: Gate) -> None:
    _, _, narrow = await compacted(caller, gate, sliding_window_percentage=0.01)
    _, _, wide = await compacted(caller, gate, sliding_window_percentage=0.6)
    assert len(narrow.messages) == 2
    assert len(wide.messages) == 6


async def test_a_model_that_needs_it_is_shown_as_having_promised(caller: Caller, gate: Gate) -> None:
    _, asking, _ = await compacted(caller, gate, prompt_acknowledgement=True)
    assert [text(each) for each in asking.messages[:2]] == [summary.ANNOUNCED, summary.PROMISE]


@pytest.mark.parametrize(
    ("mode", "shown"),
    [(v1.COMPACTION_MODE_SELF_COMPACT_ALL, 2), (v1.COMPACTION_MODE_SELF_COMPACT_SLIDING_WINDOW, 4)],
)
async def test_an_agent_can_write_the_summary_itself(
    caller: Caller, gate: Gate, mode: v1.CompactionMode.ValueType, shown: int
) -> None:
    told, asking, after = await compacted(caller, gate, mode=mode)
    assert asking.system == after.system, "its own system prompt"
    assert text(asking.messages[0]).startswith("0: Seven"), "the history as it was"
    assert "stop here for a moment" in text(asking.messages[-1])
    assert "stop here for a moment" in told, "the echo of it is the summary"
    assert len(after.messages) == shown


async def test_what_an_agent_is_asked_can_be_its_own_words(caller: Caller, gate: Gate) -> None:
    mode = v1.COMPACTION_MODE_SELF_COMPACT_ALL
    _, asking, _ = await compacted(caller, gate, mode=mode, prompt="Sum it up.", prompt_acknowledgement=True)
    assert [text(each) for each in asking.messages[-3:]] == ["Sum it up.", summary.PROMISE, summary.GO_ON]


# ---- an agent that forgets ----


async def test_an_agent_that_forgets_is_shown_the_turn_at_hand_alone(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(model="scripted/script", message_buffer_autoclear=True)
    for number in range(2):
        run = await caller.ended((await caller.send(agent, script(text=f"answer {number}"))).id)
        assert run.status == v1.RUN_STATUS_COMPLETED
    assert [len(call.messages) for call in gate.calls()] == [1, 1]


async def test_an_agent_that_forgets_knows_what_it_waits_for(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(model="scripted/script", message_buffer_autoclear=True)
    await caller.ended((await caller.send(agent, script(text="before"))).id)
    asked = script(steps=[{"tool_calls": [{"name": "look", "id": "call-number-1"}]}, {"text": "seen"}])
    stopped = await caller.ended((await caller.send(agent, asked, client_tools=[v1.ClientTool(name="look")])).id)
    assert stopped.stop_reason == v1.STOP_REASON_REQUIRES_APPROVAL
    result = v1.ToolReturn(
        tool_call_id="call-number-1", status=v1.TOOL_RETURN_STATUS_SUCCESS, tool_return=v1.Content(text="a harbour")
    )
    answer = v1.InputMessage(tool_return=v1.ToolReturnCreate(tool_returns=[result]))
    request = v1.CreateMessageAsyncRequest(
        agent_id=agent, messages=v1.InputMessages(messages=[answer]), client_tools=[v1.ClientTool(name="look")]
    )
    run = await caller.ended((await caller.runs.CreateMessageAsync(request)).id)
    assert run.stop_reason == v1.STOP_REASON_END_TURN, run
    shown = [each.WhichOneof("kind") for each in gate.calls()[-1].messages]
    assert shown == ["user_message", "approval_request_message", "approval_response_message", "tool_return_message"]
