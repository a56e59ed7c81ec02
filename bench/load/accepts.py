"""Accepts from many callers at once, each sending its next when it has an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench.load.latencies import figures
from bench.load.target import TEXT, Target, bodies, targets


async def accepts(
    *, address: str, agent_ids: Sequence[str], callers: int, seconds: float, text: str = TEXT
) -> dict[str, Any]:
    """Accept for so long; runs are left to themselves."""
    durations_s: list[float] = []
    async with targets(address, callers) as called:
        requests = bodies(agent_ids, text)
        begun = time.perf_counter()
        await asyncio.gather(*(_call(target, requests, begun + seconds, durations_s) for target in called))
        return figures(durations_s, time.perf_counter() - begun)


async def _call(target: Target, requests: Iterator[bytes], until: float, durations_s: list[float]) -> None:
    while (begun := time.perf_counter()) < until:
        await target.accept(next(requests))
        durations_s.append(time.perf_counter() - begun)
