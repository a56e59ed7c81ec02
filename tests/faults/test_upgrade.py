"""Servers are replaced one by one by a version with another schema, and callers who repeat what was not taken notice
nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sendoff import AsyncClient, v1
from tests.faults.caller import PATIENCE_S, calling, patiently, script
from tests.faults.kill_test import Job
from tests.faults.next_version import make_next_version
from tests.faults.verdict import check_all
from tests.fixtures.server import ServerProcess
from tests.postgres import Session, new_database

SERVERS = int(os.environ.get("SENDOFF_TEST_SERVERS", "2"))
DELAYS_MS = (60, 100, 150, 300)
"""Of each sender: how long a word takes. A run of the last one takes longer than a server waits that stops."""
BURST = 2
"""So many runs a sender has under way at once."""
PHASE = 8
"""So many further runs end between two steps of the upgrade."""


class Load:
    """Callers with the client of this project, each with an agent of its own, until they are told to stop."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.jobs: list[Job] = []
        self.watched: dict[str, list[v1.RunEvent]] = {}
        self._ended = 0
        self._more = asyncio.Condition()
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """On leaving it, all that was sent has ended. A call that fails in spite of its repeats fails the block."""
        async with asyncio.TaskGroup() as group:
            for delay_ms in DELAYS_MS:
                group.create_task(self._send_forever(delay_ms))
            yield
            self._stop.set()

    async def goes_on(self) -> None:
        """Return once as many more runs have ended as make a phase."""
        async with self._more:
            wanted = self._ended + PHASE
            await patiently(self._more.wait_for(lambda: self._ended >= wanted))

    async def _send_forever(self, delay_ms: int) -> None:
        agent = await self.client.create_agent(model="scripted/script")
        while not self._stop.is_set():
            jobs = [await self._send(agent.id, delay_ms) for _ in range(BURST)]
            await self._watch(jobs[0])
            for job in jobs:
                await self.client.wait_run(job.run_id, timeout_s=PATIENCE_S)
            async with self._more:
                self._ended += len(jobs)
                self._more.notify_all()

    async def _send(self, agent_id: str, delay_ms: int) -> Job:
        number = len(self.jobs)
        answer = f"answer {number}" + " word" * 6
        job = Job(f"key {number}", agent_id, None, script(text=answer, delay_ms=delay_ms), answer)
        self.jobs.append(job)
        job.begun_s = time.monotonic()
        job.run_id = (await self.client.send(agent_id, job.text, request_id=job.key)).id
        job.acknowledged_s = time.monotonic()
        return job

    async def _watch(self, job: Job) -> None:
        events = [entry async for entry in self.client.watch(job.run_id) if isinstance(entry, v1.RunEvent)]
        self.watched[job.run_id] = events


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Sequence[ServerProcess]]:
    made = [ServerProcess(tmp_path / f"data{number}") for number in range(SERVERS)]
    yield made
    for each in made:
        await each.close()


async def test_servers_are_replaced_by_a_version_with_another_schema_while_callers_send(
    servers: Sequence[ServerProcess], tmp_path: Path
) -> None:
    next_version = make_next_version(tmp_path / "next")
    with new_database() as dsn:

        async def replace(server: ServerProcess, source: Path | None) -> None:
            assert await server.stop() == 0
            server.source = source
            await server.start("--database-url", dsn)

        await asyncio.gather(*(server.start("--database-url", dsn) for server in servers))
        addresses = ",".join(server.address for server in servers)
        async with AsyncClient(f"ipv4:{addresses}") as client, (load := Load(client)).running():
            await load.goes_on()
            await replace(servers[0], next_version)
            await load.goes_on()
            await replace(servers[-1], None)  # as after a crash, or to step back
            await load.goes_on()
            for server in servers[1:]:
                await replace(server, next_version)
                await load.goes_on()

        async with calling(servers[0].address) as caller:
            print(len(load.jobs), await check_all(caller, load.jobs, {}))
            assert load.watched == {run_id: await caller.log(run_id) for run_id in load.watched}
        await servers[-1].logged("the schema is of a newer version and lets this one go on")
        session = Session(dsn)
        try:
            _check_that_both_versions_wrote(session)
        finally:
            session.close()
        for server in servers:
            assert await server.stop() == 0
            assert not [line for line in server.log if '"level": "error"' in line]


def _check_that_both_versions_wrote(session: Session) -> None:
    """The one before on the new schema too, and the next one what only it knows."""
    migrated = "extract(epoch FROM (SELECT max(applied_at) FROM schema_version)) * 1e9"
    ((before, beside, behind),) = session.fetch(
        f"SELECT count(*) FILTER (WHERE taken_at IS NULL AND create_time_ns < {migrated}), "
        f"count(*) FILTER (WHERE taken_at IS NULL AND create_time_ns > {migrated}), count(taken_at) FROM run"
    )
    assert min(before, beside, behind) > 0, (before, beside, behind)
    assert session.fetch("SELECT indisvalid FROM pg_index WHERE indexrelid = 'run_by_taking'::regclass") == [(True,)]
