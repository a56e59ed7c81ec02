"""GetRun, with few and with many runs in the database."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.lab import Compared, Lab, cpu_us, median, rate
from bench.seed import new_agents, seed
from bench.table import Row
from sendoff_server.store.sqlite.engine import SqliteStore

CALLERS = 16
RUNS_PER_AGENT = 200
READ = 5_000
"""So many of the stored runs are asked for, spread over all."""
LEAST_SHARE = 0.7
LEAST_FLATNESS = 0.9


async def measure(lab: Lab) -> list[Row]:
    few, many = lab.choose(1_000, 100), lab.choose(100_000, 1_000)
    with_few, with_many = await _compare(lab, few), await _compare(lab, many)
    shares = with_few.ratio(rate), with_many.ratio(rate)
    flatness = shares[1] / shares[0]
    return [
        _row(with_few, few),
        _row(with_many, many),
        Row(
            what=f"GetRun/s, {many:,} stored runs beside {few:,}",
            ours=f"{shares[1]:.2f} of the bare server's rate",
            ceiling=f"{shares[0]:.2f} of it",
            ratio=flatness,
            goal=f"≥ {LEAST_FLATNESS}",
            met=flatness >= LEAST_FLATNESS,
        ),
    ]


async def _compare(lab: Lab, stored: int) -> Compared:
    with tempfile.TemporaryDirectory(dir=lab.directory) as directory:
        async with SqliteStore(Path(directory) / "sendoff.db", synchronous="NORMAL") as store:
            run_ids = await seed(store, await new_agents(store, -(-stored // RUNS_PER_AGENT)), stored)
        asked = {"run_ids": run_ids[:: max(1, stored // READ)], "callers": CALLERS, "seconds": lab.seconds}
        async with lab.server(data_dir=Path(directory)) as ours:
            return await lab.take_turns(
                lambda: lab.call(ours, "reads", **asked),
                lambda: lab.call(lab.bare, "reads", **asked),
            )


def _row(compared: Compared, stored: int) -> Row:
    ratio = compared.ratio(rate)
    return Row(
        what=f"GetRun/s, {CALLERS} callers, {stored:,} stored runs",
        ours=f"{median(compared.ours, rate):,.0f}/s, {median(compared.ours, cpu_us):.0f} µs CPU each",
        ceiling=f"{median(compared.bare, rate):,.0f}/s, {median(compared.bare, cpu_us):.0f} µs CPU each",
        ratio=ratio,
        goal=f"≥ {LEAST_SHARE}",
        met=ratio >= LEAST_SHARE,
    )
