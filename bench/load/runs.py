"""Runs from accept to end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

from bench.load.latencies import figures, percentile
from bench.load.target import TEXT, Target, bodies, targets
from sendoff import v1
from sendoff_server.clock import nanoseconds


async def completed(
    *, address: str, agent_ids: Sequence[str], callers: int, runs: int, text: str = TEXT
) -> dict[str, Any]:
    """Accept so many runs and wait until all have ended. Raises RuntimeError if one did not complete."""
    async with targets(address, callers) as called:
        begun = time.perf_counter()
        shares = [agent_ids[number::callers] for number in range(callers)]
        each = [runs // callers + (number < runs % callers) for number in range(callers)]
        calling = (_accept(*who, text) for who in zip(called, shares, each, strict=True) if who[1])
        accepted = await asyncio.gather(*calling)
        accepted_s = time.perf_counter() - begun
        last = list(itertools.chain.from_iterable(accepted))
        # Runs of a conversation end in order of acceptance, so that its last one ends last.
        await asyncio.gather(*(end(called[number % callers], run_id) for number, run_id in enumerate(last)))
        return {"calls": runs, "seconds": time.perf_counter() - begun, "accepted_s": accepted_s}


async def _accept(target: Target, agent_ids: Sequence[str], runs: int, text: str) -> list[str]:
    """Accept for each agent in turn; the last run of each. One caller an agent, so that its last is known."""
    last: list[str] = []
    for number, body in enumerate(itertools.islice(bodies(agent_ids, text), runs)):
        reply = await target.accept(body)
        if number >= runs - len(agent_ids):
            last.append(v1.Run.FromString(reply).id)
    return last


async def end(target: Target, run_id: str) -> v1.Run:
    request = v1.WaitRunRequest(run_id=run_id)
    request.timeout.FromSeconds(55)
    body = request.SerializeToString()
    while (run := v1.Run.FromString(await target.wait(body))).status in (v1.RUN_STATUS_CREATED, v1.RUN_STATUS_RUNNING):
        pass
    if run.status != v1.RUN_STATUS_COMPLETED:
        raise RuntimeError(f"a run did not complete: {run}")
    return run


async def one_by_one(
    *, address: str, agent_ids: Sequence[str], runs: int, executed: bool, text: str = TEXT
) -> dict[str, Any]:
    """Accept and wait for the end, one run after the other. Without `executed`: accept and get, for the bare server.

    `p50_ms`, `p99_ms`: from accept to the answer that it has ended; `start_ms`, `output_ms`: medians of what the runs
    tell of the time from accept to their start and to the model's first output.
    """
    durations_s: list[float] = []
    ended: list[v1.Run] = []
    async with targets(address, 1) as (target,):
        begun = time.perf_counter()
        for body in itertools.islice(bodies(agent_ids, text), runs):
            called = time.perf_counter()
            run = v1.Run.FromString(await target.accept(body))
            if executed:
                ended.append(await end(target, run.id))
            else:
                await target.get(v1.GetRunRequest(run_id=run.id).SerializeToString())
            durations_s.append(time.perf_counter() - called)
        told = figures(durations_s, time.perf_counter() - begun)
    told["start_ms"] = percentile([nanoseconds(run.start_time) - nanoseconds(run.create_time) for run in ended], 0.5)
    told["output_ms"] = percentile([run.ttft_ns for run in ended], 0.5)
    return told | {name: told[name] / 1e6 for name in ("start_ms", "output_ms")}
