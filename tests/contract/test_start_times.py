"""Runs that may not start yet: nobody gets them before their time, and their conversation keeps its order."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from sendoff_server.store.items import Cancel, Claim, MarkCancel, NothingPending, Recorded, Release, Released
from sendoff_server.store.port import Store
from sendoff_server.store.questions import Queued
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    after,
    cancel_queued,
    claim_of,
    finish,
    flush_one,
    new_lane,
    next_of,
    pending,
    placed,
    start,
    stop,
    stopped,
    waiting,
)

TENANT = "default"
FAR = 1 << 62


async def _claimed(store: Store) -> list[str]:
    return [claim.run.id for claim in await store.claim(10)]


@pytest.mark.parametrize("lease", [True, False])
async def test_a_run_is_not_handed_out_before_its_time(store: Store, database: Database, lease: bool) -> None:
    item = accept(await new_lane(store), lease=lease, start_ns=FAR)
    assert (await placed(store, item)).claim is None
    assert await store.claim(10) == []
    assert await store.queued(item.run.id) == Queued(0, None, "", FAR)

    database.let_start_times_come()
    assert await _claimed(store) == [item.run.id]
    assert await store.claim(10) == []


async def test_a_time_that_has_passed_is_met_at_once(store: Store) -> None:
    item = accept(await new_lane(store), start_ns=1)
    assert (await claim_of(store, item)).run == item.run


async def test_the_next_start_time_is_told_until_it_has_come(store: Store, database: Database) -> None:
    assert await store.next_start_s() is None
    now_ns = time.time_ns()
    later, first = [accept(await new_lane(store), start_ns=now_ns + span_s * 10**9) for span_s in (2_000, 1_000)]
    await store.flush([later, first])
    assert 900 < (await store.next_start_s() or 0) <= 1_000
    await flush_one(store, cancel_queued(first))
    assert 1_900 < (await store.next_start_s() or 0) <= 2_000

    database.let_start_times_come()
    assert (await store.next_start_s() or 1) <= 0, "it has come"
    assert await _claimed(store) == [later.run.id]
    assert await store.next_start_s() is None


async def test_later_runs_of_the_conversation_wait_behind_it(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    first, second = accept(lane, start_ns=FAR), accept(lane)
    await store.flush([first, second])
    assert await store.claim(10) == []
    assert await store.queued(second.run.id) == Queued(1, first.run.id)

    database.let_start_times_come()
    (claim,) = await store.claim(10)
    assert claim.run == first.run
    following = await next_of(store, finish(claim))
    assert following is not None
    assert following.run == second.run


async def test_the_time_is_kept_over_a_restart(database: Database) -> None:
    async with database.replica() as store:
        item = accept(await new_lane(store), start_ns=FAR)
        await flush_one(store, item)
    async with database.replica() as store:
        assert await store.claim(10) == []
        database.let_start_times_come()
        assert await _claimed(store) == [item.run.id]


async def test_a_lane_is_not_handed_on_to_a_run_whose_time_has_not_come(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    await flush_one(store, item := accept(lane, start_ns=FAR))
    assert await next_of(store, finish(claim)) is None
    assert await store.claim(10) == []
    assert await flush_one(store, Release(lane, keep_lease=True)) == Released(None), "the lease is nobody's"

    database.let_start_times_come()
    assert await _claimed(store) == [item.run.id]


async def test_a_replica_that_is_gone_leaves_a_run_that_may_not_start_alone(database: Database) -> None:
    """Its head was ended from outside, and before it could let go of the lane it was gone."""
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        await claim_of(one, head := accept(lane))
        await flush_one(one, item := accept(lane, start_ns=FAR))
        await flush_one(one, cancel_queued(head))
        database.age_beats(60)
        await two.beat()
        assert await two.reap(10) == 1
        assert await two.claim(10) == []
        database.let_start_times_come()
        assert await _claimed(two) == [item.run.id]


async def test_a_run_that_had_started_is_taken_over_whatever_its_time_was(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        claim = await claim_of(one, accept(lane, start_ns=1))
        await flush_one(one, started := start(claim))
        database.age_beats(60)
        await two.beat()
        await two.reap(10)
        assert await two.claim(10) == [after(claim, started)]


async def test_what_waits_behind_goes_on_once_it_was_cancelled(store: Store) -> None:
    lane = await new_lane(store)
    first, second = accept(lane, start_ns=FAR), accept(lane)
    await store.flush([first, second])
    assert await flush_one(store, cancel_queued(first)) == Recorded(None)
    assert await _claimed(store) == [second.run.id]


async def test_one_behind_another_that_may_not_start_waits_for_its_own_time(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    first, second = accept(lane, start_ns=FAR), accept(lane, start_ns=FAR + 1)
    await store.flush([first, second])
    await flush_one(store, cancel_queued(first))
    assert await store.claim(10) == []
    database.let_start_times_come()
    assert await _claimed(store) == [second.run.id]


async def test_a_run_that_is_to_be_cancelled_need_not_wait_for_its_time(store: Store) -> None:
    lane = await new_lane(store)
    await flush_one(store, item := accept(lane, start_ns=FAR))
    cancel = Cancel(reason="enough")
    await flush_one(store, MarkCancel(TENANT, item.run.id, cancel))
    assert [(claim.run, claim.cancel_wanted) for claim in await store.claim(10)] == [(item.run, cancel)]


async def test_a_run_that_is_superseded_need_not_wait_for_its_time(store: Store) -> None:
    lane = await new_lane(store)
    cancel = Cancel(reason="newer", superseded=True)
    first, second = accept(lane, start_ns=FAR), accept(lane, supersedes=cancel)
    await store.flush([first, second])
    assert [(claim.run, claim.cancel_wanted) for claim in await store.claim(10)] == [(first.run, cancel)]


async def test_answers_are_taken_while_the_next_run_waits_for_its_time(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, later := accept(lane, start_ns=FAR))
    assert await pending(store) == ["call-1"]

    continuing = replace(accept(lane), continues=first.id)
    claim = (await placed(store, continuing)).claim
    assert claim is not None
    assert claim.run == continuing.run
    database.let_start_times_come()
    assert await next_of(store, replace(finish(claim), settles=True)) is not None
    assert await store.queued(later.run.id) is not None


async def test_a_run_whose_time_comes_waits_for_answers_if_it_is_to(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, item := replace(waiting(lane), start_ns=FAR))
    database.let_start_times_come()
    assert await store.claim(10) == []
    queued = await store.queued(item.run.id)
    assert queued is not None
    assert queued.paused_by == first.id


async def test_a_run_that_settles_what_is_pending_does_so_when_its_time_comes(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, item := accept(lane, start_ns=FAR))
    assert await store.claim(10) == []
    database.let_start_times_come()
    assert [(claim.run, claim.paused_by) for claim in await store.claim(10)] == [(item.run, first.id)]
    assert await pending(store) == []


async def test_a_lane_that_stops_for_actions_waits_for_them_though_a_run_behind_waits_for_its_time(
    store: Store,
) -> None:
    lane = await new_lane(store)
    claim: Claim = await claim_of(store, accept(lane))
    await flush_one(store, accept(lane, start_ns=FAR))
    assert await next_of(store, stop(claim)) is None
    assert await pending(store) == ["call-1"]
    continuing = replace(accept(lane), continues=claim.run.id)
    await flush_one(store, continuing)
    again = replace(accept(lane), continues=claim.run.id)
    assert await flush_one(store, again) == NothingPending()
