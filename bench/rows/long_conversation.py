"""What a run costs in a conversation that is long beside the model's window, and compacted again and again."""

from __future__ import annotations

from bench.lab import Figures, Lab, agents, rate
from bench.machine import cores
from bench.processes import child
from bench.table import Row

WINDOW = 4_096
LEAST_FLATNESS = 0.8


async def measure(lab: Lab) -> list[Row]:
    """One conversation, one caller. Each run adds two messages; compactions are part of what is measured."""
    some, between = lab.choose(100, 10), lab.choose(800, 10)
    async with (
        child("bench.fake_model", cores=cores().client) as fake,
        lab.server(env={"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": fake.address}) as ours,
    ):
        warm = await agents(ours.address, 1, "openai/short")
        await lab.call(ours, "one_by_one", agent_ids=warm, executed=True, runs=lab.choose(50, 2))
        asked = {"agent_ids": await agents(ours.address, 1, "openai/narrow"), "executed": True}
        early = await lab.call(ours, "one_by_one", runs=some, **asked)
        await lab.call(ours, "one_by_one", runs=between, **asked)
        late = await lab.call(ours, "one_by_one", runs=some, **asked)
    return [_row(early, late, messages=2 * (2 * some + between), some=some)]


def _row(early: Figures, late: Figures, *, messages: int, some: int) -> Row:
    ratio = rate(late) / rate(early)
    return Row(
        what=f"Runs/s of one conversation with {messages:,} messages, window of {WINDOW:,} tokens, the last {some}",
        ours=f"{rate(late):,.0f}/s, {late['server_cpu_s'] / some * 1e3:.1f} ms CPU each",
        ceiling=f"{rate(early):,.0f}/s, {early['server_cpu_s'] / some * 1e3:.1f} ms CPU each, the first {some}",
        ratio=ratio,
        goal=f"≥ {LEAST_FLATNESS}",
        met=ratio >= LEAST_FLATNESS,
    )
