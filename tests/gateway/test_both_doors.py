"""What Sendoff promises, it promises over both doors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import pytest

from sendoff_server import app
from tests.faults.caller import patiently, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, ServerProcess
from tests.gateway.doors import DOORS, Door, Open, Place, Refused, over_grpc, over_rest
from tests.gateway.sdk import url

HELD = "held in the middle"


@pytest.fixture(params=list(DOORS.values()), ids=list(DOORS))
def opened(request: pytest.FixtureRequest) -> Open:
    door: Open = request.param
    return door


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls whose input says so behind their second chunk."""
    return hold_calls(monkeypatch, at(2, HELD))


@pytest.fixture
async def server(gate: HeldCalls, serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def door(server: app.Server, opened: Open) -> AsyncIterator[Door]:
    assert server.http is not None
    async with opened(server.grpc.address, server.http.address) as connected:
        yield connected


async def _followed(door: Door, run_id: str, after: int = 0) -> list[Place]:
    return [place async for place in door.follow(run_id, after)]


# ---- accepted is durable ----


async def test_what_was_acknowledged_ends_though_the_server_is_killed_at_once(
    server_process: ServerProcess, opened: Open
) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        agents = [await door.agent("scripted/echo") for _ in range(3)]
        accepted = await asyncio.gather(*(door.send(agents[n % 3], f"message {n}") for n in range(18)))
        await server_process.kill()
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        for n, each in enumerate(accepted):
            assert (await patiently(door.ended(each.run_id)))["status"] == "completed"
            assert await door.texts(each.run_id) == [f"message {n}", f"You said: message {n}"]


# ---- accepted once ----


@pytest.mark.parametrize("by", ["key", "otid"])
async def test_the_same_key_is_the_same_run_however_often_it_is_sent(door: Door, by: str) -> None:
    agent = await door.agent("scripted/echo")
    sends = [door.send(agent, f"{n}", **{by: f"k-{n}"}) for n in range(10) for _ in range(3)]
    accepted = await asyncio.gather(*sends)

    for at_ in range(0, 30, 3):
        same = accepted[at_ : at_ + 3]
        assert len({each.run_id for each in same}) == 1
        assert [each.replayed for each in same].count(False) == 1
    assert len({each.run_id for each in accepted}) == 10


@pytest.mark.parametrize("by", ["key", "otid"])
async def test_the_same_key_with_another_body_is_refused_and_names_the_run(door: Door, by: str) -> None:
    agent = await door.agent("scripted/echo")
    accepted = await door.send(agent, "hello", **{by: "mine"})

    with pytest.raises(Refused) as refused:
        await door.send(agent, "something else", **{by: "mine"})
    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"
    assert accepted.run_id in refused.value.text


@pytest.mark.parametrize("by", ["key", "otid"])
async def test_a_key_is_the_same_through_whichever_door(server: app.Server, by: str) -> None:
    assert server.http is not None
    addresses = server.grpc.address, server.http.address
    async with over_grpc(*addresses) as one, over_rest(*addresses) as other:
        agent = await one.agent("scripted/echo")
        first = await one.send(agent, "hello", **{by: "mine"})
        again = await other.send(agent, "hello", **{by: "mine"})

    assert (again.run_id, first.replayed, again.replayed) == (first.run_id, False, True)


async def test_without_a_key_every_request_is_its_own(door: Door) -> None:
    agent = await door.agent("scripted/echo")
    accepted = await asyncio.gather(*(door.send(agent, "hello") for _ in range(5)))

    assert len({each.run_id for each in accepted}) == 5
    assert not any(each.replayed for each in accepted)


# ---- in order ----


async def test_what_is_sent_after_an_acknowledgement_runs_later(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    accepted = [(await door.send(agent, script(text="answer"))).run_id for _ in range(5)]
    for run_id in accepted:
        await door.ended(run_id)

    assert [(await patiently(gate.begun.get())).run_id for _ in accepted] == accepted


async def test_conversations_run_in_parallel(gate: HeldCalls, door: Door) -> None:
    sent = {(await door.send(await door.agent(), script(text=HELD))).run_id for _ in range(2)}
    under_way = {(await patiently(gate.held.get()))[0].run_id for _ in range(2)}

    assert under_way == sent
    gate.release(2)
    for run_id in sent:
        assert (await door.ended(run_id))["status"] == "completed"


# ---- terminal is final, and a cancel reaches everything ----


async def test_a_cancelled_run_stays_cancelled(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    run_id = (await door.send(agent, script(text=HELD))).run_id
    await patiently(gate.held.get())
    await door.cancel(agent, run_id)
    ended = await patiently(door.ended(run_id))
    assert (ended["status"], ended["stop_reason"]) == ("cancelled", "cancelled")

    gate.release()
    after = (await door.send(agent, script(text="next"))).run_id
    assert (await door.ended(after))["status"] == "completed"
    assert await door.run(run_id) == ended


async def test_a_cancel_of_a_finished_run_changes_nothing(door: Door) -> None:
    agent = await door.agent("scripted/echo")
    run_id = (await door.send(agent, "hello")).run_id
    ended, told = await door.ended(run_id), await _followed(door, run_id)
    await door.cancel(agent, run_id)

    assert await door.run(run_id) == ended
    assert await _followed(door, run_id) == told


async def test_a_queued_run_is_cancelled_and_the_others_go_on(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    head = (await door.send(agent, script(text=HELD))).run_id
    await patiently(gate.held.get())
    queued, later = [(await door.send(agent, script(text="answer"))).run_id for _ in range(2)]
    await door.cancel(agent, queued)
    assert (await door.run(queued))["status"] == "cancelled"

    gate.release()
    assert [(await door.ended(run_id))["status"] for run_id in (head, later)] == ["completed"] * 2


# ---- one log ----


def _every_cut(places: Sequence[Place]) -> Iterator[tuple[list[Place], int]]:
    for cut in range(len(places)):
        yield list(places[: cut + 1]), places[cut].number


async def test_a_stream_taken_up_after_any_event_misses_nothing_and_tells_nothing_twice(door: Door) -> None:
    agent = await door.agent()
    steps = [{"reasoning": "let me think", "tool_calls": [{"name": "nothing"}]}, {"text": "there is no such tool"}]
    run_id = (await door.send(agent, script(steps=steps))).run_id
    live = await patiently(_followed(door, run_id))
    whole = await _followed(door, run_id)

    assert live == whole
    assert [place.number for place in whole] == sorted({place.number for place in whole})
    assert len(whole) >= 5
    for had, number in _every_cut(whole):
        assert had + await _followed(door, run_id, number) == whole


async def test_a_watcher_that_goes_away_leaves_the_run_alone(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    run_id = (await door.send(agent, script(steps=[{"tool_calls": [{"name": "nothing"}]}, {"text": HELD}]))).run_id
    stream = door.follow(run_id)
    await patiently(anext(stream))
    await stream.aclose()  # type: ignore[attr-defined]  # they are generators
    gate.release(2)

    assert (await patiently(door.ended(run_id)))["status"] == "completed"


# ---- what only one of them has ----


async def test_what_will_not_go_away_is_not_asked_again(server: app.Server) -> None:
    async with httpx.AsyncClient(base_url=url(server)) as http:
        agent = (await http.post("/v1/agents/", json={"model": "scripted/echo"})).json()["id"]
        refused = await http.post(f"/v1/agents/{agent}/messages/cancel", json={})

    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"


async def test_a_server_that_stops_ends_streams_with_the_place_to_go_on_from(gate: HeldCalls, serve: Serve) -> None:
    async with httpx.AsyncClient() as http:
        async with serve(http_address="127.0.0.1:0", drain_grace_s=0.1) as server:
            base = url(server)
            agent = (await http.post(f"{base}/v1/agents/", json={"model": "scripted/script"})).json()["id"]
            sent = await http.post(f"{base}/v1/agents/{agent}/messages/async", json={"input": script(text=HELD)})
            await patiently(gate.held.get())
            stream = await http.send(
                http.build_request("POST", f"{base}/v1/runs/{sent.json()['id']}/stream"), stream=True
            )
            lines = stream.aiter_lines()
            first = [await patiently(anext(lines)) for _ in range(2)]
        rest = [line async for line in lines]
        await stream.aclose()
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{base}/v1/health/")

    assert first[0] == "id: 1"
    assert "event: error" in rest
    told = json.loads(rest[rest.index("event: error") + 1].removeprefix("data:"))
    assert told["error_type"] == "stream_incomplete"
    assert "data: [DONE]" in rest
