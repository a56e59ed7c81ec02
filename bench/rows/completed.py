"""Runs from accept to end on a scripted model that takes no time."""

from __future__ import annotations

from bench.lab import ANSWERING, SCRIPT, Compared, Figures, Lab, agents, cpu_us, median, p50, rate
from bench.machine import commit_ms
from bench.table import Row

CALLERS = 16
LEAST_SHARE = 0.35
COMMITS_BEFORE_MODEL = 2
"""The accept's, and that of the step's start."""
MOST_MS_TO_MODEL = 5.0
MOST_MS_TO_END = 15.0


async def measure(lab: Lab) -> list[Row]:
    """Completed runs/s over 200 conversations, beside the accepts/s of the bare server."""
    conversations, runs = lab.choose(200, 8), lab.choose(3000, 40)
    async with lab.server() as ours:
        asked = {"agent_ids": await agents(ours.address, conversations, SCRIPT, ANSWERING), "callers": CALLERS}
        compared = await lab.take_turns(
            lambda: lab.call(ours, "completed", runs=runs, **asked),
            lambda: lab.call(lab.bare, "accepts", seconds=lab.seconds, **asked),
        )
    ratio = compared.ratio(rate)
    return [
        Row(
            what=f"Completed runs/s, scripted model, {conversations} conversations",
            ours=f"{median(compared.ours, rate):,.0f}/s, {median(compared.ours, cpu_us):.0f} µs CPU each",
            ceiling=f"{median(compared.bare, rate):,.0f} accepts/s",
            ratio=ratio,
            goal=f"≥ {LEAST_SHARE}",
            met=ratio >= LEAST_SHARE,
        )
    ]


async def measure_idle(lab: Lab) -> list[Row]:
    """One run at a time on a server that does nothing else."""
    runs = lab.choose(200, 5)
    async with lab.server() as ours:
        asked = {"agent_ids": await agents(ours.address, lab.choose(20, 2), SCRIPT, ANSWERING), "runs": runs}
        compared = await lab.take_turns(
            lambda: lab.call(ours, "one_by_one", executed=True, **asked),
            lambda: lab.call(lab.bare, "one_by_one", executed=False, **asked),
        )
    return [_to_model(compared, COMMITS_BEFORE_MODEL * commit_ms(lab.directory)), _to_end(compared)]


def _to_model(compared: Compared, commits_ms: float) -> Row:
    output_ms = median(compared.ours, _output_ms)
    return Row(
        what="Idle: accept to the model's first output, p50 (`Run.ttft_ns`)",
        ours=f"{output_ms:.2f} ms",
        ceiling=f"{commits_ms:.2f} ms, {COMMITS_BEFORE_MODEL} writes to the disk",
        ratio=output_ms / commits_ms,
        goal=f"< {MOST_MS_TO_MODEL:.0f} ms",
        met=output_ms < MOST_MS_TO_MODEL,
    )


def _output_ms(figures: Figures) -> float:
    return float(figures["output_ms"])


def _to_end(compared: Compared) -> Row:
    whole_ms = median(compared.ours, p50)
    return Row(
        what="Idle: accept to completed as WaitRun tells it, p50",
        ours=f"{whole_ms:.2f} ms",
        ceiling=f"{median(compared.bare, p50):.2f} ms, an accept and a GetRun",
        ratio=compared.ratio(p50),
        goal=f"< {MOST_MS_TO_END:.0f} ms",
        met=whole_ms < MOST_MS_TO_END,
    )
