"""Lanes: one run at a time, in order of acceptance; leases taken, handed on, given back."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store.items import Claim, Recorded, Release, Released
from sendoff_server.store.port import Store
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
    progress,
    run_to_end,
    start,
    turn,
)


async def test_runs_of_a_lane_come_in_order_of_acceptance(store: Store) -> None:
    lane = await new_lane(store)
    items = [accept(lane) for _ in range(5)]
    claim: Claim | None = await claim_of(store, items[0])
    await store.flush(items[1:])
    seen = []
    while claim is not None:
        seen.append((claim.seq, claim.run.id))
        claim = await run_to_end(store, claim)
    assert seen == [(turn(number), item.run.id) for number, item in enumerate(items, 1)]


async def test_a_finish_hands_the_lease_to_the_next_run_with_its_request(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second = accept(lane, request=b"second")
    await flush_one(store, second)
    following = await next_of(store, finish(claim))
    assert following is not None
    assert (following.lane, following.seq, following.run, following.request) == (lane, turn(2), second.run, b"second")


async def test_a_finish_hands_the_lease_to_a_run_accepted_in_the_same_batch(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second = accept(lane, request=b"second")
    _, recorded = await store.flush([second, finish(claim)])
    assert isinstance(recorded, Recorded)
    assert recorded.next is not None
    assert (recorded.next.run, recorded.next.request) == (second.run, b"second")


async def test_an_accept_behind_a_finish_in_one_batch_takes_the_lease_itself(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second = accept(lane)
    recorded, placed = await store.flush([finish(claim), second])
    assert recorded == Recorded(None)
    assert getattr(placed, "claim", None) is not None


async def test_two_steps_of_one_run_in_one_batch_are_both_written(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    first = start(claim)
    second = finish(after(claim, first))
    assert await store.flush([first, second]) == [Recorded(None), Recorded(None)]
    assert [event.sequence for event in await store.events(claim.run.id, 0, 10)] == [1, 2, 3]


async def test_nothing_of_a_held_lane_can_be_claimed(store: Store) -> None:
    lane = await new_lane(store)
    await claim_of(store, accept(lane))
    await flush_one(store, accept(lane))
    assert await store.claim(10) == []


async def test_a_lease_that_is_not_kept_goes_behind_those_that_wait(store: Store) -> None:
    ours, waiting = await new_lane(store), await new_lane(store)
    claim = await claim_of(store, accept(ours))
    second, other = accept(ours), accept(waiting, lease=False)
    await store.flush([second, other])
    assert await next_of(store, finish(claim, keep_lease=False)) is None
    assert [found.run.id for found in await store.claim(1)] == [other.run.id]
    assert [found.run.id for found in await store.claim(1)] == [second.run.id]
    assert await store.claim(1) == []


async def test_lanes_that_became_ready_in_one_batch_wait_in_its_order(store: Store) -> None:
    lanes = [await new_lane(store) for _ in range(5)]
    items = [accept(lane, lease=False) for lane in reversed(lanes)]
    await store.flush(items)
    assert [claim.run.id for claim in await store.claim(10)] == [item.run.id for item in items]


async def test_claim_takes_no_more_than_asked(store: Store) -> None:
    await store.flush([accept(await new_lane(store), lease=False) for _ in range(3)])
    assert [len(await store.claim(2)) for _ in range(3)] == [2, 1, 0]


async def test_a_released_lane_can_be_claimed_with_its_run_as_it_is(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    started = start(claim)
    assert await store.flush([started, Release(lane, keep_lease=False)]) == [Recorded(None), Released(None)]
    (again,) = await store.claim(10)
    assert (again.run, again.seq, again.request) == (started.run, turn(1), b"request")


async def test_a_release_that_keeps_the_lease_goes_on_with_the_head(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    started = start(claim)
    await flush_one(store, started)
    released = await flush_one(store, Release(lane, keep_lease=True))
    assert isinstance(released, Released)
    assert released.next == after(claim, started)
    assert await store.claim(10) == []


async def test_a_release_of_a_lane_without_runs_frees_it(store: Store) -> None:
    """The head was ended from outside while we held its lease."""
    lane = await new_lane(store)
    item = accept(lane)
    await claim_of(store, item)
    await flush_one(store, cancel_queued(item))
    second = accept(lane)
    assert getattr(await flush_one(store, second), "claim", None) is None, "the lease is still ours"
    released = await flush_one(store, Release(lane, keep_lease=True))
    assert isinstance(released, Released)
    assert released.next is not None
    assert released.next.run == second.run


async def test_a_lane_that_is_not_ours_is_not_released(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        await claim_of(one, accept(lane))
        assert await flush_one(two, Release(lane, keep_lease=False)) == Released(None)
        assert await flush_one(one, Release("agent-of-nobody", keep_lease=True)) == Released(None)
        assert await two.claim(10) == []


async def test_who_does_not_hold_the_lease_cannot_execute(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    await flush_one(store, Release(lane, keep_lease=False))
    assert type(await flush_one(store, start(claim))).__name__ == "Outdated"
    (again,) = await store.claim(1)
    assert await flush_one(store, start(again)) == Recorded(None)


async def test_the_holder_of_a_lane_executes_its_head_only(store: Store) -> None:
    lane = await new_lane(store)
    await claim_of(store, accept(lane))
    second = accept(lane)
    await flush_one(store, second)
    assert type(await flush_one(store, progress(lane, second.run))).__name__ == "Outdated"


async def test_leaving_gives_the_leases_back(database: Database) -> None:
    async with database.replica() as one:
        lane = await new_lane(one)
        claim = await claim_of(one, accept(lane))
        started = start(claim)
        await flush_one(one, started)
    async with database.replica() as two:
        assert await two.claim(10) == [after(claim, started)]


async def test_two_replicas_never_claim_the_same_lane(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        items = [accept(await new_lane(one), lease=False) for _ in range(20)]
        await one.flush(items)
        claims = [*await one.claim(7), *await two.claim(7), *await one.claim(20), *await two.claim(20)]
    assert sorted(claim.run.id for claim in claims) == sorted(item.run.id for item in items)


async def test_runs_cancelled_while_queued_are_skipped(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    queued = [accept(lane) for _ in range(4)]
    await store.flush(queued)
    await store.flush([cancel_queued(queued[0]), cancel_queued(queued[2])])
    following = await next_of(store, finish(claim))
    assert following is not None
    assert following.run == queued[1].run
    assert (last := await run_to_end(store, following)) is not None
    assert last.run == queued[3].run
    assert await run_to_end(store, last) is None


async def test_a_cancel_in_front_of_the_finish_that_would_start_it_wins(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second, third = accept(lane), accept(lane)
    await store.flush([second, third])
    _, recorded = await store.flush([cancel_queued(second), finish(claim)])
    assert isinstance(recorded, Recorded)
    assert recorded.next is not None
    assert recorded.next.run == third.run


async def test_a_cancel_behind_the_finish_that_started_it_leaves_the_lease_where_it_is(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second, third = accept(lane), accept(lane)
    await store.flush([second, third])
    recorded, _ = await store.flush([finish(claim), cancel_queued(second)])
    assert isinstance(recorded, Recorded)
    assert recorded.next is not None
    assert type(await flush_one(store, start(recorded.next))).__name__ == "Outdated"
    released = await flush_one(store, Release(lane, keep_lease=True))
    assert isinstance(released, Released)
    assert released.next is not None
    assert released.next.run == third.run


async def test_many_ends_of_one_lane_in_one_batch_leave_the_right_head(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    queued = [accept(lane) for _ in range(300)]
    await store.flush(queued)
    results = await store.flush([*(cancel_queued(item) for item in queued[:299]), finish(claim)])
    assert isinstance(results[-1], Recorded)
    assert results[-1].next is not None
    assert results[-1].next.run == queued[299].run
    assert await next_of(store, finish(results[-1].next)) is None
    assert queued[0].run.status == v1.RUN_STATUS_CREATED
