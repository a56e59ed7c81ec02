"""The REST door: accepts, reads, and text as server-sent events."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from bench.load.latencies import figures, percentile
from bench.load.target import LONGEST_CALL_S, TEXT

_own = uuid.uuid4().hex[:12]
_numbers = itertools.count()


async def rest_accepts(*, address: str, agent_ids: Sequence[str], callers: int, seconds: float) -> dict[str, Any]:
    """Accept for so long, each with an idempotency key; runs are left to themselves."""
    body = json.dumps({"messages": [{"role": "user", "content": TEXT}]}).encode()
    paths = itertools.cycle([f"/v1/agents/{agent_id}/messages/async" for agent_id in agent_ids])
    async with _connected(address, callers) as http:

        async def accept() -> None:
            headers = {"content-type": "application/json", "idempotency-key": f"{_own}-{next(_numbers)}"}
            async with http.post(next(paths), data=body, headers=headers) as response:
                await response.read()
                response.raise_for_status()

        return await _repeated(accept, callers, seconds)


async def rest_reads(*, address: str, run_ids: Sequence[str], callers: int, seconds: float) -> dict[str, Any]:
    """Read runs for so long."""
    paths = itertools.cycle([f"/v1/runs/{run_id}" for run_id in run_ids])
    async with _connected(address, callers) as http:

        async def read() -> None:
            async with http.get(next(paths)) as response:
                await response.read()
                response.raise_for_status()

        return await _repeated(read, callers, seconds)


async def rest_delays(*, address: str, agent_ids: Sequence[str], text: str) -> dict[str, Any]:
    """One stream of pieces for each agent, of models whose words are the monotonic nanoseconds at which they were sent.

    `p50_ms`, `p99_ms`: from there to here, for every word.
    """
    found: list[float] = []
    async with _connected(address, len(agent_ids)) as http:
        await asyncio.gather(*(_compare(http, agent_id, text, found) for agent_id in agent_ids))
    return {"words": len(found), "p50_ms": percentile(found, 0.5), "p99_ms": percentile(found, 0.99)}


async def _compare(http: aiohttp.ClientSession, agent_id: str, text: str, found: list[float]) -> None:
    body = {"input": text, "streaming": True, "stream_tokens": True}
    async with http.post(f"/v1/agents/{agent_id}/messages", json=body) as response:
        response.raise_for_status()
        async for line in response.content:
            now_ns = time.monotonic_ns()
            if line.startswith(b"data: {"):
                told = json.loads(line[5:])
                if told["message_type"] == "assistant_message":
                    found += [(now_ns - int(word)) / 1e6 for word in told["content"].split()]


def _connected(address: str, callers: int) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
    return aiohttp.ClientSession(
        f"http://{address}",
        connector=aiohttp.TCPConnector(limit=callers),
        timeout=aiohttp.ClientTimeout(total=LONGEST_CALL_S),
    )


async def _repeated(call: Callable[[], Awaitable[None]], callers: int, seconds: float) -> dict[str, Any]:
    """Call for so long, so many at once."""
    durations_s: list[float] = []

    async def again_and_again(until: float) -> None:
        while (begun := time.perf_counter()) < until:
            await call()
            durations_s.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(again_and_again(begun + seconds) for _ in range(callers)))
    return figures(durations_s, time.perf_counter() - begun)
