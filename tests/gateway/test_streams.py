"""A stream over REST tells a run once, in order, to its end, and goes on from any place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from sendoff_server import app
from tests.faults.gated import at, hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.door import Door, Event, fold, knocking, script

_PLAY = {
    "steps": [
        {"reasoning": "Let me think about it", "text": "Asking. Grüße 🌍 now", "tool_calls": [{"name": "nothing"}]},
        {"text": "All done, as you see."},
    ]
}


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0") as server:
        yield server


@pytest.fixture
async def door(running: app.Server) -> AsyncIterator[Door]:
    async with knocking(running) as opened:
        yield opened


def _types(events: list[Event]) -> list[str]:
    return [event.data["message_type"] for event in events]


async def _told(door: Door, **options: object) -> list[Event]:
    agent_id = await door.agent()
    return await door.events(f"/v1/agents/{agent_id}/messages/stream", {"input": script(**_PLAY), **options})


async def test_a_stream_begins_with_a_ping_that_names_the_run_and_ends_with_reason_and_usage(door: Door) -> None:
    events = await _told(door)
    assert _types(events) == [
        "ping",
        "reasoning_message",
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert events[0].data["run_id"].startswith("run-")
    assert all(event.data.get("seq_id") is None for event in events)


async def test_a_background_stream_counts_its_messages(door: Door) -> None:
    events = await _told(door, background=True)
    assert [event.data.get("seq_id") for event in events] == [1, 2, 3, 4, 5, 6, None, None]
    assert [event.id for event in events] == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_calls_come_in_pieces_that_leave_out_what_they_do_not_tell(door: Door) -> None:
    pieces = [event.data["tool_calls"] for event in await _told(door, stream_tokens=True) if "tool_calls" in event.data]
    call_id = pieces[0]["tool_call_id"]
    assert pieces == [{"name": "nothing", "tool_call_id": call_id}, {"arguments": "{}", "tool_call_id": call_id}]


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("background", [False, True])
async def test_a_stream_cut_anywhere_and_resumed_tells_everything_once(
    door: Door, tokens: bool, background: bool
) -> None:
    chance = random.Random(4)
    whole = await _told(door, stream_tokens=tokens, background=background)
    run_id = whole[0].data["run_id"]
    wanted = fold(whole)
    assert "".join(m["content"] for m in wanted if m["message_type"] == "assistant_message") == (
        "Asking. Grüße 🌍 nowAll done, as you see."
    )
    for _ in range(12):
        cut = chance.randrange(len(whole))
        last = whole[cut].id
        rest = await door.events(f"/v1/runs/{run_id}/stream", {"starting_after": last})
        assert fold([*whole[: cut + 1], *rest]) == wanted
        assert all(event.id is not None and last is not None and event.id > last for event in rest)


async def test_any_number_is_one_that_a_stream_can_be_resumed_after(door: Door) -> None:
    """Also one in the middle of a piece, as another replay of the same run may have told it."""
    whole = await _told(door, stream_tokens=True, background=True)
    run_id, text = whole[0].data["run_id"], "All done, as you see."
    began = next(event.id for event in whole if event.data.get("content") and event.data["content"] in text)
    assert began is not None
    base = began // 1_000_000 * 1_000_000
    for told in range(len(text) + 1):
        rest = await door.events(f"/v1/runs/{run_id}/stream", {"starting_after": base + told})
        said = "".join(e.data["content"] for e in rest if e.data["message_type"] == "assistant_message")
        assert said == text[told:]


@pytest.mark.parametrize("tokens", [False, True])
async def test_whoever_comes_back_while_the_answer_is_written_misses_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tokens: bool
) -> None:
    gate = hold_calls(monkeypatch, HeldCalls(lambda _, sent: sent in (2, 4)))
    async with serve(http_address="127.0.0.1:0") as server, knocking(server) as door:
        agent_id = await door.agent()
        body = {"input": script(text="one two three four five six"), "stream_tokens": tokens, "background": True}
        told: list[Event] = []
        async with door.stream(f"/v1/agents/{agent_id}/messages/stream", body) as events:
            async for event in events:
                told.append(event)
                if not tokens or "".join(e.data.get("content", "") for e in told) == "one two ":
                    break
        gate.release()
        await gate.held.get()
        await gate.held.get()
        path = f"/v1/runs/{told[0].data['run_id']}/stream"
        resuming = asyncio.create_task(door.events(path, {"starting_after": told[-1].id}))
        gate.release()
        told += await resuming
        assert fold(told) == fold(await door.events(path, {}))
        assert [m["content"] for m in fold(told) if "content" in m] == ["one two three four five six"]


async def test_the_last_event_id_is_where_a_stream_goes_on(door: Door) -> None:
    whole = await _told(door, background=True)
    path = f"/v1/runs/{whole[0].data['run_id']}/stream"
    rest = await door.events(path, {}, **{"last-event-id": str(whole[2].id)})
    assert [event.id for event in rest] == [event.id for event in whole[3:]]


async def test_only_the_types_asked_for_are_told(door: Door) -> None:
    for tokens in (False, True):
        events = await _told(door, stream_tokens=tokens, include_return_message_types=["assistant_message"])
        assert set(_types(events)) == {"ping", "assistant_message", "stop_reason", "usage_statistics"}


async def test_calls_of_send_message_are_told_as_words(door: Door) -> None:
    play = {"steps": [{"tool_calls": [{"name": "send_message", "arguments": {"message": "Hello"}}]}, {"text": "Bye"}]}
    agent_id = await door.agent()
    for options in ({}, {"stream_tokens": True}):
        body = {"input": script(**play), **options}
        events = await door.events(f"/v1/agents/{agent_id}/messages/stream", body)
        said = [event.data for event in events if event.data["message_type"] == "assistant_message"]
        assert "".join(each["content"] for each in said).startswith("Hello")
        assert "tool_call_message" not in _types(events)
    body = {"input": script(**play), "use_assistant_message": False}
    assert "tool_call_message" in _types(await door.events(f"/v1/agents/{agent_id}/messages/stream", body))


async def test_a_failure_is_a_reason_then_an_error_then_the_end(door: Door) -> None:
    agent_id = await door.agent()
    body = {"input": script(text="x", error={"kind": "authentication"})}
    events = await door.events(f"/v1/agents/{agent_id}/messages/stream", body)
    assert _types(events) == ["ping", "stop_reason", "error_message"]
    assert (events[-1].name, events[-1].data["error_type"]) == ("error", "llm_authentication")
    assert events[1].data["stop_reason"] == "llm_api_error"


async def test_a_cancelled_run_ends_its_stream(door: Door) -> None:
    agent_id = await door.agent()
    events: list[Event] = []
    body = {"input": script(text="x", hang=True)}
    async with door.stream(f"/v1/agents/{agent_id}/messages/stream", body) as stream:
        async for event in stream:
            if not events:
                run_id = event.data["run_id"]
                assert await door.post(f"/v1/agents/{agent_id}/messages/cancel", {}) == {run_id: "cancelled"}
            events.append(event)
    assert events[-1].data == "[DONE]"
    assert events[-2].data == {"message_type": "stop_reason", "stop_reason": "cancelled"}


async def test_runs_of_async_requests_can_be_streamed_too(door: Door) -> None:
    agent_id = await door.agent()
    run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(text="Hello")})
    for _ in range(2):  # at work or not, and ended
        events = await door.events(f"/v1/runs/{run['id']}/stream", {})
        assert _types(events) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]


async def test_a_watch_tells_text_as_it_grows_where_that_is_asked_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = hold_calls(monkeypatch, at(2))
    async with serve(http_address="127.0.0.1:0") as server, knocking(server) as door:
        agent_id = await door.agent()
        run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(text="Hello, and good day")})
        await asyncio.wait_for(calls.held.get(), 20)
        told: list[Event] = []
        async with door.stream(f"/v1/runs/{run['id']}:watch?include_deltas=true", method="GET") as events:
            async for event in events:
                if event.name == "delta" and not told:
                    calls.release()
                told += [event] if event.name == "delta" else []
    pieces = [event.data for event in told]
    assert "".join(each["text"] for each in pieces if each["type"] == "text") == "Hello, and good day"
