"""How long runs wait for a slot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from bench.load.latencies import percentile
from bench.load.runs import end
from bench.load.target import Target, accept_body, targets
from sendoff import v1
from sendoff_server.clock import nanoseconds


async def waits(*, address: str, agent_ids: Sequence[str], fairness_keys: Sequence[str]) -> dict[str, Any]:
    """One run of each agent, all at once, each with its key.

    `p50_ms`, `p95_ms`, `most_ms`: from accept to start, as the runs tell it.
    """
    async with targets(address, len(agent_ids)) as called:
        runs = await asyncio.gather(*map(_run, called, agent_ids, fairness_keys))
    waited_ms = [(nanoseconds(run.start_time) - nanoseconds(run.create_time)) / 1e6 for run in runs]
    return {"p50_ms": percentile(waited_ms, 0.5), "p95_ms": percentile(waited_ms, 0.95), "most_ms": max(waited_ms)}


async def _run(target: Target, agent_id: str, fairness_key: str) -> v1.Run:
    scheduling = v1.CreateMessageAsyncRequest(scheduling=v1.Scheduling(fairness_key=fairness_key))
    run = v1.Run.FromString(await target.accept(accept_body(agent_id) + scheduling.SerializeToString()))
    return await end(target, run.id)
