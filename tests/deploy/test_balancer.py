"""Servers behind the balancer come and go, and their callers notice nothing.

Callers here never repeat a call, except for streams, which say themselves when they are to be taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame
from letta_client import AsyncLetta

from sendoff import AsyncClient, v1
from sendoff_server import app
from sendoff_server.store.group_commit import GroupCommit
from tests.contract.databases import PostgresDatabase
from tests.deploy.load import Load
from tests.deploy.replicas import ROUNDS, Replica
from tests.faults import frames
from tests.faults.caller import PATIENCE_S, calling, refused, script
from tests.fixtures import balancer
from tests.fixtures.balancer import Balancer
from tests.fixtures.server import Serve

pytestmark = pytest.mark.skipif(not balancer.IS_INSTALLED, reason="no wheel has the balancer for this machine")

ASKS_EVERY_S = 0.2
NOTICE_S = 4.0


@pytest.fixture
async def replicas(postgres: PostgresDatabase, tmp_path: Path) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        made = [Replica(tmp_path / str(number), postgres.dsn, notice_s=NOTICE_S) for number in range(2)]
        for replica in made:
            stack.push_async_callback(replica.close)
            await replica.begin()
        yield made


@pytest.fixture
async def between(replicas: list[Replica], tmp_path: Path) -> AsyncIterator[Balancer]:
    places = [(each.address, each.http_address) for each in replicas]
    async with balancer.balancing(places, tmp_path, asks_every_s=ASKS_EVERY_S) as running:
        yield running


def _good(response: httpx.Response) -> Any:
    assert response.status_code == 200, (response.status_code, response.text, response.request.url.path)
    return response.json()


@asynccontextmanager
async def _http(between: Balancer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{between.http_address}", timeout=PATIENCE_S) as http:
        yield http


async def test_a_rolling_restart_turns_nobody_away_and_loses_nothing(
    replicas: list[Replica], between: Balancer
) -> None:
    load = Load(between.grpc_address, [between.http_address])
    async with asyncio.timeout((ROUNDS + 2) * PATIENCE_S), asyncio.TaskGroup() as group:
        for behave in load.behaviours:
            group.create_task(behave())
        for replica in replicas * ROUNDS:
            assert await replica.stop() == 0
            await replica.begin()
            await between.settled(2)
        load.over.set()
    async with calling(between.grpc_address) as caller:
        await load.check(caller)
    print(f"{ROUNDS} rounds, no call failed: {dict(load.calls)}")


async def test_a_kill_fails_no_call_that_its_client_repeats_and_later_calls_go_to_who_lives(
    replicas: list[Replica], between: Balancer
) -> None:
    accepted: dict[str, list[str]] = {}
    begun, over = asyncio.Event(), asyncio.Event()

    async def by_grpc() -> None:
        async with AsyncClient(between.grpc_address) as client:
            agent = (await client.create_agent(name="subject", model="scripted/script")).id
            mine = accepted.setdefault(agent, [])
            for number in count():
                if over.is_set():
                    return
                mine.append((await client.send(agent, script(text=f"answer {number}"))).id)
                await client.get_run(mine[-1])
                begun.set()

    async def by_rest() -> None:
        async with AsyncLetta(api_key="any", base_url=f"http://{between.http_address}") as sdk:
            agent = (await sdk.agents.create(model="scripted/script", include_base_tools=False)).id
            mine = accepted.setdefault(agent, [])
            for number in count():
                if over.is_set():
                    return
                sent = await sdk.agents.messages.create_async(agent, input=script(text=f"answer {number}"))
                mine.append(sent.id)
                await sdk.runs.retrieve(mine[-1])

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for behave in (by_grpc, by_rest, by_grpc, by_rest):
            group.create_task(behave())
        await begun.wait()
        await replicas[0].kill()
        await between.settled(1)
        over.set()
    async with calling(between.grpc_address) as caller:
        for agent, sent in accepted.items():
            assert sorted(run.id for run in await caller.list_all(agent_id=agent)) == sorted(sent)
        run = await caller.send(await caller.agent(), script(text="an answer"))
        assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


async def test_requests_of_one_connection_go_to_all_servers(serve: Serve, tmp_path: Path) -> None:
    async with (
        _two(serve, tmp_path) as (servers, between),
        calling(between.grpc_address) as caller,
        _http(between) as http,
    ):
        for _ in range(4):
            await caller.agent()
            _good(await http.post("/v1/agents/", json={"model": "scripted/script"}))
        for server in servers:
            assert server.http is not None
            assert await _agents_of(server.http.address) == 4


async def test_where_no_server_seems_well_they_are_asked_all_the_same(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BEAT_S", 0.01)
    async with _two(serve, tmp_path) as (_, between), calling(between.grpc_address) as caller, _http(between) as http:
        monkeypatch.setattr(GroupCommit, "failing", True)
        await between.settled(0)
        assert (await caller.models.ListModels(v1.ListModelsRequest(), timeout=PATIENCE_S)).models
        _good(await http.get("/v1/models/"))


async def test_where_there_is_no_server_callers_are_told_to_come_again(tmp_path: Path) -> None:
    nowhere = "127.0.0.1:1"
    async with balancer.balancing([(nowhere, nowhere)], tmp_path) as between, _http(between) as http:
        told = await http.post("/v1/agents/", json={})
        assert (told.status_code, told.headers["retry-after"], told.json()["reason"]) == (503, "1", "BALANCER")
        async with calling(between.grpc_address) as caller:
            assert (await refused(caller.get("run"))).code == grpc.StatusCode.UNAVAILABLE


async def test_headers_that_unfold_to_megabytes_do_not_get_to_a_server(serve: Serve, tmp_path: Path) -> None:
    async with _two(serve, tmp_path) as (servers, between), frames.connected(between.grpc_address) as caller:
        bomb = caller.headers(1, extra=[("x-large", 4_000 * "x")])
        bomb.data += 4_000 * b"\xbe"  # the header before, again
        await caller.say(bomb, frames.message(1))
        async with asyncio.timeout(PATIENCE_S):
            assert await _status(caller) in ("431", "reset")
        async with calling(between.grpc_address) as other:
            await other.agent()
        assert not any(method == "OpsService/GetServerInfo" for each in servers for method, _ in each.grpc.calls.ended)


async def _status(caller: frames.Frames) -> str:
    """The HTTP status of the first answer; "reset" if there is none."""
    async for frame in caller.heard():
        if isinstance(frame, HeadersFrame):
            return str(frames.status(frame, ":status"))
        if isinstance(frame, RstStreamFrame | GoAwayFrame):
            break
    return "reset"


@asynccontextmanager
async def _two(serve: Serve, folder: Path) -> AsyncIterator[tuple[list[app.Server], Balancer]]:
    """Servers in this process, each with a database of its own, behind a balancer that hands requests on by turns."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(serve(http_address="127.0.0.1:0", data_dir=folder / str(number)))
            for number in range(2)
        ]
        places = [(each.grpc.address, each.http.address) for each in servers if each.http is not None]
        running = balancer.balancing(places, folder, by_turns=True, asks_every_s=ASKS_EVERY_S)
        yield servers, await stack.enter_async_context(running)


async def _agents_of(address: str) -> int:
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        return len(_good(await http.get("/v1/agents/")))
