"""What servers in processes of their own tell: each its metrics, and lines that say whose they are."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import calling, script
from tests.fixtures.server import ServerProcess, free_port
from tests.service.scraping import Scraped


async def _scraped(port: int) -> Scraped:
    async with httpx.AsyncClient() as http:
        return Scraped((await http.get(f"http://127.0.0.1:{port}/metrics", timeout=20)).text)


def _lines(server: ServerProcess, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def test_a_run_that_outlives_its_server_is_told_as_taken_up_again_and_ends_once(
    server_process: ServerProcess,
) -> None:
    port = free_port()
    flags = ("--log-level", "debug", "--metrics-address", f"127.0.0.1:{port}")
    await server_process.start(*flags)
    async with calling(server_process.address) as caller:
        agent = await caller.agent()
        run = await caller.send(agent, script(words=20, delay_ms=100))
        await caller.started(run.id)
        await server_process.logged("run started")
        await server_process.kill()
        await server_process.start(*flags)
        ended = await caller.ended(run.id)
        await server_process.logged("run ended")
    assert ended.status == v1.RUN_STATUS_COMPLETED
    told = await _scraped(port)
    assert told("sendoff_runs_recovered_total") == 1
    assert told("sendoff_runs_started_total") == 0, "it was started by the one before"
    assert told("sendoff_runs_ended_total", status="completed", stop_reason="end_turn", tenant="other") == 1
    (accepted,), (again,), (end,) = (
        _lines(server_process, event) for event in ("run accepted", "run is taken up again", "run ended")
    )
    assert {each["run_id"] for each in (accepted, again, end)} == {run.id}
    assert {each["tenant"] for each in (accepted, again, end)} == {"default"}
    assert accepted["rpc"] == "RunService/CreateMessageAsync"
    assert accepted["replica"] != again["replica"] == end["replica"]
    assert (again["level"], again["attempt"]) == ("warning", 2)


async def test_each_of_several_processes_tells_its_own_and_of_the_queue_all_tell_the_same(
    server_process: ServerProcess, postgres: PostgresDatabase
) -> None:
    first = free_port()
    flags = ("--database-url", postgres.dsn, "--processes", "2", "--metrics-address", f"127.0.0.1:{first}")
    await server_process.start(*flags)
    for _ in range(4):  # connections are spread by the kernel
        async with calling(server_process.address) as caller:
            agent = await caller.agent()
            runs = [await caller.send(agent, script(text="fine")) for _ in range(3)]
            await asyncio.gather(*(caller.ended(run.id) for run in runs))
    one, other = await _scraped(first), await _scraped(first + 1)
    for name in ("sendoff_runs_accepted_total", "sendoff_runs_started_total"):
        assert one.total(name) + other.total(name) == 12
    ended = [each.total("sendoff_runs_ended_total", status="completed") for each in (one, other)]
    assert sum(ended) == 12
    assert [each.total("sendoff_queue_runs") for each in (one, other)] == [0, 0]
    assert one("sendoff_ready") == other("sendoff_ready") == 1
