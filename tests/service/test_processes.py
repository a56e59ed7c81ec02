"""`sendoff-server serve --processes`: several processes behind the same ports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import grpc.aio
import httpx
import pytest

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, Caller, calling, script
from tests.faults.run_log import check_log
from tests.fixtures.server import ServerProcess

DIED = "a process has ended and is started again"
SERVES = "a process serves"


def _told(server: ServerProcess, event: str) -> list[Mapping[str, Any]]:
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def _logged(server: ServerProcess, event: str, times: int) -> list[Mapping[str, Any]]:
    async with asyncio.timeout(PATIENCE_S):
        while len(told := _told(server, event)) < times:  # noqa: ASYNC110 - the log is of another process
            await asyncio.sleep(0.02)
    return told


@asynccontextmanager
async def _callers(address: str, count: int) -> AsyncIterator[list[Caller]]:
    """Each with a connection of its own."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(calling(address)) for _ in range(count)]


async def test_calls_reach_all_processes_and_one_that_is_killed_loses_nothing_and_comes_back(
    server_process: ServerProcess, postgres: PostgresDatabase
) -> None:
    server = server_process
    server.http_address = "127.0.0.1:0"
    await server.start("--database-url", postgres.dsn, "--processes", "2")
    serving = {each["process"]: each["pid"] for each in _told(server, SERVES)}
    assert sorted(serving) == [1, 2]
    async with _callers(server.address, 12) as callers:
        agents = [await each.agent() for each in callers]
        sent = [
            await each.send(agent, script(words=12, delay_ms=100)) for each, agent in zip(callers, agents, strict=True)
        ]
        first, second = (no for (no,) in postgres.fetch("SELECT no FROM replica ORDER BY no"))
        taken = {owner for (owner,) in postgres.fetch("SELECT DISTINCT owner FROM lane WHERE owner IS NOT NULL")}
        assert taken == {first, second}, "each took some"

        os.kill(serving[1], signal.SIGKILL)
        (died,) = await _logged(server, DIED, 1)
        assert (died["process"], died["exit_code"]) == (1, -signal.SIGKILL)
        # As if the time of its lease had passed.
        postgres.execute(f"UPDATE replica SET beat_at = beat_at - interval '60 s' WHERE no = {first}")
        async with httpx.AsyncClient(base_url=f"http://{server.http_address}") as http:
            assert (await http.get("/v1/health/")).status_code == 200
        for caller, run in zip(callers, sent, strict=True):
            ended = await _ended(caller, run.id)
            assert ended.status == v1.RUN_STATUS_COMPLETED
            check_log(ended, await caller.log(run.id))
        assert {(await callers[0].get(run.id)).attempt for run in sent} == {1, 2}

        again = (await _logged(server, SERVES, 3))[-1]
        assert again["process"] == 1
        assert again["pid"] not in serving.values()
        late = [
            await each.send(agent, script(words=4, delay_ms=50)) for each, agent in zip(callers, agents, strict=True)
        ]
        assert await server.stop() == 0
    assert {line["process"] for line in _told(server, "stopping") if "process" in line} == {1, 2}
    bodies = postgres.fetch("SELECT body FROM run")
    assert len(bodies) == len(sent) + len(late)
    assert {v1.Run.FromString(body).status for (body,) in bodies} == {v1.RUN_STATUS_COMPLETED}
    assert postgres.fetch("SELECT FROM replica") == []


async def _ended(caller: Caller, run_id: str) -> v1.Run:
    """The run once it has ended. The process that was asked may be the one that was killed."""
    with suppress(grpc.aio.AioRpcError):
        return await caller.ended(run_id)
    return await caller.ended(run_id)


async def test_on_sqlite_several_processes_are_refused_with_the_reason(server_process: ServerProcess) -> None:
    with pytest.raises(
        AssertionError, match=r"--processes: a database on SQLite has one process; several share one on"
    ):
        await server_process.start("--processes", "2")


async def test_if_none_can_start_the_whole_fails_with_what_it_said(server_process: ServerProcess) -> None:
    with pytest.raises(AssertionError) as told:
        await server_process.start("--database-url", "postgresql://ann:hunter2@127.0.0.1:1/x", "--processes", "2")
    lines = str(told.value).splitlines()
    assert [line.partition(": ")[2] for line in lines if line.startswith("sendoff-server: PostgreSQL: ")]
    assert lines[-1] == "sendoff-server: process 1 ended with exit code 1 before it served; it has said why above"
    assert "hunter2" not in str(told.value)
    assert await server_process.ended() == 1
