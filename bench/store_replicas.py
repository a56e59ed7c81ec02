"""How fast replicas on the PostgreSQL engine accept and complete, without network, models or scheduler.

    python -m bench.store_replicas [--runs 6000] [--directory DIR]

Each replica is a process with its own store and callers; all are on one database of their own, and on the same 200
conversations, which is the worst case for the locks of their lanes. A caller accepts its next run when the last one is
accepted; runs that are under way do not hold it up. A run is an accept, a start with a message, and a finish with one:
three transactions of its replica, shared with whatever else waits.

accepts/s: until all are accepted, while runs execute beside them; `only`: no run executes. runs/s: until all have
ended. CPU µs: of a run, in the replicas and in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

from bench.database import Database, database
from bench.load.latencies import percentile
from bench.seed import new_agents
from bench.store_accept import CONVERSATIONS, Groups, accept, progress
from sendoff import v1
from sendoff_server.store.items import Claim, Placed, Recorded
from sendoff_server.store.postgres.engine import PostgresStore

REPLICAS = (1, 2)
CALLERS = (1, 16, 64)
READY_S = 60.0


@dataclass(frozen=True)
class Work:
    """Of one replica."""

    dsn: str
    lanes: Sequence[str]
    callers: int
    runs: int
    executes: bool


@dataclass(frozen=True)
class Done:
    """By one replica; moments are of the machine's monotonic clock."""

    begun: float
    accepted: float
    ended: float
    took_ms: Sequence[float]
    """Of each accept."""
    batches: int
    items: int
    cpu_s: float


class Executing:
    """Executes what this replica gets the leases for."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, claim: Claim | None) -> None:
        if claim is not None:
            task = asyncio.ensure_future(self._execute(claim))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _execute(self, claim: Claim) -> None:
        started = progress(claim, v1.RUN_STATUS_RUNNING)
        assert await self._groups.write(started) == Recorded(None)
        running = Claim(tenant=claim.tenant, lane=claim.lane, seq=claim.seq, run=started.run, request=claim.request)
        recorded = await self._groups.write(progress(running, v1.RUN_STATUS_COMPLETED))
        assert isinstance(recorded, Recorded), recorded
        self.start(recorded.next)


async def _do(work: Work, barrier: Barrier) -> Done:
    async with PostgresStore(work.dsn) as store:
        groups = Groups(store)
        executing = Executing(groups)
        took_ms: list[float] = []

        async def caller(number: int) -> None:
            for turn in range(number, work.runs, work.callers):
                begun = time.monotonic()
                placed = await groups.write(accept(work.lanes[turn % len(work.lanes)], lease=work.executes))
                took_ms.append((time.monotonic() - begun) * 1000)
                assert isinstance(placed, Placed), placed
                executing.start(placed.claim)

        await asyncio.to_thread(barrier.wait, READY_S)
        begun, cpu_s = time.monotonic(), time.process_time()
        await asyncio.gather(*map(caller, range(work.callers)))
        accepted = time.monotonic()
        await asyncio.to_thread(barrier.wait, READY_S)  # from now on no lane changes hands
        while executing.tasks:
            await asyncio.wait(executing.tasks)
        cpu_s = time.process_time() - cpu_s
        return Done(begun, accepted, time.monotonic(), took_ms, groups.batches, groups.items, cpu_s)


def _replica(work: Work, barrier: Barrier, told: multiprocessing.Queue[Done]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told.put(runner.run(_do(work, barrier)))


def _together(replicas: int, work: Work) -> list[Done]:
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(replicas), context.Queue()
    processes = [context.Process(target=_replica, args=(work, barrier, told), daemon=True) for _ in range(replicas)]
    for process in processes:
        process.start()
    done = [told.get(timeout=10 * READY_S) for _ in processes]
    for process in processes:
        process.join()
    return done


async def _measure(shared: Database, replicas: int, callers: int, runs: int, *, executes: bool) -> str:
    async with PostgresStore(shared.dsn) as store:
        lanes = await new_agents(store, CONVERSATIONS)
    used_s = shared.cpu_s()
    work = Work(shared.dsn, lanes, max(1, callers // replicas), runs // replicas, executes)
    done = await asyncio.to_thread(_together, replicas, work)
    used_s = shared.cpu_s() - used_s
    begun = min(each.begun for each in done)
    took_ms = [ms for each in done for ms in each.took_ms]
    accepts = len(took_ms) / (max(each.accepted for each in done) - begun)
    ends = len(took_ms) / (max(each.ended for each in done) - begun)
    batch = sum(each.items for each in done) / sum(each.batches for each in done)
    return (
        f"{replicas:8} {callers:7} {accepts:10,.0f}{'' if executes else ' only':5} {percentile(took_ms, 0.5):7.2f} "
        f"{percentile(took_ms, 0.99):7.2f} {f'{ends:,.0f}' if executes else '-':>7} {batch:6.1f} "
        f"{sum(each.cpu_s for each in done) / len(took_ms) * 1e6:8.0f} {used_s / len(took_ms) * 1e6:9.0f}"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6_000)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    print("replicas callers  accepts/s       p50 ms  p99 ms  runs/s  batch  CPU µs database's")
    for replicas in REPLICAS:
        for callers in CALLERS:
            if callers < replicas:
                continue
            runs = options.runs if callers > 1 else options.runs // 4
            async with database(options.directory) as shared:
                for executes in (False, True):
                    print(await _measure(shared, replicas, callers, runs, executes=executes), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
