"""A server that nobody has called yet."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from bench.lab import Lab, bare_server
from bench.processes import Child
from bench.table import Row

MOST_MB = 120.0
MOST_READY_S = 2.0


async def measure(lab: Lab) -> list[Row]:
    ours_mb, ours_s = await _start(lab, lab.server)
    bare_mb, bare_s = await _start(lab, bare_server)
    return [
        Row(
            what="Server at rest: memory (RSS)",
            ours=f"{ours_mb:.0f} MB",
            ceiling=f"{bare_mb:.0f} MB",
            ratio=ours_mb / bare_mb,
            goal=f"< {MOST_MB:.0f} MB",
            met=ours_mb < MOST_MB,
        ),
        Row(
            what="Process start to ready, on a new database",
            ours=f"{ours_s:.2f} s",
            ceiling=f"{bare_s:.2f} s",
            ratio=ours_s / bare_s,
            goal=f"< {MOST_READY_S:.0f} s",
            met=ours_s < MOST_READY_S,
        ),
    ]


async def _start(lab: Lab, start: Callable[[], AbstractAsyncContextManager[Child]]) -> tuple[float, float]:
    """Medians over some starts: MB of memory, seconds until ready."""
    seen: list[tuple[float, float]] = []
    for _ in range(lab.rounds):
        async with start() as server:
            seen.append((server.rss_bytes() / 1e6, server.ready_s))
    megabytes, seconds = zip(*seen, strict=True)
    return statistics.median(megabytes), statistics.median(seconds)
