"""A database with many finished runs in it, written through the store's own port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from bench.load.target import TEXT
from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SystemClock
from sendoff_server.lifecycle import first_event, input_messages, lane_of, new_run
from sendoff_server.runs.accepting import fingerprint, keys_of
from sendoff_server.runs.draft import Draft
from sendoff_server.store.items import Accept, Claim, Item, Outdated, Progress
from sendoff_server.store.port import DEFAULT_TENANT, TURN_SHIFT, Poisoned, Store

BATCH_RUNS = 250
AGENTS_AT_ONCE = 8


async def new_agents(store: Store, count: int) -> list[str]:
    """Ids of that many new agents."""
    gate = asyncio.Semaphore(AGENTS_AT_ONCE)

    async def one() -> str:
        agent = v1.Agent(id=ids.new("agent"), name="bench", model="scripted/echo", etag="1")
        agent.create_time.GetCurrentTime()
        async with gate:
            await store.create_agent(DEFAULT_TENANT, agent, None, b"")
        return agent.id

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def seed(store: Store, agents: Sequence[str], runs: int) -> list[str]:
    """Write so many runs of new agents, agent after agent, each with its request, log, messages and key; their ids."""
    written: list[str] = []
    for first in range(0, runs, BATCH_RUNS):
        places = range(first, min(first + BATCH_RUNS, runs))
        items = [item for number in places for item in _run(agents[number % len(agents)], number, len(agents))]
        await write(store, items)
        written += [item.run.id for item in items if isinstance(item, Accept)]
    return written


async def write(store: Store, items: Sequence[Item]) -> None:
    """Raises RuntimeError if one of them can not be written."""
    for result in await store.flush(items):
        if isinstance(result, Poisoned | Outdated):
            raise RuntimeError(f"not written: {result}")


async def queue(store: Store, agents: Sequence[str], number: int) -> None:
    """Write one run of each, which waits for a replica. So many runs were written before."""
    await write(store, [next(_run(agent, number + place, len(agents))) for place, agent in enumerate(agents)])


def ended(claim: Claim) -> Progress:
    """All that comes after a claim, in one step."""
    request = v1.CreateMessageAsyncRequest.FromString(claim.request)
    return _progress(claim.run, request, claim.seq, holds_lease=True)


def _run(agent_id: str, number: int, agents: int) -> Iterator[Item]:
    """A run's accept, and all that came after it in one step."""
    request = v1.CreateMessageAsyncRequest(
        agent_id=agent_id, input=v1.Content(text=TEXT), request_id=f"seed-{number:09d}"
    )
    run = new_run(request, request.request_id, SystemClock().now_ns(), ids.new("run"))
    event = first_event(run)
    yield Accept(
        tenant=DEFAULT_TENANT,
        lane=lane_of(run),
        run=run,
        request=request.SerializeToString(),
        event=event,
        keys=keys_of(request, run.request_id, lane_of(run)),
        fingerprint=fingerprint(request),
        lease=False,
        reject_if_busy=False,
        max_open=BATCH_RUNS,
    )
    yield _progress(run, request, 1 + number // agents << TURN_SHIFT, holds_lease=False)


def _progress(run: v1.Run, request: v1.CreateMessageAsyncRequest, seq: int, *, holds_lease: bool) -> Progress:
    draft = Draft(run, SystemClock())
    draft.start()
    for message in _messages(run, request, seq):
        draft.message(message)
    draft.end(v1.STOP_REASON_END_TURN)
    return draft.progress(holds_lease=holds_lease)


def _messages(run: v1.Run, request: v1.CreateMessageAsyncRequest, seq: int) -> Sequence[v1.Message]:
    said = input_messages(run, request, seq)
    answer = v1.Message()
    answer.CopyFrom(said[0])
    answer.id = ids.new("message")
    answer.position += 1 << 10
    answer.assistant_message.content.text = TEXT
    return [*said, answer]
