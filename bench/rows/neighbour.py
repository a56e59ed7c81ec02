"""What a noisy neighbour does to quiet ones: how long their runs wait for a slot behind 10,000 of one fairness key."""

from __future__ import annotations

import json

from bench.lab import HANGING, SCRIPT, Figures, Lab, Replicas, accepted, agents
from bench.table import Row

NOISY = "noisy"
SLOTS = 20
QUIET = 50
MODEL_MS = 50
QUICK = json.dumps({"script": {"words": 1, "first_delay_ms": MODEL_MS}})


async def measure(lab: Lab) -> list[Row]:
    """One replica takes the runs; the only slot that it has is taken. With the one that executes them come the quiet
    ones: first under the key of the noisy one, then each under its own."""
    noisy = lab.choose(10_000, 100)
    async with lab.replicas(1, "--max-running", "1") as door:
        await accepted(door.address, await agents(door.address, 1, SCRIPT, HANGING), 1)
        loud_ids = await agents(door.address, noisy, SCRIPT, QUICK)
        quiet_ids = await agents(door.address, QUIET, SCRIPT, QUICK)
        alike = await _wait(lab, door, loud_ids, quiet_ids, [NOISY] * QUIET)
        fair = await _wait(lab, door, loud_ids, quiet_ids, [f"quiet-{number}" for number in range(QUIET)])
    return [
        Row(
            what=f"PostgreSQL: wait of {QUIET} quiet keys' runs behind {noisy:,} of one key, {SLOTS} slots, "
            f"a {MODEL_MS} ms model, p50",
            ours=_told(fair),
            ceiling=f"{_told(alike)}, all under one key",
            ratio=fair["p50_ms"] / alike["p50_ms"],
        )
    ]


async def _wait(
    lab: Lab, door: Replicas, loud_ids: list[str], quiet_ids: list[str], fairness_keys: list[str]
) -> Figures:
    """One run of each loud agent is accepted, and when those of the quiet ones are, nearly all of them wait."""
    await accepted(door.address, loud_ids, len(loud_ids), NOISY)
    async with lab.replica(door.database, "--max-running", str(SLOTS)) as worker:
        return await lab.call(worker, "waits", agent_ids=quiet_ids, fairness_keys=fairness_keys)


def _told(figures: Figures) -> str:
    return f"{figures['p50_ms']:,.0f} ms (p95 {figures['p95_ms']:,.0f}, maximum {figures['most_ms']:,.0f})"
