"""How fast the SQLite engine accepts and completes, without network, models or scheduler.

    python bench/store_accept.py [--seconds 3] [--synchronous FULL] [--directory DIR] [--purge RUNS]

A closed loop of callers on one event loop speaks to the store through a group commit of a few lines: what waits goes
into the next batch. A run is an accept, a start and a finish. Callers, event loop and writer thread share one
interpreter, as in the server. Without --directory the disk of the temporary folder is measured. With --purge so many
runs whose time is over are there before, and are purged meanwhile as the server does it; the last column tells how many
were.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SystemClock, timestamp
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.purging import Purging
from sendoff_server.store.items import Accept, Claim, Item, Key, Placed, Progress, Recorded, Result
from sendoff_server.store.port import DEFAULT_TENANT, POSITION_SHIFT, Poisoned, Store
from sendoff_server.store.sqlite.engine import SqliteStore

CONVERSATIONS = 200
REQUEST = v1.CreateMessageAsyncRequest(callback_url="https://example.com/" + "x" * 280).SerializeToString()
ANSWER = "y" * 200


class Groups:
    """What is waiting when a flush returns is the next batch."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Item, asyncio.Future[Result | Poisoned]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self.batches = self.items = 0

    async def write(self, item: Item) -> Result | Poisoned:
        future: asyncio.Future[Result | Poisoned] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._flushing is None:
            self._flushing = asyncio.ensure_future(self._flush())
        return await future

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:512], self._waiting[512:]
            self.batches += 1
            self.items += len(batch)
            results = await self._store.flush([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
        self._flushing = None


def accept(lane: str, *, lease: bool, is_over: bool = False) -> Accept:
    """`is_over`: it is to be purged once it has ended."""
    run = v1.Run(id=ids.new("run"), agent_id=lane, status=v1.RUN_STATUS_CREATED, background=True, last_sequence=1)
    run.create_time.CopyFrom(timestamp(time.time_ns()))
    run.turn_id = ids.new("turn")
    if is_over:
        run.expire_time.CopyFrom(run.create_time)
    changed = v1.RunStateChanged(status=run.status, phase=v1.RUN_PHASE_QUEUED)
    return Accept(
        tenant=DEFAULT_TENANT,
        lane=lane,
        run=run,
        request=REQUEST,
        event=v1.RunEvent(run_id=run.id, sequence=1, event_time=run.create_time, state_changed=changed),
        keys=[Key(f"otid:{lane}", ids.new("o"))],
        fingerprint=b"f" * 32,
        lease=lease,
        reject_if_busy=False,
        max_open=1_000_000,
    )


def progress(claim: Claim, status: v1.RunStatus.ValueType) -> Progress:
    run = v1.Run()
    run.CopyFrom(claim.run)
    run.status, run.last_sequence = status, claim.run.last_sequence + 1
    message = v1.Message(id=ids.new("message"), run_id=run.id, position=claim.seq << POSITION_SHIFT | run.last_sequence)
    message.assistant_message.content.text = ANSWER
    event = v1.RunEvent(run_id=run.id, sequence=run.last_sequence, message=message)
    return Progress(
        lane=claim.lane, run=run, after_sequence=claim.run.last_sequence, events=[event], messages=[message]
    )


class Runner:
    """Runs what the store hands out; a caller waits for the end of its own run."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._ends: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def complete(self, lane: str, *, is_over: bool = False) -> None:
        item = accept(lane, lease=True, is_over=is_over)
        end = self._ends[item.run.id] = asyncio.get_running_loop().create_future()
        placed = await self._groups.write(item)
        assert isinstance(placed, Placed), placed
        if placed.claim is not None:
            self._start(placed.claim)
        await end

    def _start(self, claim: Claim) -> None:
        task = asyncio.ensure_future(self._execute(claim))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _execute(self, claim: Claim) -> None:
        started = progress(claim, v1.RUN_STATUS_RUNNING)
        assert await self._groups.write(started) == Recorded(None)
        running = Claim(tenant=claim.tenant, lane=claim.lane, seq=claim.seq, run=started.run, request=claim.request)
        recorded = await self._groups.write(progress(running, v1.RUN_STATUS_COMPLETED))
        assert isinstance(recorded, Recorded), recorded
        self._ends.pop(claim.run.id).set_result(None)
        if recorded.next is not None:
            self._start(recorded.next)


async def closed_loop(work: Callable[[int], Awaitable[object]], callers: int, seconds: float) -> list[float]:
    """Seconds that each piece of work took."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        while (begin := time.perf_counter()) < until:
            await work(number)
            number += callers
            took.append(time.perf_counter() - begin)

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return took


def sync_ms(directory: Path) -> float:
    """Median of an append of 8 KB and its fdatasync, as the disk is right now."""
    spans = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(40):
            begin = time.perf_counter()
            os.write(file.fileno(), b"z" * 8192)
            os.fdatasync(file.fileno())
            spans.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(spans)


class Gone(Hub):
    """Counts the runs that are purged."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forget(self, owner_id: str) -> None:
        super().forget(owner_id)
        self.count += 1


@asynccontextmanager
async def purging(store: Store, runs: int) -> AsyncIterator[Callable[[], int]]:
    """Purge inside the block, if there are any runs to be; gives how many are gone."""
    gone = Gone()
    task = asyncio.create_task(Purging(store, gone, SystemClock()).purge()) if runs else None
    try:
        yield lambda: gone.count
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))


async def measure(directory: Path, callers: int, seconds: float, options: argparse.Namespace, *, whole: bool) -> str:
    async with SqliteStore(directory / f"{callers}{whole}.db", synchronous=options.synchronous) as store:
        lanes = [ids.new("agent") for _ in range(CONVERSATIONS)]
        for lane in lanes:
            made = v1.Agent(id=lane, create_time=timestamp(time.time_ns()), etag="1")
            await store.create_agent(DEFAULT_TENANT, made, None, b"")
        groups = Groups(store)
        runner = Runner(groups)
        over = [runner.complete(lanes[number % CONVERSATIONS], is_over=True) for number in range(options.purge)]
        await asyncio.gather(*over)
        groups.batches = groups.items = 0

        async def work(number: int) -> None:
            lane = lanes[number % CONVERSATIONS]
            await (runner.complete(lane) if whole else groups.write(accept(lane, lease=False)))

        disk = sync_ms(directory)
        cpu, wall = time.process_time(), time.perf_counter()
        async with purging(store, options.purge) as purged:
            took = sorted(await closed_loop(work, callers, seconds))
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            gone = purged()
    name = "runs" if whole else "accepts"
    return (
        f"{name:8} {callers:7} {len(took) / wall:8.0f} {took[len(took) // 2] * 1e3:8.2f} "
        f"{took[len(took) * 99 // 100] * 1e3:8.2f} {cpu / len(took) * 1e6:8.0f} "
        f"{groups.items / groups.batches:8.1f} {disk:8.2f} {gone:8}"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--purge", type=int, default=0, metavar="RUNS")
    options = parser.parse_args()
    print("what     callers    per s   p50 ms   p99 ms   CPU us    batch  sync ms   purged")
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for whole in (False, True):
            for callers in (1, 16, 64):
                print(await measure(Path(directory), callers, options.seconds, options, whole=whole), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
