"""One and two replicas on PostgreSQL: what the rows of one server on SQLite tell, of them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.lab import (
    ANSWERING,
    HANGING,
    SCRIPT,
    Compared,
    Figures,
    Lab,
    accepted,
    agents,
    cpu_us,
    median,
    p50,
    p99,
    rate,
)
from bench.table import Row

COUNTS = (1, 2)
ACCEPTING = (1, 16, 64)
COMPLETING = (16, 64)
READERS = 16
MOST_ROUNDS = 3
CONVERSATIONS = 200


def named(count: int) -> str:
    return f"PostgreSQL, {count} replica{'s' * (count > 1)}"


async def measure_accepts(lab: Lab) -> list[Row]:
    """As `accepts`: the slots for runs are taken by models that hang."""
    rows: list[Row] = []
    for count in COUNTS:
        async with lab.replicas(count, "--max-running", "1") as ours:
            agent_ids = await agents(ours.address, lab.choose(500, 16), SCRIPT, HANGING)
            for callers in ACCEPTING:
                asked = {"agent_ids": agent_ids, "callers": callers, "seconds": lab.seconds}
                compared = await lab.take_turns(
                    lambda: lab.call_all(ours, "accepts", **asked),  # noqa: B023 - awaited within this turn of the loop
                    lambda: lab.call(lab.bare, "accepts", **asked),  # noqa: B023 - likewise
                    most_rounds=MOST_ROUNDS,
                )
                rows.append(_accepts(compared, count, callers))
    return rows


def _accepts(compared: Compared, count: int, callers: int) -> Row:
    return Row(
        what=f"{named(count)}: durable accepts/s, {callers} caller{'s' * (callers > 1)}",
        ours=f"{_told(compared.ours)}; p50 {median(compared.ours, p50):.1f}, p99 {median(compared.ours, p99):.1f} ms",
        ceiling=f"{median(compared.bare, rate):,.0f}/s",
        ratio=compared.ratio(rate),
    )


async def measure_completed(lab: Lab) -> list[Row]:
    """As `completed`. With two replicas each conversation's runs come in through both in turn, which is the worst case
    for the locks of its lane."""
    rows: list[Row] = []
    for count in COUNTS:
        async with lab.replicas(count) as ours:
            agent_ids = await agents(ours.address, lab.choose(CONVERSATIONS, 64), SCRIPT, ANSWERING)
            for callers in COMPLETING:
                asked = {"agent_ids": agent_ids, "callers": callers}
                compared = await lab.take_turns(
                    lambda: lab.call_all(ours, "completed", runs=lab.choose(2_000, 64), **asked),  # noqa: B023 - as above
                    lambda: lab.call(lab.bare, "accepts", seconds=lab.seconds, **asked),  # noqa: B023 - as above
                    most_rounds=MOST_ROUNDS,
                )
                rows.append(_completed(compared, count, callers))
    return rows


def _completed(compared: Compared, count: int, callers: int) -> Row:
    return Row(
        what=f"{named(count)}: completed runs/s, {CONVERSATIONS} conversations, {callers} callers",
        ours=_told(compared.ours),
        ceiling=f"{median(compared.bare, rate):,.0f} accepts/s",
        ratio=compared.ratio(rate),
    )


async def measure_idle(lab: Lab) -> list[Row]:
    """As `idle`."""
    rows: list[Row] = []
    for count in COUNTS:
        async with lab.replicas(count) as ours:
            agent_ids = await agents(ours.address, lab.choose(20, 2), SCRIPT, ANSWERING)
            asked = {"agent_ids": agent_ids, "runs": lab.choose(100, 5)}
            compared = await lab.take_turns(
                lambda: lab.call_all(ours, "one_by_one", executed=True, **asked),  # noqa: B023 - as above
                lambda: lab.call(lab.bare, "one_by_one", executed=False, **asked),  # noqa: B023 - as above
                most_rounds=MOST_ROUNDS,
            )
        rows.append(_idle(compared, count))
    return rows


def _idle(compared: Compared, count: int) -> Row:
    output_ms = median(compared.ours, lambda figures: float(figures["output_ms"]))
    return Row(
        what=f"{named(count)}, idle: accept to completed as WaitRun tells it, p50",
        ours=f"{median(compared.ours, p50):.2f} ms (p99 {median(compared.ours, p99):.1f} ms, "
        f"to the model's first output {output_ms:.2f} ms)",
        ceiling=f"{median(compared.bare, p50):.2f} ms, an accept and a GetRun",
        ratio=compared.ratio(p50),
    )


async def measure_reads(lab: Lab) -> list[Row]:
    """GetRun of runs that wait, through each replica in turn."""
    rows: list[Row] = []
    for count in COUNTS:
        async with lab.replicas(count, "--max-running", "1") as ours:
            agent_ids = await agents(ours.address, lab.choose(200, 5), SCRIPT, HANGING)
            run_ids = await accepted(ours.address, agent_ids, lab.choose(1_000, 50))
            asked = {"run_ids": run_ids, "callers": READERS, "seconds": lab.seconds}
            compared = await lab.take_turns(
                lambda: lab.call_all(ours, "reads", **asked),  # noqa: B023 - as above
                lambda: lab.call(lab.bare, "reads", **asked),  # noqa: B023 - as above
                most_rounds=MOST_ROUNDS,
            )
        rows.append(
            Row(
                what=f"{named(count)}: GetRun/s, {READERS} callers",
                ours=_told(compared.ours),
                ceiling=f"{median(compared.bare, rate):,.0f}/s",
                ratio=compared.ratio(rate),
            )
        )
    return rows


def _told(figures: Sequence[Figures]) -> str:
    """The rate, and what a call costs the replicas and their database."""
    return (
        f"{median(figures, rate):,.0f}/s, {median(figures, cpu_us):.0f} µs CPU each "
        f"and {median(figures, _database_us):.0f} of the database's"
    )


def _database_us(figures: Figures) -> float:
    return float(figures["database_cpu_s"] / figures["calls"] * 1e6)
