"""GetRun from many callers at once, of runs in random order."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench.load.latencies import figures
from bench.load.target import Target, targets
from sendoff import v1


async def reads(*, address: str, run_ids: Sequence[str], callers: int, seconds: float) -> dict[str, Any]:
    """Read for so long."""
    durations_s: list[float] = []
    requests = [v1.GetRunRequest(run_id=run_id).SerializeToString() for run_id in run_ids]
    random.Random(1).shuffle(requests)
    async with targets(address, callers) as called:
        following = itertools.cycle(requests)
        begun = time.perf_counter()
        await asyncio.gather(*(_call(target, following, begun + seconds, durations_s) for target in called))
        return figures(durations_s, time.perf_counter() - begun)


async def _call(target: Target, requests: Iterator[bytes], until: float, durations_s: list[float]) -> None:
    while (begun := time.perf_counter()) < until:
        await target.get(next(requests))
        durations_s.append(time.perf_counter() - begun)
