"""Pieces of an answer add up to what the list of messages shows, wherever a stream is cut, joined and resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server import ids
from sendoff_server.gateway.nouns.messages import message_json
from sendoff_server.gateway.nouns.results import is_shown
from sendoff_server.gateway.streams.telling import Telling, Told, Wanted
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.door import Event, fold, knocking, script
from tests.gateway.sdk import KINDS, PATIENCE_S, Kind, connected, url

RUN = v1.Run(id="run-01a201ef-9a8c-48c3-8669-852b21da29f1", status=v1.RUN_STATUS_RUNNING)
Json = dict[str, Any]
Frames = list[v1.WatchRunResponse]


# ---- made-up runs ----


@dataclass(frozen=True)
class Step:
    """One answer: its parts in order, where each is cut into deltas, and what it calls."""

    parts: Sequence[tuple[str, str, bool]]
    """(kind, text, whether it is signed)."""
    chunk: int
    calls: Sequence[str]
    """The arguments of each."""
    waits: bool
    """The calls are asked for approval."""


_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
_parts = st.tuples(st.sampled_from(["text", "reasoning", "hidden"]), _texts, st.booleans())
_steps = st.builds(
    Step,
    parts=st.lists(_parts, max_size=4),
    chunk=st.integers(1, 9),
    calls=st.lists(st.sampled_from(["{}", '{"a":  1}', "broken {", '{"x": "é🌍"}']), max_size=3),
    waits=st.booleans(),
)


class Play:
    """A run of such steps: the log of it, and the deltas that its watchers saw."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.frames: Frames = []
        self.log: list[v1.RunEvent] = []
        self._event(state_changed=v1.RunStateChanged(status=v1.RUN_STATUS_CREATED))
        for number, step in enumerate(steps):
            self._step(number, step)
        finished = v1.Run(id=RUN.id, status=v1.RUN_STATUS_COMPLETED, stop_reason=v1.STOP_REASON_END_TURN)
        self._event(finished=v1.RunFinished(run=finished))

    @property
    def listed(self) -> list[Json]:
        return [
            message_json(event.message) for event in self.log if event.HasField("message") and is_shown(event.message)
        ]

    def _event(self, **what: Any) -> None:
        event = v1.RunEvent(run_id=RUN.id, sequence=len(self.log) + 1, **what)
        self.log.append(event)
        self.frames.append(v1.WatchRunResponse(event=event))

    def _step(self, number: int, step: Step) -> None:
        step_id, answer_id = ids.derive("step", RUN.id, number), ids.derive("message", RUN.id, number)
        self._event(step_id=step_id, step_started=v1.StepStarted(message_id=answer_id))
        for index, (kind, text, _) in enumerate(step.parts):
            for offset in range(0, len(text) if kind != "hidden" else 0, step.chunk):
                delta = v1.MessageDelta(message_id=answer_id, part_index=index, offset=offset, replaces=offset == 0)
                setattr(delta, kind, text[offset : offset + step.chunk])
                self.frames.append(v1.WatchRunResponse(delta=delta))
        for index, part in enumerate(step.parts):
            message = _entry(answer_id, step_id, index)
            _say(message, *part)
            self._event(step_id=step_id, message=message)
        if step.calls:
            self._calls(_entry(answer_id, step_id, len(step.parts)), step)
            returned = _entry(ids.derive("message", RUN.id, number, "returns"), step_id, 0)
            returned.tool_return_message.tool_returns.add(tool_call_id="call_0").tool_return.text = "yes"
            self._event(step_id=step_id, message=returned)

    def _calls(self, message: v1.Message, step: Step) -> None:
        arm = message.approval_request_message if step.waits else message.tool_call_message
        for index, arguments in enumerate(step.calls):
            is_valid = arguments.startswith("{")
            arm.tool_calls.add(
                tool_call_id=f"call_{index}", name="tool", arguments=arguments, arguments_are_valid_json=is_valid
            )
        self._event(step_id=message.step_id, message=message)


def _entry(message_id: str, step_id: str, part: int) -> v1.Message:
    return v1.Message(id=message_id, run_id=RUN.id, step_id=step_id, otid=ids.otid(message_id, part))


