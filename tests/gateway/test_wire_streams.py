"""A stream that is cut at any byte, and taken up again, tells the run once: without a gap, and nothing twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from letta_client import APIConnectionError

from sendoff_server import app
from tests.fixtures.server import Serve
from tests.gateway.door import Door, Event, fold, knocking, script
from tests.gateway.proxy import Fault, between
from tests.gateway.sdk import KINDS, Kind, connected, url

_CUTS = 20
_PLAY: dict[str, Any] = {
    "steps": [
        {"reasoning": "Let me think about it", "text": "Asking. Grüße 🌍 now", "tool_calls": [{"name": "nothing"}]},
        {"reasoning": "Nothing came", "text": "All done, as you see. It took a while, and so I tell it slowly."},
    ]
}
_PATIENCE_S = 30.0


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0") as server:
        yield server


@pytest.fixture
async def door(running: app.Server) -> AsyncIterator[Door]:
    async with knocking(running) as opened:
        yield opened


def _slowly(**play: Any) -> str:
    """The play with time between its pieces, so that streams are cut while it is at work."""
    return script(steps=[{**step, "delay_ms": 4} for step in play["steps"]])


async def _until_cut(proxy_address: str, method: str, path: str, body: Any, **headers: str) -> list[Event]:
    """The events that came whole."""
    told: list[Event] = []
    async with httpx.AsyncClient(base_url=f"http://{proxy_address}", timeout=_PATIENCE_S) as http:
        try:
            async with Door(http).stream(path, body, method, **headers) as events:
                async for event in events:
                    told.append(event)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            pass
    return told


async def _in_pieces(server: app.Server, run_id: str, chance: random.Random, how: str) -> list[Event]:
    """All events of a run, by a caller whose every stream is cut but the last."""
    assert server.http is not None
    told: list[Event] = []
    plan = [Fault(answer_bytes=chance.randrange(250, 1_200), resets=chance.random() < 0.5) for _ in range(_CUTS)]
    async with between(server.http.address, plan) as proxy, asyncio.timeout(_PATIENCE_S):
        while not told or told[-1].data != "[DONE]":
            last = max((event.id for event in told if event.id is not None), default=0)
            by_header = how == "header" or (how == "either" and chance.random() < 0.5)
            body = {} if by_header else {"starting_after": last}
            headers = {"last-event-id": str(last)} if by_header else {}
            told += await _until_cut(proxy.address, "POST", f"/v1/runs/{run_id}/stream", body, **headers)
        assert proxy.connections > 3, "it was hardly cut"
    return told[:-1]


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("how", ["starting_after", "header"])
@pytest.mark.parametrize("finished", [False, True])
async def test_a_stream_cut_at_any_byte_tells_everything_once(
    running: app.Server, door: Door, tokens: bool, how: str, finished: bool
) -> None:
    agent_id = await door.agent()
    body = {"input": _slowly(**_PLAY), "stream_tokens": tokens, "background": True}
    async with door.stream(f"/v1/agents/{agent_id}/messages/stream", body) as events:
        run_id = (await anext(events)).data["run_id"]
    if finished:
        await door.ended(run_id)
    told = await _in_pieces(running, run_id, random.Random(f"{tokens}{how}{finished}"), how)
    whole = await door.events(f"/v1/runs/{run_id}/stream", {})
    numbers = [event.id or 0 for event in told if event.data["message_type"] != "ping"]
    assert numbers == sorted(set(numbers)), "something came twice, or too late"
    assert fold(told) == fold(whole)
    if not tokens:
        assert [event.id for event in told] == [event.id for event in whole]


async def test_a_run_of_an_asynchronous_request_is_followed_over_any_cut(running: app.Server, door: Door) -> None:
    agent_id = await door.agent()
    run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": _slowly(**_PLAY)})
    told = await _in_pieces(running, run["id"], random.Random(5), "either")
    whole = await door.events(f"/v1/runs/{run['id']}/stream", {})
    assert [event.id for event in told] == [event.id for event in whole] == list(range(1, len(whole) + 1))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.strict], ids=str)
@pytest.mark.parametrize("tokens", [False, True])
async def test_the_client_follows_a_background_stream_over_any_cut(
    running: app.Server, kind: Kind, tokens: bool
) -> None:
    assert running.http is not None
    chance = random.Random(f"{kind}{tokens}")
    async with connected(url(running), kind) as sdk:
        agent_id = await sdk.agent()
    plan = [Fault(answer_bytes=chance.randrange(700, 2_000)) for _ in range(8)]
    texts: list[str] = []
    seen: list[int] = []
    async with (
        between(running.http.address, plan) as proxy,
        connected(f"http://{proxy.address}", kind, timeout=_PATIENCE_S, max_retries=0) as sdk,
    ):
        asked: tuple[str, tuple[Any, ...], dict[str, Any]] = (
            "agents.messages.create",
            (agent_id,),
            {"input": _slowly(**_PLAY), "streaming": True, "background": True, "stream_tokens": tokens},
        )
        ends: list[str] = []
        run_id = ""
        while "usage_statistics" not in ends:
            events = await _taken(sdk, *asked)
            for event in events:
                ends.append(event.message_type)
                run_id = getattr(event, "run_id", None) or run_id
                if getattr(event, "seq_id", None) is not None and event.message_type != "ping":
                    seen.append(event.seq_id)
                if event.message_type == "assistant_message":
                    texts.append(event.content)
            asked = ("runs.messages.stream", (run_id,), {"starting_after": max(seen, default=0)})
    assert seen == sorted(set(seen))
    wanted = "".join(step["text"] for step in _PLAY["steps"])
    assert "".join(texts) == wanted


async def _taken(sdk: Any, call: str, args: tuple[Any, ...], fields: dict[str, Any]) -> list[Any]:
    """The events that came before the connection broke."""
    events: list[Any] = []

    try:
        stream = await sdk(call, *args, **fields)
        if sdk.blocking:
            await asyncio.to_thread(_collect, stream, events)
        else:
            async with stream:
                async for event in stream:
                    events.append(event)
    except (httpx.ReadError, httpx.RemoteProtocolError, APIConnectionError):
        pass
    return events


def _collect(stream: Any, events: list[Any]) -> None:
    with stream:
        for event in stream:
            events.append(event)


# ---- where streams begin and end ----


@pytest.mark.parametrize("tokens", [False, True])
async def test_behind_the_end_there_is_only_the_end(door: Door, tokens: bool) -> None:
    agent_id = await door.agent()
    body = {"input": script(text="Hi"), "stream_tokens": tokens, "background": True}
    whole = await door.events(f"/v1/agents/{agent_id}/messages/stream", body)
    path = f"/v1/runs/{whole[0].data['run_id']}/stream"
    for after in (whole[-1].id, 10**17):
        assert await door.events(path, {"starting_after": after}) == []
    for wrong in (-1, "x", 1.5, True, 10**20, [1]):
        refused = await door.http.post(path, json={"starting_after": wrong})
        assert (refused.status_code, "starting_after" in refused.json()["detail"]) == (422, True)


async def test_a_run_that_waits_its_turn_can_be_followed(door: Door) -> None:
    agent_id = await door.agent()
    first = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(text="x", hang=True)})
    second = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(text="my turn")})
    async with door.stream(f"/v1/runs/{second['id']}/stream", {}) as events:
        assert (await anext(events)).data["message_type"] == "ping"
        async with door.stream(f"/v1/runs/{second['id']}/stream", {"starting_after": 1}) as resumed:
            await door.post(f"/v1/runs/{first['id']}:cancel", {})
            rest = [event async for event in resumed]
        assert [event async for event in events] == rest
    assert [event.data["content"] for event in rest if isinstance(event.data, dict) and "content" in event.data] == [
        "my turn"
    ]


@pytest.mark.parametrize("path", ["/v1/runs/{}:watch", "/v1/runs/{}/stream"])
async def test_a_browsers_stream_goes_on_behind_the_last_event_that_it_has(door: Door, path: str) -> None:
    """A browser asks with GET, gets numbered events, and tells the last number when it connects again."""
    agent_id = await door.agent()
    run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(**_PLAY)})
    await door.ended(run["id"])
    path = path.format(run["id"])
    whole = [event.id for event in await _got(door, path) if event.id is not None]
    assert len(whole) > 5
    for last in whole[:-1]:
        rest = await _got(door, path, **{"last-event-id": str(last)})
        assert [event.id for event in rest if event.id is not None] == [number for number in whole if number > last]
    over = await door.http.get(path, headers={"last-event-id": str(whole[-1])})
    assert (over.status_code, over.content) == (204, b""), "a browser asks again until it is told so"


async def _got(door: Door, path: str, **headers: str) -> list[Event]:
    async with door.stream(path, method="GET", **headers) as events:
        return [event async for event in events]
