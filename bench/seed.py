"""A database with many finished runs in it, written through the store's own port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.load.target import TEXT
from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SystemClock
from sendoff_server.lifecycle import first_event, input_messages, lane_of, new_run
from sendoff_server.runs.accepting import fingerprint, keys_of
from sendoff_server.runs.draft import Draft
from sendoff_server.store.items import Accept, Item
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.store.sqlite.engine import SqliteStore

RUNS_PER_AGENT = 200
BATCH_RUNS = 250


async def seed(path: Path, runs: int) -> list[str]:
    """Write so many runs, each with its request, log, messages and key, into a new database; their ids."""
    written: list[str] = []
    async with SqliteStore(path, synchronous="NORMAL") as store:
        agents = [await _agent(store) for _ in range(-(-runs // RUNS_PER_AGENT))]
        for first in range(0, runs, BATCH_RUNS):
            places = range(first, min(first + BATCH_RUNS, runs))
            items = [item for number in places for item in _run(agents[number % len(agents)], number, len(agents))]
            await store.flush(items)
            written += [item.run.id for item in items if isinstance(item, Accept)]
    return written


async def _agent(store: SqliteStore) -> str:
    agent = v1.Agent(id=ids.new("agent"), name="bench", model="scripted/echo", etag="1")
    agent.create_time.GetCurrentTime()
    await store.create_agent(DEFAULT_TENANT, agent, None, b"")
    return agent.id


def _run(agent_id: str, number: int, agents: int) -> Iterator[Item]:
    """A run's accept, and all that came after it in one step."""
    clock = SystemClock()
    request = v1.CreateMessageAsyncRequest(
        agent_id=agent_id, input=v1.Content(text=TEXT), request_id=f"seed-{number:09d}"
    )
    run = new_run(request, request.request_id, clock.now_ns(), ids.new("run"))
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
    draft = Draft(run, clock)
    draft.start()
    for message in _messages(run, request, 1 + number // agents):
        draft.message(message)
    draft.end(v1.STOP_REASON_END_TURN)
    yield draft.progress(holds_lease=False)


def _messages(run: v1.Run, request: v1.CreateMessageAsyncRequest, seq: int) -> Sequence[v1.Message]:
    said = input_messages(run, request, seq)
    answer = v1.Message()
    answer.CopyFrom(said[0])
    answer.id = ids.new("message")
    answer.position += 1 << 10
    answer.assistant_message.content.text = TEXT
    return [*said, answer]