def _say(message: v1.Message, kind: str, text: str, signed: bool) -> None:
    if kind == "hidden":
        message.hidden_reasoning_message.state = "redacted"
        message.hidden_reasoning_message.hidden_reasoning = text
    elif kind == "reasoning":
        message.reasoning_message.reasoning = text
        message.reasoning_message.source = "reasoner_model"
        if signed:
            message.reasoning_message.signature = f"signed {text}"
    else:
        message.assistant_message.content.text = text


# ---- what callers make of them ----


def _told(frames: Sequence[v1.WatchRunResponse], after: int = 0) -> list[Told]:
    telling = Telling(RUN, Wanted(pieces=True, after=after))
    return [event for frame in frames for event in telling.frame(frame)]


def _joined(events: Sequence[Told]) -> dict[tuple[str, str, str], Json]:
    """Messages as programs put them together, without numbers."""
    messages: dict[tuple[str, str, str], Json] = {}
    for event in events:
        data = {**event.data, "seq_id": None}
        if "id" not in data or data["message_type"] == "ping":
            continue
        key = (data["id"], data["message_type"], data["otid"])
        messages[key] = _more(messages[key], data) if key in messages else _more({}, data)
    return messages


def _more(had: Json, data: Json) -> Json:
    joined = {**had, **{name: value for name, value in data.items() if value is not None or name not in had}}
    for member in ("content", "reasoning"):
        if member in had:
            joined[member] = had[member] + data[member]
    if isinstance(piece := data.get("tool_calls"), dict):
        calls = [dict(call) for call in had.get("tool_calls", [])]
        if not calls or calls[-1]["tool_call_id"] != piece["tool_call_id"]:
            calls.append({"name": "", "arguments": "", "tool_call_id": piece["tool_call_id"]})
        for member in ("name", "arguments"):
            calls[-1][member] += piece.get(member) or ""
        joined["tool_calls"], joined["tool_call"] = calls, calls[0]
    return joined


def _as_listed(play: Play) -> dict[tuple[str, str, str], Json]:
    return {(each["id"], each["message_type"], each["otid"]): each for each in play.listed}


@settings(max_examples=150, deadline=None)
@given(st.lists(_steps, min_size=1, max_size=3))
def test_pieces_add_up_to_what_the_list_shows(steps: list[Step]) -> None:
    play = Play(steps)
    told = _told(play.frames)
    assert _joined(told) == _as_listed(play)
    numbers = [event.seq_id for event in told]
    assert numbers == sorted(set(numbers), key=lambda number: number or 0), "numbers grow"


@settings(max_examples=150, deadline=None)
@given(st.lists(_steps, min_size=1, max_size=3), st.data())
def test_whoever_resumes_anywhere_has_everything_once(steps: list[Step], data: st.DataObject) -> None:
    """After the pieces that one watcher saw, from a replay without any, or with others than he saw."""
    play = Play(steps)
    told = _told(play.frames)
    cut = data.draw(st.integers(0, len(told) - 1))
    frames = play.frames if data.draw(st.booleans()) else _late(play.frames, data.draw(st.integers(0, 40)))
    if data.draw(st.booleans()):
        frames = [frame for frame in frames if frame.HasField("event")]
    rest = _told(frames, after=told[cut].seq_id or 0)
    assert _joined([*told[: cut + 1], *rest]) == _as_listed(play)
    assert all((event.seq_id or 0) > (told[cut].seq_id or 0) for event in rest)


def _late(frames: Frames, missed: int) -> Frames:
    """As somebody has them who came when so many deltas had been seen by others: those of a part are one."""
    late: Frames = []
    for frame in frames:
        last = late[-1] if late else v1.WatchRunResponse()
        mine, other = frame.delta, last.delta
        if missed and frame.HasField("delta"):
            missed -= 1
            if last.HasField("delta") and (mine.message_id, mine.part_index) == (other.message_id, other.part_index):
                kind = mine.WhichOneof("delta") or ""
                joined = v1.WatchRunResponse()
                joined.CopyFrom(last)
                setattr(joined.delta, kind, getattr(other, kind) + getattr(mine, kind))
                late[-1] = joined
                continue
        late.append(frame)
    return late


