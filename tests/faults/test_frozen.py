"""Replicas that stand still for longer than their lease: others go on, and who wakes is refused at the next write."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from sendoff_server import app
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, script
from tests.faults.frozen_replicas import freezes_itself
from tests.faults.run_log import check_log
from tests.fixtures.server import Serve

REPLICAS = int(os.environ.get("SENDOFF_TEST_FROZEN", "20"))


class Herd:
    """Forked replicas, and what they have told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._more = asyncio.Condition()
        self.told: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """By replica; what their parent tells is under -1."""

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            fact = json.loads(line)
            async with self._more:
                self.told[fact["replica"]].append(fact)
                self._more.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._more:
            await self._more.wait_for(true)

    def fact(self, replica: int, name: str) -> Any:
        """What it told under that name first; None if nothing yet."""
        return next((fact[name] for fact in self.told[replica] if name in fact), None)

    def pids(self) -> list[int]:
        return [self.told[number][0]["pid"] for number in range(REPLICAS)]

    def outcomes(self, replica: int, since: float) -> list[str]:
        """Of the writes that it began since then."""
        return [fact["outcome"] for fact in self.told[replica] if fact.get("begun", 0.0) >= since]

    def codes(self) -> dict[int, int]:
        return {fact["gone"]: fact["code"] for fact in self.told[-1]}


@asynccontextmanager
async def herd(dsn: str) -> AsyncIterator[Herd]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.frozen_replicas", dsn, str(REPLICAS)),
        env={name: value for name, value in os.environ.items() if not name.startswith("SENDOFF_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    made = Herd(process)
    reading = asyncio.create_task(made.read())
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await patiently(reading)


async def _accepted(herd: Herd, number: int) -> v1.Run:
    """A run that this replica takes in, and begins."""
    async with calling(herd.fact(number, "address")) as caller:
        agent = await caller.agent()
        return await caller.send(agent, script(text="one answer", chunk_words=1))


async def _logs(caller: Caller, runs: list[v1.Run]) -> list[list[v1.RunEvent]]:
    return [await caller.log(run.id) for run in runs]


def _stands_still(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def _stand_still(pids: list[int]) -> None:
    """Return once none of them does anything."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if all(map(_stands_still, pids)):
                return
            await asyncio.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks in /proc whether processes stand still")
async def test_of_many_frozen_replicas_each_is_refused_at_its_next_write_once_others_have_gone_on(
    serve: Serve, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = range(REPLICAS)
    async with herd(postgres.dsn) as frozen:
        await frozen.until(lambda: all(frozen.fact(number, "address") for number in numbers))
        runs = await asyncio.gather(*(_accepted(frozen, number) for number in numbers))
        await frozen.until(
            lambda: all(frozen.fact(n, "stopping" if freezes_itself(n) else "held") is not None for n in numbers)
        )
        for pid in frozen.pids():
            os.kill(pid, signal.SIGSTOP)
        await _stand_still(frozen.pids())

        monkeypatch.setattr(app, "BEAT_S", 0.1)
        monkeypatch.setattr(app, "LEASE_S", 0.5)
        async with serve(database_url=postgres.dsn) as living, calling(living.grpc.address) as caller:
            ended = [await caller.ended(run.id) for run in runs]
            assert [(run.status, run.attempt) for run in ended] == [(v1.RUN_STATUS_COMPLETED, 2)] * REPLICAS
            logs = await _logs(caller, runs)
            rows = postgres.count_rows()

            woken_at = time.time()
            for pid in frozen.pids():
                os.kill(pid, signal.SIGCONT)
            await frozen.until(lambda: len(frozen.codes()) == REPLICAS)

            for number in numbers:
                # Once one was refused the replica ends, and what else it had begun is cancelled.
                outcomes = frozen.outcomes(number, woken_at)
                assert {*outcomes} - {"CancelledError"} == {"Fenced"}, outcomes
            assert set(frozen.codes().values()) == {1}
            assert (await _logs(caller, runs), postgres.count_rows()) == (logs, rows)
            for run, log in zip(ended, logs, strict=True):
                check_log(await caller.get(run.id), log)
