"""Durable accepts. The one slot for runs is taken by a model that hangs, so that nothing but accepts is measured."""

from __future__ import annotations

from bench.lab import HANGING, SCRIPT, Compared, Lab, agents, cpu_us, median, p50, p99, rate
from bench.processes import Child
from bench.table import Row

CALLERS = (1, 16, 64)
LEAST_SHARE = 0.6
MOST_TIMES = 2.0


async def measure(lab: Lab) -> list[Row]:
    rows: list[Row] = []
    async with lab.server("--max-running", "1") as ours:
        agent_ids = await agents(ours.address, lab.choose(500, 16), SCRIPT, HANGING)
        for callers in CALLERS:
            compared = await compare(lab, ours, agent_ids, callers)
            rows.append(_rate(compared, callers))
            if callers == 1:
                rows += _latency(compared)
    return rows


async def compare(lab: Lab, ours: Child, agent_ids: list[str], callers: int) -> Compared:
    """Accepts by ours and by the bare server, in turns."""
    asked = {"agent_ids": agent_ids, "callers": callers, "seconds": lab.seconds}
    return await lab.take_turns(
        lambda: lab.call(ours, "accepts", **asked),
        lambda: lab.call(lab.bare, "accepts", **asked),
    )


def _rate(compared: Compared, callers: int) -> Row:
    ratio = compared.ratio(rate)
    many = callers > 1
    return Row(
        what=f"Durable accepts/s, {callers} caller{'s' * many}",
        ours=f"{median(compared.ours, rate):,.0f}/s, {median(compared.ours, cpu_us):.0f} µs CPU each",
        ceiling=f"{median(compared.bare, rate):,.0f}/s, {median(compared.bare, cpu_us):.0f} µs CPU each",
        ratio=ratio,
        goal=f"≥ {LEAST_SHARE}" if many else "",
        met=ratio >= LEAST_SHARE if many else None,
    )


def _latency(compared: Compared) -> list[Row]:
    rows = []
    for name, figure in (("p50", p50), ("p99", p99)):
        ratio = compared.ratio(figure)
        rows.append(
            Row(
                what=f"Accept latency {name}, 1 caller",
                ours=f"{median(compared.ours, figure):.2f} ms",
                ceiling=f"{median(compared.bare, figure):.2f} ms",
                ratio=ratio,
                goal=f"≤ {MOST_TIMES:.0f}" if name == "p50" else "",
                met=ratio <= MOST_TIMES if name == "p50" else None,
            )
        )
    return rows
