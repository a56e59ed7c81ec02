"""A model that takes a second, 50 runs under way: what gets done, and whether accepts wait behind it."""

from __future__ import annotations

import json

from bench.lab import SCRIPT, Compared, Lab, agents, median, p50, p99, rate
from bench.rows.accepts import compare
from bench.table import Row

UNDER_WAY = 50
CALLERS = 16
LEAST_SHARE = 0.94
MOST_TIMES_P50 = 5.0
MOST_P99_MS = 60.0


async def measure(lab: Lab) -> list[Row]:
    """Completed runs/s of the ideal: so many at once, a second each."""
    model_ms, rounds = lab.choose(1000, 100), lab.choose(8, 2)
    async with lab.server("--max-running", str(UNDER_WAY)) as ours:
        agent_ids = await agents(ours.address, UNDER_WAY, SCRIPT, _script(model_ms))
        asked = {"agent_ids": agent_ids, "callers": CALLERS}
        done = await lab.call(ours, "completed", runs=UNDER_WAY * rounds, **asked)
    ideal = UNDER_WAY / (model_ms / 1000)
    ratio = rate(done) / ideal
    return [
        Row(
            what=f"Completed runs/s, a {model_ms / 1000:g} s model, {UNDER_WAY} under way",
            ours=f"{rate(done):.1f}/s",
            ceiling=f"{ideal:.0f}/s",
            ratio=ratio,
            goal=f"≥ {LEAST_SHARE}",
            met=ratio >= LEAST_SHARE,
        )
    ]


async def measure_accepts(lab: Lab) -> list[Row]:
    """Accepts while so many runs are under way. Their conversations queue up, so there are never less."""
    async with lab.server("--max-running", str(UNDER_WAY)) as ours:
        agent_ids = await agents(ours.address, lab.choose(200, UNDER_WAY), SCRIPT, _script(1000))
        compared = await compare(lab, ours, agent_ids, CALLERS)
    return [_busy(compared)]


def _busy(compared: Compared) -> Row:
    ours_p50, ours_p99 = median(compared.ours, p50), median(compared.ours, p99)
    return Row(
        what=f"Accept p99, {CALLERS} callers, {UNDER_WAY} runs under way",
        ours=f"{ours_p99:.1f} ms (p50 {ours_p50:.1f} ms, {median(compared.ours, rate):,.0f}/s)",
        ceiling=f"{median(compared.bare, p99):.1f} ms (p50 {median(compared.bare, p50):.1f} ms)",
        ratio=compared.ratio(p99),
        goal=f"≤ {MOST_TIMES_P50:.0f} times p50, ≤ {MOST_P99_MS:.0f} ms",
        met=ours_p99 <= min(MOST_P99_MS, MOST_TIMES_P50 * ours_p50),
    )


def _script(model_ms: int) -> str:
    return json.dumps({"script": {"words": 10, "chunk_words": 10, "first_delay_ms": model_ms}})
