"""The quota of runs that have not ended: never past it in one process, found free again soon, and cheap to ask."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from sendoff_server.admission.open_runs import AGAIN_S, SHARED_S, OpenRuns
from sendoff_server.errors import QuotaExceeded
from tests.fixtures.clock import ManualClock


class Counting:
    """A store that counts, once it is let."""

    def __init__(self) -> None:
        self.open = 0
        self.asked = 0
        self.may = asyncio.Event()
        self.may.set()
        self.fails = False

    async def count_open(self, tenant: str, most: int) -> int:
        self.asked += 1
        counted = self.open
        await self.may.wait()
        if self.fails:
            raise ConnectionError
        return min(counted, most)


async def _accept(runs: OpenRuns, store: Counting, most: int) -> bool:
    try:
        async with runs.one_more("acme", most):
            await asyncio.sleep(0)
            store.open += 1
    except QuotaExceeded:
        return False
    return True


async def test_however_many_come_at_once_there_are_never_more_than_the_quota() -> None:
    store, clock = Counting(), ManualClock()
    store.open = 3
    runs = OpenRuns(store, clock, shared=False)
    accepted = await asyncio.gather(*(_accept(runs, store, 10) for _ in range(50)))
    assert (sum(accepted), store.open, store.asked) == (7, 10, 1)


async def test_what_has_ended_makes_room_after_a_moment_and_not_before() -> None:
    store, clock = Counting(), ManualClock()
    runs = OpenRuns(store, clock, shared=False)
    assert [await _accept(runs, store, 2) for _ in range(3)] == [True, True, False]
    store.open = 1
    assert not await _accept(runs, store, 2)
    await clock.advance(AGAIN_S)
    assert [await _accept(runs, store, 2) for _ in range(2)] == [True, False]


async def test_what_is_on_its_way_while_it_is_counted_counts() -> None:
    store, clock = Counting(), ManualClock()
    runs = OpenRuns(store, clock, shared=False)
    async with AsyncExitStack() as held:
        await held.enter_async_context(runs.one_more("acme", 2))
        await held.enter_async_context(runs.one_more("acme", 2))
        await clock.advance(AGAIN_S)
        assert not await _accept(runs, store, 2)  # the store has neither of the two
    assert store.asked == 2


async def test_below_the_quota_a_process_that_is_alone_asks_once_and_others_now_and_then() -> None:
    for shared, asked in ((False, 1), (True, 3)):
        store, clock = Counting(), ManualClock()
        runs = OpenRuns(store, clock, shared=shared)
        for _ in range(3):
            assert await _accept(runs, store, 100)
            assert await _accept(runs, store, 100)
            await clock.advance(SHARED_S)
        assert store.asked == asked


async def test_a_count_that_fails_is_told_to_all_who_wait_and_made_again_for_the_next() -> None:
    store, clock = Counting(), ManualClock()
    runs = OpenRuns(store, clock, shared=False)
    store.fails = True
    told = await asyncio.gather(*(_accept(runs, store, 5) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in told] == [ConnectionError] * 2
    store.fails = False
    assert await _accept(runs, store, 5)


async def test_a_count_goes_on_for_others_when_who_began_it_goes_away() -> None:
    store, clock = Counting(), ManualClock()
    store.may.clear()
    runs = OpenRuns(store, clock, shared=False)
    first = asyncio.create_task(_accept(runs, store, 5))
    second = asyncio.create_task(_accept(runs, store, 5))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    store.may.set()
    assert await second
    assert store.asked == 1
