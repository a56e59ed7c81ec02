"""Watches: text as it is written, and watchers that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

from bench.load.latencies import percentile
from bench.load.target import Target, accept_body, targets
from sendoff import v1
from sendoff_server.clock import nanoseconds

WATCHERS_PER_CONNECTION = 100
MOST_CONNECTIONS = 20
OPENED_AT_ONCE = 50


async def tokens(*, address: str, agent_ids: Sequence[str], text: str, words: int) -> dict[str, Any]:
    """Watch one run per agent, all at once, from its accept to the end of its text.

    `text` makes the model write `words` words; empty: the server is the bare one, which writes by itself.

    Tells `words`, those that came; `frames`, the deltas they came in; `seconds`, from the first accept to the end of
    the last stream.
    """
    async with targets(address, len(agent_ids)) as called:
        begun = time.perf_counter()
        following = (
            _read(_deltas(target, agent_id, text, words)) for target, agent_id in zip(called, agent_ids, strict=True)
        )
        read = await asyncio.gather(*following)
        seconds = time.perf_counter() - begun
    return {"words": sum(each[0] for each in read), "frames": sum(each[1] for each in read), "seconds": seconds}


async def _read(deltas: AsyncIterator[str]) -> tuple[int, int]:
    words = frames = 0
    async for piece in deltas:
        frames += 1
        words += len(piece.split())
    return words, frames


async def delays(
    *, address: str, agent_ids: Sequence[str], text: str, words: int, watch_address: str = ""
) -> dict[str, Any]:
    """As `tokens`, of models whose words are the monotonic nanoseconds at which they were sent; watched at another
    server of the same database, if one is named.

    `p50_ms`, `p99_ms`: from there to here, for every word.
    """
    found: list[float] = []
    async with targets(address, len(agent_ids)) as called, targets(watch_address or address, len(agent_ids)) as watched:
        streams = [
            _deltas(target, who, text, words, watching)
            for target, who, watching in zip(called, agent_ids, watched, strict=True)
        ]
        await asyncio.gather(*(_compare(stream, found) for stream in streams))
    return {"words": len(found), "p50_ms": percentile(found, 0.5), "p99_ms": percentile(found, 0.99)}


async def _compare(deltas: AsyncIterator[str], found: list[float]) -> None:
    async for piece in deltas:
        now_ns = time.monotonic_ns()
        found += [(now_ns - int(sent)) / 1e6 for sent in piece.split()]


async def event_delays(*, address: str, watch_address: str, agent_ids: Sequence[str], runs: int) -> dict[str, Any]:
    """So many runs of each agent, one after the other, accepted by one server and watched at the other.

    `p50_ms`, `p99_ms`: from the time that an event bears to its receipt, for those that happen while it is watched.
    """
    found: list[float] = []
    async with targets(address, len(agent_ids)) as called, targets(watch_address, len(agent_ids)) as watched:

        async def follow(target: Target, agent_id: str, watching: Target) -> None:
            for _ in range(runs):
                run = v1.Run.FromString(await target.accept(accept_body(agent_id)))
                found.extend(await _event_delays(watching, run.id))

        await asyncio.gather(*map(follow, called, agent_ids, watched))
    return {"events": len(found), "p50_ms": percentile(found, 0.5), "p99_ms": percentile(found, 0.99)}


async def _event_delays(watching: Target, run_id: str) -> list[float]:
    """Milliseconds. What was written before the first frame came is not counted."""
    found: list[float] = []
    since_ns = 0
    async for data in watching.watch(_watch_body(run_id)):
        now_ns = time.time_ns()
        event = v1.WatchRunResponse.FromString(data).event
        happened_ns = nanoseconds(event.event_time)
        if since_ns and happened_ns > since_ns:
            found.append((now_ns - happened_ns) / 1e6)
        since_ns = since_ns or now_ns
    return found


async def _deltas(
    target: Target, agent_id: str, text: str, words: int, watching: Target | None = None
) -> AsyncIterator[str]:
    """The pieces of one run's text. The run is accepted first; the bare server, for an empty `text`, needs no run."""
    request = v1.WatchRunRequest(run_id=agent_id, after_sequence=words)
    if text:
        run = v1.Run.FromString(await target.accept(accept_body(agent_id, text)))
        request = v1.WatchRunRequest(run_id=run.id, include_deltas=True)
    async for data in (watching or target).watch(request.SerializeToString()):
        frame = v1.WatchRunResponse.FromString(data)
        if frame.HasField("delta"):
            yield frame.delta.text
        elif frame.event.HasField("finished") and frame.event.finished.run.status != v1.RUN_STATUS_COMPLETED:
            raise RuntimeError(f"a run did not complete: {frame}")


class Watchers:
    """Watchers that are left open between two orders."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()

    async def open(self, *, address: str, run_ids: Sequence[str]) -> dict[str, Any]:
        """Watch these runs, over as many connections as it takes; returns when each has had its first frame."""
        connections = min(MOST_CONNECTIONS, len(run_ids) // WATCHERS_PER_CONNECTION + 1)
        called = await self._open.enter_async_context(targets(address, len(run_ids), connections))
        begun = time.perf_counter()
        gate = asyncio.Semaphore(OPENED_AT_ONCE)
        await asyncio.gather(*(self._watch(*who, gate) for who in zip(called, run_ids, strict=True)))
        return {"calls": len(run_ids), "seconds": time.perf_counter() - begun}

    async def _watch(self, target: Target, run_id: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            call = target.watch(_watch_body(run_id))
            self._open.callback(call.cancel)
            await call.read()

    async def close(self) -> dict[str, Any]:
        await self._open.aclose()
        return {}


def _watch_body(run_id: str) -> bytes:
    return v1.WatchRunRequest(run_id=run_id).SerializeToString()


WATCHERS = Watchers()
