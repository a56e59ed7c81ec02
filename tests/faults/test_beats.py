"""Beats: a replica that could not reach the store does not hold it against the others, and knows when to hold back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from sendoff_server.meter import Unmetered, UnmeteredWork
from sendoff_server.runs.beating import Beating
from sendoff_server.runs.presence import Presence
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Fenced, Store, StoreFailed
from tests.fixtures.clock import ManualClock

BEAT_S, LEASE_S, SURE_S = 2.0, 10.0, 7.0


class BeatenStore:
    def __init__(self) -> None:
        self.away = False
        self.dead = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.reaps_end = asyncio.Event()
        self.reaps_end.set()
        self.begun = 0
        self.beats = 0
        self.reaps = 0
        self.silent = 0

    async def beat(self) -> None:
        self.begun += 1
        await self.answers.wait()
        if self.away:
            raise StoreFailed("away")
        if self.dead:
            raise Fenced("declared dead")
        self.beats += 1

    async def reap(self, lease_s: float) -> int:
        self.reaps += 1
        await self.reaps_end.wait()
        gone, self.silent = self.silent, 0
        return gone


class Idle:
    """Of the group commit what beats ask of it."""

    failing = False


class Work(UnmeteredWork):
    """Remembers how many replicas were found dead."""

    def __init__(self) -> None:
        self.dead: list[int] = []

    def freed(self, replicas: int) -> None:
        self.dead.append(replicas)


class Failures(Unmetered):
    """Remembers what failed."""

    def __init__(self) -> None:
        self.doing: list[str] = []

    def failed(self, doing: str) -> None:
        self.doing.append(doing)


class Replica:
    def __init__(self) -> None:
        self.work, self.failures = Work(), Failures()
        self.store, self.clock = BeatenStore(), ManualClock()
        self.presence = Presence(self.clock, SURE_S)
        self.serving: list[bool] = []
        self.freed = 0

    def beating(self) -> Beating:
        store, idle = cast(Store, self.store), cast(GroupCommit, Idle())
        return Beating(
            store,
            idle,
            self.presence,
            self._tell,
            self._count_freed,
            self.clock,
            beat_s=BEAT_S,
            lease_s=LEASE_S,
            work=self.work,
            meter=self.failures,
        )

    def _count_freed(self) -> None:
        self.freed += 1

    async def _tell(self, serving: bool) -> None:
        self.serving.append(serving)


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    """Has beaten once."""
    made = Replica()
    async with made.beating().running():
        await asyncio.sleep(0)
        await made.clock.advance(0)
        assert (made.store.beats, made.serving) == (1, [True])
        yield made


async def test_after_the_store_was_away_others_get_a_lease_to_show_that_they_are_alive(replica: Replica) -> None:
    store, clock = replica.store, replica.clock
    assert store.reaps == 1, "a server that starts looks at once"
    store.away = True
    await clock.advance(BEAT_S)
    assert replica.serving[-1] is False
    store.away = False
    waited_s = 0.0
    while waited_s + BEAT_S < LEASE_S:
        await clock.advance(BEAT_S)
        waited_s += BEAT_S
        assert (store.reaps, replica.serving[-1]) == (1, True)
    await clock.advance(BEAT_S)
    assert store.reaps == 2


async def test_a_beat_that_is_not_answered_is_told_before_it_fails(replica: Replica) -> None:
    replica.store.answers.clear()
    await replica.clock.advance(BEAT_S)
    assert replica.serving[-1] is True
    await replica.clock.advance(BEAT_S)
    assert replica.serving[-1] is False
    replica.store.answers.set()
    await replica.clock.advance(0)
    assert replica.serving[-1] is True


async def test_one_that_failed_late_is_followed_by_the_next_at_once(replica: Replica) -> None:
    replica.store.answers.clear()
    await replica.clock.advance(BEAT_S)
    await replica.clock.advance(BEAT_S)
    replica.store.away = True
    replica.store.answers.set()
    await replica.clock.advance(0)
    assert replica.store.begun == 3
    await replica.clock.advance(BEAT_S - 0.01)
    assert replica.store.begun == 3, "one that failed at once is not"


async def test_beats_go_on_while_dead_replicas_are_being_cleared_away(replica: Replica) -> None:
    replica.store.reaps_end.clear()
    for beats in range(2, 8):
        await replica.clock.advance(BEAT_S)
        assert replica.store.beats == beats
    assert replica.store.reaps == 2, "one look at a time"


async def test_what_dead_replicas_held_is_looked_for_at_once_when_it_is_free(replica: Replica) -> None:
    await replica.clock.advance(BEAT_S)
    assert (replica.store.reaps, replica.freed) == (2, 0)
    replica.store.silent = 1
    await replica.clock.advance(BEAT_S)
    assert (replica.store.reaps, replica.freed) == (3, 1)
    await replica.clock.advance(BEAT_S)
    assert replica.freed == 1


async def test_calls_are_held_from_seven_seconds_without_a_beat_until_the_next_one(replica: Replica) -> None:
    replica.store.answers.clear()
    await replica.clock.advance(SURE_S - 0.01)
    await asyncio.wait_for(replica.presence.sure(), 1)
    await replica.clock.advance(0.01)
    calls = [asyncio.create_task(replica.presence.sure()) for _ in range(2)]
    await replica.clock.advance(3_600)
    assert not any(call.done() for call in calls)
    replica.store.answers.set()
    await replica.clock.advance(0)
    # The beat that was answered now was begun an hour ago: only the next one tells that the lease is there still.
    await replica.clock.advance(BEAT_S)
    await asyncio.wait_for(asyncio.gather(*calls), 1)


async def test_a_process_that_stood_still_begins_nothing_before_it_was_heard_of(replica: Replica) -> None:
    await replica.clock.advance(0)
    replica.clock._monotonic += 60  # what it finds on the stopwatch when it wakes, before any of its alarms went off
    call = asyncio.create_task(replica.presence.sure())
    await asyncio.sleep(0)
    assert not call.done()
    await replica.clock.advance(0)
    await asyncio.wait_for(call, 1)


async def test_whoever_was_declared_dead_ends_and_lets_no_call_begin() -> None:
    made = Replica()
    with pytest.RaisesGroup(pytest.RaisesExc(Fenced)):
        async with made.beating().running():
            await asyncio.sleep(0)
            await made.clock.advance(0)
            made.store.dead = True
            await made.clock.advance(SURE_S)
            await made.presence.sure()
    assert not made.presence.is_sure


async def test_beats_that_fail_and_replicas_that_are_dead_are_counted(replica: Replica) -> None:
    replica.store.silent = 2
    await replica.clock.advance(BEAT_S)
    assert (replica.work.dead, replica.failures.doing) == ([2], [])
    replica.store.away = True
    await replica.clock.advance(BEAT_S)
    assert (replica.work.dead, replica.failures.doing) == ([2], ["beat"])