def test_the_text_of_parts_is_told_in_pieces_too() -> None:
    """Some providers sign their text, which makes its content a list in the lists."""
    play = Play([Step(parts=[("text", "signed words", False)], chunk=4, calls=(), waits=False)])
    (said,) = [event for event in play.log if event.HasField("message")]
    part = v1.ContentPart(text=v1.Text(text="signed words", signature="seal"))
    said.message.assistant_message.content.parts.parts.append(part)
    replayed = [v1.WatchRunResponse(event=event) for event in play.log]
    deltas = [frame for frame in play.frames if frame.HasField("delta")]
    for seen in (replayed, [*replayed[:2], *deltas, *replayed[2:]]):
        (message,) = _joined(_told(seen)).values()
        assert message["content"] == "signed words"


# ---- what breaks off ----


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.blocking], ids=str)
async def test_a_run_that_is_cancelled_in_the_middle_of_an_answer_ends_its_stream(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    gate = hold_calls(monkeypatch, HeldCalls(lambda _, sent: sent == 2))
    async with serve(http_address="127.0.0.1:0") as server, connected(url(server), kind) as sdk:
        agent_id = await sdk.agent()
        text = script(text="one two three")
        events: list[Any] = []
        stream = await sdk("agents.messages.create", agent_id, input=text, streaming=True, stream_tokens=True)
        async with asyncio.timeout(PATIENCE_S):
            async for event in stream:
                events.append(event)
                if getattr(event, "content", "").endswith("two "):
                    await gate.held.get()
                    await sdk("agents.messages.cancel", agent_id)
        assert [event.message_type for event in events] == ["ping", "assistant_message", "stop_reason"]
        assert events[-1].stop_reason == "cancelled"
        (run,) = await sdk.all("runs.list", agent_id=agent_id)
        assert [each.message_type for each in await sdk.all("runs.messages.list", run.id)] == ["user_message"]


async def test_pieces_of_an_answer_that_is_asked_for_again_are_told_to_be_void(serve: Serve) -> None:
    async with serve(http_address="127.0.0.1:0") as server, knocking(server) as door:
        agent_id = await door.agent()
        failing = {"kind": "overloaded", "after_chunks": 2, "attempts": 1}
        body = {"input": script(text="one two three", error=failing), "stream_tokens": True, "background": True}
        told = await door.events(f"/v1/agents/{agent_id}/messages/stream", body)
        path = f"/v1/runs/{told[0].data['run_id']}"
        (void,) = [event for event in told if event.name == "message_retracted"]
        kept = [event for event in told if event.data.get("id") != void.data["id"]]
        listed = (await door.get(f"{path}/messages"))[1:]
        assert [each["content"] for each in fold(kept) if "content" in each] == ["one two three"]
        assert [each["id"] for each in listed] == [each["id"] for each in fold(kept) if "id" in each]
        has_some = [event for event in told if (event.id or 0) < (void.id or 0)]
        rest = await door.events(f"{path}/stream", {"starting_after": has_some[-1].id})
        assert rest[0].data == void.data, "also whoever resumes has pieces of it"
        assert _types(await door.events(f"{path}/stream", {"starting_after": 0})).count("message_retracted") == 0


async def test_an_error_in_the_middle_of_an_answer_ends_a_stream_of_pieces(serve: Serve) -> None:
    async with serve(http_address="127.0.0.1:0") as server, knocking(server) as door:
        agent_id = await door.agent()
        failing = {"kind": "authentication", "after_chunks": 2}
        body = {"input": script(text="one two three", error=failing), "stream_tokens": True}
        told = await door.events(f"/v1/agents/{agent_id}/messages/stream", body)
        assert _types(told)[-3:] == ["message_retracted", "stop_reason", "error_message"]
        assert (told[-1].name, told[-1].data["error_type"]) == ("error", "llm_authentication")


def _types(events: list[Event]) -> list[str]:
    return [event.data["message_type"] for event in events]
