"""Servers behind the balancer come and go, and their callers notice nothing.

Callers here never repeat a call, except for streams, which say themselves when they are to be taken up again.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from sendoff import AsyncClient, v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, calling, script
from tests.fixtures import balancer
from tests.fixtures.balancer import Balancer
from tests.fixtures.server import ServerProcess

pytestmark = pytest.mark.skipif(not balancer.IS_INSTALLED, reason="no wheel has the balancer for this machine")

ASKS_EVERY_S = 0.2
NOTICE_S = 4.0
GRACE_S = 1.0
LONG_S = 6.0
"""More than a server that stops gives a run, so that another one goes on with it."""


_SHORT = script(text="an answer", first_delay_ms=200)


class Replica(ServerProcess):
    """A server of several on one database. A stop gives notice."""

    def __init__(self, folder: Path, dsn: str) -> None:
        super().__init__(folder)
        self.http_address = "127.0.0.1:0"
        self._dsn = dsn

    async def begin(self) -> None:
        await self.start(
            *("--database-url", self._dsn, "--drain-notice-s", str(NOTICE_S), "--drain-grace-s", str(GRACE_S))
        )


@pytest.fixture
async def replicas(postgres: PostgresDatabase, tmp_path: Path) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        made = [Replica(tmp_path / str(number), postgres.dsn) for number in range(2)]
        for replica in made:
            stack.push_async_callback(replica.close)
            await replica.begin()
        yield made


@pytest.fixture
async def between(replicas: list[Replica], tmp_path: Path) -> AsyncIterator[Balancer]:
    places = [(each.address, each.http_address) for each in replicas]
    async with balancer.balancing(places, tmp_path, asks_every_s=ASKS_EVERY_S) as running:
        yield running


class Load:
    """Callers at both doors, and what they were told."""

    def __init__(self, between: Balancer) -> None:
        self._between = between
        self.over = asyncio.Event()
        self.accepted: dict[str, list[str]] = defaultdict(list)
        """The runs of each agent, in the order in which they were accepted."""

    async def by_grpc(self) -> None:
        """Sends, reads, follows what it has sent."""
        async with calling(self._between.grpc_address) as caller, AsyncClient(self._between.grpc_address) as client:
            agent = await caller.agent()
            while not self.over.is_set():
                run = await caller.send(agent, _SHORT)
                self.accepted[agent].append(run.id)
                await caller.get(run.id)
                await _follow(client, run.id)

    async def by_rest(self) -> None:
        """Sends and reads, asynchronously and not."""
        async with _http(self._between) as http:
            told = {"model": "scripted/script", "include_base_tools": False}
            agent = _good(await http.post("/v1/agents/", json=told))["id"]
            for number in count():
                if self.over.is_set():
                    return
                path = f"/v1/agents/{agent}/messages" + ("/async" if number % 2 else "")
                told = _good(await http.post(path, json={"input": _SHORT}))
                run_id = told["id"] if number % 2 else told["messages"][-1]["run_id"]
                self.accepted[agent].append(run_id)
                _good(await http.get(f"/v1/runs/{run_id}"))
                await _read(http, run_id)

    async def long_runs(self) -> None:
        """Follows runs that last longer than the grace of a server."""
        async with calling(self._between.grpc_address) as caller, AsyncClient(self._between.grpc_address) as client:
            agent = await caller.agent()
            while not self.over.is_set():
                run = await caller.send(agent, script(text="late", first_delay_ms=LONG_S * 1_000))
                self.accepted[agent].append(run.id)
                async with asyncio.TaskGroup() as group, _http(self._between) as http:
                    following = [group.create_task(_follow(client, run.id)) for _ in range(2)]
                    await _read(http, run.id)
                    await asyncio.gather(*following)


async def _follow(client: AsyncClient, run_id: str) -> None:
    """A watch, which the client takes up again by itself, misses nothing and sees nothing twice."""
    numbers = [entry.sequence async for entry in client.watch(run_id) if isinstance(entry, v1.RunEvent)]
    assert numbers == list(range(1, len(numbers) + 1))


async def _read(http: httpx.AsyncClient, run_id: str) -> None:
    """A stream over REST to its end; whenever it says so it is taken up again behind its last event."""
    numbers, again = [0], True
    while again:
        body = {"starting_after": numbers[-1]}
        async with http.stream("POST", f"/v1/runs/{run_id}/stream", json=body) as response:
            assert response.status_code == 200
            again, ended = False, False
            async for line in response.aiter_lines():
                again = again or (
                    line.startswith("data: {") and json.loads(line[5:]).get("message_type") == "error_message"
                )
                if line.startswith("id:") and not again:
                    numbers.append(int(line[3:]))
                ended = ended or line == "data: [DONE]"
            assert ended, "the stream was cut"
    assert numbers == list(range(len(numbers)))


def _is_cut(line: str) -> bool:
    """Whether the server says that the stream has not told everything."""
    return line.startswith("data: {") and json.loads(line[5:]).get("message_type") == "error_message"


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
    load = Load(between)
    async with asyncio.timeout(2 * PATIENCE_S), asyncio.TaskGroup() as group:
        for caller in (load.by_grpc, load.by_grpc, load.by_rest, load.by_rest, load.long_runs):
            group.create_task(caller())
        for replica in replicas:
            assert await replica.stop() == 0
            await replica.begin()
            await between.settled(2)
        load.over.set()

    async with calling(between.grpc_address) as caller:
        for agent, sent in load.accepted.items():
            runs = await caller.list_all(agent_id=agent)
            assert [run.id for run in sorted(runs, key=_begun)] == sent
            assert {run.status for run in runs} == {v1.RUN_STATUS_COMPLETED}


def _begun(run: v1.Run) -> int:
    return run.start_time.ToNanoseconds()
