"""What finished runs and idle conversations cost those that come after them, with one replica on PostgreSQL."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.database import Database
from bench.lab import ANSWERING, HANGING, SCRIPT, Figures, Lab, agents, rate
from bench.load.latencies import percentile
from bench.seed import ended, new_agents, queue, seed, write
from bench.table import Row
from sendoff_server.store.postgres.engine import PostgresStore

CALLERS = 16
CLAIMED = 100
CLAIMS = 5
IDLE_CLAIMS = 50
LEAST_FLATNESS = 0.9
MOST_TIMES = 1.2


@dataclass(frozen=True)
class Seen:
    """Of a server that was started for it."""

    accepts: Figures
    completed: Figures
    megabytes: float
    """Memory of the server after that."""
    idle_claim_ms: float
    """Of a claim that finds nothing; median."""
    claim_ms: float
    """Of a claim of a hundred lanes; median."""


async def measure(lab: Lab) -> list[Row]:
    runs, conversations = lab.choose(50_000, 2_000), lab.choose(10_000, 1_000)
    before, after = await _see(lab, CLAIMED, CLAIMED), await _see(lab, runs, conversations)
    piled = f"PostgreSQL, with {runs:,} finished runs and {conversations:,} idle conversations"
    return [
        _rate(f"{piled}: accepts/s, {CALLERS} callers", before.accepts, after.accepts),
        _rate(f"{piled}: completed runs/s, {CALLERS} callers", before.completed, after.completed),
        _cost(f"{piled}: a claim that finds nothing, p50", before.idle_claim_ms, after.idle_claim_ms, "ms"),
        _cost(f"{piled}: a claim of {CLAIMED} lanes, p50", before.claim_ms, after.claim_ms, "ms"),
        _cost(f"{piled}: memory of the server under load (RSS)", before.megabytes, after.megabytes, "MB"),
    ]


async def _see(lab: Lab, runs: int, conversations: int) -> Seen:
    """With so many of both there before."""
    async with lab.replicas(0) as nobody:
        async with PostgresStore(nobody.database.dsn) as store:
            known = await new_agents(store, conversations)
            await seed(store, known, runs)
            await nobody.database.fetch("VACUUM ANALYZE")
            idle_ms = [await _claim_ms(store, 0) for _ in range(IDLE_CLAIMS)]
            some_ms = []
            for turn in range(CLAIMS):
                await queue(store, known[:CLAIMED], runs + turn * CLAIMED)
                some_ms.append(await _claim_ms(store, CLAIMED))
        completed = await _completed(lab, nobody.database)
        accepts, megabytes = await _accepts(lab, nobody.database)
    return Seen(accepts, completed, megabytes, percentile(idle_ms, 0.5), percentile(some_ms, 0.5))


async def _claim_ms(store: PostgresStore, found: int) -> float:
    """The runs that it finds are ended, so that their lanes are as they were."""
    begun = time.perf_counter()
    claims = await store.claim(CLAIMED)
    took_ms = (time.perf_counter() - begun) * 1000
    if len(claims) != found:
        raise RuntimeError(f"{len(claims)} lanes were claimed where {found} waited")
    if claims:
        await write(store, [ended(claim) for claim in claims])
    return took_ms


async def _completed(lab: Lab, shared: Database) -> Figures:
    async with lab.replica(shared) as ours:
        asked = {"agent_ids": await agents(ours.address, 200, SCRIPT, ANSWERING), "callers": CALLERS}
        await lab.call(ours, "completed", runs=200, **asked)
        return await lab.call(ours, "completed", runs=lab.choose(4_000, 200), **asked)


async def _accepts(lab: Lab, shared: Database) -> tuple[Figures, float]:
    """And the MB of memory that the server has after them."""
    async with lab.replica(shared, "--max-running", "1") as ours:
        asked = {"agent_ids": await agents(ours.address, 200, SCRIPT, HANGING), "callers": CALLERS}
        await lab.call(ours, "accepts", seconds=lab.seconds, **asked)
        return await lab.call(ours, "accepts", seconds=2 * lab.seconds, **asked), ours.rss_bytes() / 1e6


def _rate(what: str, before: Figures, after: Figures) -> Row:
    ratio = rate(after) / rate(before)
    return Row(
        what=what,
        ours=f"{rate(after):,.0f}/s",
        ceiling=f"{rate(before):,.0f}/s, without them",
        ratio=ratio,
        goal=f"≥ {LEAST_FLATNESS}",
        met=ratio >= LEAST_FLATNESS,
    )


def _cost(what: str, before: float, after: float, unit: str) -> Row:
    return Row(
        what=what,
        ours=f"{after:,.1f} {unit}",
        ceiling=f"{before:,.1f} {unit}, without them",
        ratio=after / before,
        goal=f"≤ {MOST_TIMES}",
        met=after <= MOST_TIMES * before,
    )
