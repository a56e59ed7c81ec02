"""All that the replicas tell at the end, read through the door."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sendoff import v1
from tests.chaos.cluster import Callers
from tests.chaos.jobs import JOB, LAST
from tests.faults.caller import Caller

_AT_ONCE = 16


def is_asked_for(key: str) -> bool:
    """Whether a run with that key has a request of its own, and does not only go on with another one."""
    return key.startswith((JOB, LAST))


@dataclass(frozen=True, slots=True)
class Told:
    """A run with its log and its messages."""

    run: v1.Run
    log: Sequence[v1.RunEvent]
    messages: Sequence[v1.Message]

    @property
    def lane(self) -> str:
        return self.run.conversation_id or self.run.agent_id

    @property
    def started(self) -> bool:
        return self.run.HasField("start_time")


@dataclass(frozen=True, slots=True)
class World:
    runs: Mapping[str, Told]
    """By id."""
    lanes: Mapping[str, Sequence[v1.Message]]
    """The messages of each conversation, oldest first."""

    def chain(self, run_id: str) -> list[Told]:
        """A run and those that continue it because of an answer or of a deadline, as far as they go."""
        followed = {
            told.run.continues_run_id: told for told in self.runs.values() if not is_asked_for(told.run.request_id)
        }
        chain = [self.runs[run_id]]
        while following := followed.get(chain[-1].run.id):
            chain.append(following)
        return chain

    def by_lane(self) -> dict[str, list[Told]]:
        """Of each conversation the runs that have started, as they did."""
        lanes: dict[str, list[Told]] = defaultdict(list)
        for told in self.runs.values():
            if told.started:
                lanes[told.lane].append(told)
        for lane in lanes.values():
            lane.sort(key=lambda told: told.run.start_time.ToNanoseconds())
        return lanes


async def read(callers: Callers) -> World:
    """Each run through another replica."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def told(run: v1.Run) -> Told:
        async with limit:
            caller = callers.any()
            return Told(await caller.get(run.id), await caller.log(run.id), await caller.messages(run.id))

    async def spoken(run: v1.Run) -> list[v1.Message]:
        async with limit:
            return await _messages_of(callers.any(), run.agent_id, run.conversation_id)

    runs = {each.run.id: each for each in await asyncio.gather(*map(told, await callers.balanced.list_all()))}
    one_each = {each.lane: each.run for each in runs.values()}
    lanes = zip(one_each, await asyncio.gather(*map(spoken, one_each.values())), strict=True)
    return World(runs, dict(lanes))


async def _messages_of(caller: Caller, agent_id: str, conversation_id: str) -> list[v1.Message]:
    messages: list[v1.Message] = []
    ask = v1.ListMessagesRequest(
        agent_id=agent_id, conversation_id=conversation_id or "default", order_by="position", page_size=1000
    )
    while True:
        page = await caller.conversations.ListMessages(ask, timeout=30)
        messages += page.messages
        if not page.next_page_token:
            return messages
        ask.page_token = page.next_page_token
