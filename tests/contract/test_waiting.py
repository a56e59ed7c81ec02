"""Lanes that wait for answers: who is held, who goes on, who is refused; and runs that others supersede."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store.items import Busy, Cancel, Claim, MarkCancel, Marked, Pending, Placed, Release, Released
from sendoff_server.store.port import Store
from sendoff_server.store.questions import Queued, RunQuery
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
    progress,
    run_to_end,
    settle,
    start,
    stop,
    stopped,
    stored,
    waiting,
)

TENANT = "default"
FAR = 1 << 62


# ---- held ----


async def test_a_run_that_waits_is_not_leased_while_something_is_pending(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    for lease in (True, False):
        item = waiting(lane, lease=lease)
        assert await flush_one(store, item) == Placed(item.run, None)
        assert await store.claim(10) == []
    assert await store.queued(item.run.id) == Queued(1, (await _head(store, lane)).id, first.id)


async def test_a_run_that_waits_is_leased_when_nothing_is_pending(store: Store) -> None:
    lane = await new_lane(store)
    item = waiting(lane)
    claim = await claim_of(store, item)
    assert (claim.run, claim.paused_by) == (item.run, "")


async def test_a_lane_is_not_handed_to_a_run_that_waits(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    await flush_one(store, waiting(lane))
    assert await next_of(store, stop(claim)) is None
    assert await store.claim(10) == []
    assert await flush_one(store, Release(lane, keep_lease=True)) == Released(None)


async def test_a_lane_whose_head_waits_is_free_once_the_head_has_ended(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    head, second = waiting(lane), accept(lane)
    await store.flush([head, second])
    assert await store.claim(10) == []
    await flush_one(store, cancel_queued(head))
    assert [(claim.run, claim.paused_by) for claim in await store.claim(10)] == [(second.run, first.id)]


async def test_a_run_that_waits_and_is_to_be_cancelled_waits_no_more(store: Store) -> None:
    lane = await new_lane(store)
    await stopped(store, lane)
    await flush_one(store, item := waiting(lane))
    cancel = Cancel(reason="enough", rollback=True)
    assert await flush_one(store, MarkCancel(TENANT, item.run.id, cancel)) == Marked(item.run)
    assert [(claim.run, claim.cancel_wanted) for claim in await store.claim(10)] == [(item.run, cancel)]


async def test_runs_that_wait_come_in_order_behind_the_run_that_settles(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    items = [waiting(lane), accept(lane), waiting(lane)]
    await store.flush(items)
    answer = await claim_of(store, accept(lane, continues=first.id))
    await flush_one(store, started := settle(answer))
    following = await next_of(store, finish(after(answer, started)))
    for item in items:
        assert following is not None
        assert (following.run, following.paused_by) == (item.run, "")
        following = await run_to_end(store, following)
    assert following is None


async def test_a_lane_that_waits_stays_so_across_replicas(database: Database) -> None:
    async with database.replica() as one:
        lane = await new_lane(one)
        claim = await claim_of(one, accept(lane))
        head, waits = accept(lane), waiting(lane)
        await one.flush([head, waits, stop(claim)])
        # The replica leaves with the lease of a lane whose head has been ended from outside.
        await flush_one(one, cancel_queued(head))
    async with database.replica() as two:
        assert await two.claim(10) == []
        assert await pending(two) == ["call-1"]
        answer = await claim_of(two, accept(lane, continues=claim.run.id))
        await flush_one(two, settle(answer))
    async with database.replica() as three:
        (again,) = await three.claim(10)
        assert (again.run.id, again.paused_by) == (answer.run.id, "")
        following = await next_of(three, finish(again))
        assert following is not None
        assert following.run == waits.run


# ---- refused, superseded ----


async def test_a_lane_that_waits_for_answers_refuses_and_names_the_run(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    for item in (accept(lane, reject_if_pending=True), accept(lane, reject_if_pending=True, reject_if_busy=True)):
        assert await flush_one(store, item) == Pending(first.id)
        assert await stored(store, item.run.id) is None
    await flush_one(store, waits := waiting(lane))
    assert await flush_one(store, accept(lane, reject_if_pending=True)) == Pending(first.id)
    assert await flush_one(store, accept(lane, reject_if_busy=True)) == Busy(waits.run.id)


async def test_a_lane_where_nothing_is_pending_does_not_refuse(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane, reject_if_pending=True))
    assert isinstance(await flush_one(store, accept(lane, reject_if_pending=True)), Placed)
    await flush_one(store, finish(claim))


async def test_a_run_that_supersedes_marks_all_that_have_not_ended(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    queued = [accept(lane) for _ in range(4)]
    await store.flush([*queued, start(claim), cancel_queued(queued[1])])
    await flush_one(store, MarkCancel(TENANT, queued[2].run.id, Cancel(reason="earlier")))
    cancel = Cancel(reason="newer", superseded=True, rollback=True)
    item = accept(lane, supersedes=cancel)
    result = await placed(store, item)
    assert result.superseded == [claim.run.id, queued[0].run.id, queued[3].run.id]
    await flush_one(store, Release(lane, keep_lease=False))
    marks = []
    following: Claim | None = (await store.claim(1))[0]
    while following is not None:
        marks.append(following.cancel_wanted)
        following = await next_of(store, finish(following))
    assert marks == [cancel, cancel, Cancel(reason="earlier"), cancel, None]


async def test_runs_of_the_same_batch_are_superseded_too(store: Store) -> None:
    lane = await new_lane(store)
    cancel = Cancel(reason="newer", superseded=True)
    first, second, third = accept(lane), accept(lane), accept(lane, supersedes=cancel)
    results = await store.flush([first, second, third])
    assert isinstance(results[2], Placed)
    assert results[2].superseded == [first.run.id, second.run.id]
    following = await next_of(store, progress(lane, first.run, v1.RUN_STATUS_CANCELLED))
    assert following is not None
    assert (following.run, following.cancel_wanted) == (second.run, cancel)


async def test_a_superseded_run_that_waits_is_claimed_to_be_ended(store: Store) -> None:
    lane = await new_lane(store)
    first = await stopped(store, lane)
    await flush_one(store, waits := waiting(lane))
    cancel = Cancel(reason="newer", superseded=True)
    item = accept(lane, supersedes=cancel)
    assert (await placed(store, item)).superseded == [waits.run.id]
    (claim,) = await store.claim(10)
    assert (claim.run, claim.cancel_wanted) == (waits.run, cancel)
    following = await next_of(store, progress(lane, claim.run, v1.RUN_STATUS_CANCELLED))
    assert following is not None
    assert (following.run, following.paused_by) == (item.run, first.id)


async def test_nothing_is_superseded_in_an_idle_lane(store: Store) -> None:
    lane = await new_lane(store)
    await run_to_end(store, await claim_of(store, accept(lane)))
    result = await placed(store, accept(lane, supersedes=Cancel(reason="newer", superseded=True)))
    assert list(result.superseded) == []
    assert result.claim is not None
    assert result.claim.cancel_wanted is None


async def _head(store: Store, lane: str) -> v1.Run:
    return (await store.list_runs(RunQuery(tenant=TENANT, lane=lane, active=True, newest_first=False)))[0]
