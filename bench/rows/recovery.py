"""How long runs stand still when the replica that executes them is killed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import grpc

from bench.lab import SCRIPT, Lab, Replicas, accepted, agents
from bench.load.latencies import percentile
from bench.table import Row
from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff_server.app import LEASE_S

RUNS = 100
LONGER_THAN_A_LEASE_S = 60.0
THINKING = json.dumps({"script": {"words": 1, "first_delay_ms": 600_000}})
"""Text for a model that is at work when its replica is killed, and when all is told."""


async def measure(lab: Lab) -> list[Row]:
    """As many runs wait behind those that are under way as those are; they may not come to their turn."""
    seconds: list[float] = []
    count = lab.choose(RUNS, 10)
    async with lab.replicas(1, "--max-running", "100000") as survivor:
        for _ in range(min(lab.rounds, 3)):
            seconds += await _kill_one(lab, survivor, count)
    return [
        Row(
            what=f"PostgreSQL: {count} runs of a replica after kill -9 until another one goes on with them, p50",
            ours=f"{percentile(seconds, 0.5):.2f} s (p99 {percentile(seconds, 0.99):.2f}, maximum {max(seconds):.2f})",
            ceiling=f"{LEASE_S:.0f} s, the lease",
            ratio=percentile(seconds, 0.5) / LEASE_S,
        )
    ]


async def _kill_one(lab: Lab, survivor: Replicas, count: int) -> list[float]:
    """Seconds from the kill until each of its runs begins its second attempt, as a watcher at the other one sees it."""
    async with lab.replica(survivor.database, "--max-running", "100000") as victim:
        agent_ids = await agents(victim.address, count, SCRIPT, THINKING)
        run_ids = await accepted(victim.address, agent_ids, count)
        await accepted(victim.address, agent_ids, count)
        async with grpc.aio.insecure_channel(survivor.address) as channel:
            stub = RunServiceStub(channel)
            await asyncio.gather(*(_attempt(stub, run_id, 1) for run_id in run_ids))
            moving = [asyncio.ensure_future(_attempt(stub, run_id, 2)) for run_id in run_ids]
            victim.process.kill()
            killed = time.monotonic()
            return _since(killed, await asyncio.wait_for(asyncio.gather(*moving), LONGER_THAN_A_LEASE_S))


def _since(moment: float, times: Sequence[float]) -> list[float]:
    return [each - moment for each in times]


async def _attempt(stub: RunServiceStub, run_id: str, number: int) -> float:
    """The moment at which the run's log tells of that attempt."""
    async for told in stub.WatchRun(v1.WatchRunRequest(run_id=run_id)):
        if told.event.attempt >= number:
            return time.monotonic()
    raise RuntimeError(f"run {run_id} ended without attempt {number}")
