"""Completed runs/s through the model library, against a provider that takes no time, early and after many runs."""

from __future__ import annotations

from bench.lab import Figures, Lab, agents, cpu_us, rate
from bench.machine import cores
from bench.processes import Child, child
from bench.table import Row

AGENTS = 50
LEAST_RATE = 150.0
LEAST_FLATNESS = 0.9


async def measure(lab: Lab) -> list[Row]:
    """New agents before and after, so that the length of a conversation is not what is compared."""
    runs = lab.choose(1_000, 50)
    async with child("bench.fake_model", cores=cores().client) as fake:
        direct = await _direct(lab, fake, runs)
        async with lab.server(env={"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": fake.address}) as ours:
            await _complete(lab, ours, AGENTS, "openai/short")
            early = await _complete(lab, ours, runs, "openai/short")
            piled = lab.choose(10_000, 50)
            await _complete(lab, ours, piled, "scripted/echo")
            late = await _complete(lab, ours, runs, "openai/short")
    return [_rate(early, direct), _flat(early, late, piled)]


async def _complete(lab: Lab, ours: Child, runs: int, model: str) -> Figures:
    agent_ids = await agents(ours.address, AGENTS, model)
    return await lab.call(ours, "completed", agent_ids=agent_ids, callers=AGENTS, runs=runs)


async def _direct(lab: Lab, fake: Child, calls: int) -> Figures:
    """The library's own calls, on the core that the server has later."""
    async with child("bench.direct_model", cores=cores().server) as caller:
        return await caller.call("direct", address=fake.address, callers=AGENTS, calls=calls)


def _rate(early: Figures, direct: Figures) -> Row:
    return Row(
        what=f"Completed runs/s through the model library, {AGENTS} agents",
        ours=f"{rate(early):,.0f}/s, {cpu_us(early):.0f} µs CPU each",
        ceiling=f"{rate(direct):,.0f}/s, the library's calls alone",
        ratio=rate(early) / rate(direct),
        goal=f"≥ {LEAST_RATE:.0f}/s",
        met=rate(early) >= LEAST_RATE,
    )


def _flat(early: Figures, late: Figures, piled: int) -> Row:
    ratio = rate(late) / rate(early)
    return Row(
        what=f"The same after {piled:,} more runs",
        ours=f"{rate(late):,.0f}/s",
        ceiling=f"{rate(early):,.0f}/s, before them",
        ratio=ratio,
        goal=f"≥ {LEAST_FLATNESS}",
        met=ratio >= LEAST_FLATNESS,
    )
