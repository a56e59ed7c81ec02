"""Progress: guarded by the sequence before, final once ended; cancels noted durably."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sendoff import v1
from sendoff_server.store.items import Cancel, MarkCancel, Marked, Outdated, Recorded, Release
from sendoff_server.store.port import POSITION_SHIFT, Poisoned, Store
from tests.contract.databases import Database
from tests.contract.making import (
    ENDED,
    accept,
    after,
    cancel_queued,
    claim_of,
    event,
    finish,
    flush_one,
    message,
    new_lane,
    next_of,
    progress,
    run_to_end,
    start,
    stored,
)

TENANT = "default"


async def test_a_step_forward_is_the_new_state_of_the_run(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    started = start(claim)
    assert await flush_one(store, started) == Recorded(None)
    assert await stored(store, claim.run.id) == started.run


async def test_a_step_forward_from_another_state_writes_nothing(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    started = start(claim, texts=["once"])
    await flush_one(store, started)
    for stale in (started, replace(started, after_sequence=7)):
        assert await flush_one(store, stale) == Outdated(started.run)
    assert [found.sequence for found in await store.events(claim.run.id, 0, 10)] == [1, 2]
    assert len(await store.run_messages(claim.run.id, -1, 10)) == 1


async def test_the_same_step_twice_in_one_batch_is_written_once(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    started = start(claim)
    assert await store.flush([started, started]) == [Recorded(None), Outdated(started.run)]


@pytest.mark.parametrize("status", ENDED)
async def test_a_run_that_has_ended_never_changes(store: Store, status: v1.RunStatus.ValueType) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    ended = progress(lane, claim.run, status)
    assert await flush_one(store, ended) == Recorded(None)
    for late in (progress(lane, ended.run), progress(lane, ended.run, holds_lease=False), finish(claim)):
        assert await flush_one(store, late) == Outdated(ended.run)
    assert await stored(store, claim.run.id) == ended.run
    assert [found.sequence for found in await store.events(claim.run.id, 0, 10)] == [1, 2]


async def test_a_step_of_a_run_that_does_not_exist_is_outdated(store: Store) -> None:
    lane = await new_lane(store)
    assert await flush_one(store, progress(lane, v1.Run(id="run-of-nobody", last_sequence=1))) == Outdated(None)
    await run_to_end(store, claim := await claim_of(store, accept(lane)))
    await store.delete_agent(TENANT, lane)
    assert await flush_one(store, finish(claim)) == Outdated(None)


@pytest.mark.parametrize("sequences", [[2], [2, 4], [3, 2], [2, 3, 4], []])
async def test_a_step_that_would_leave_a_gap_in_the_log_is_refused(store: Store, sequences: list[int]) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    step = progress(claim.lane, claim.run, events=2)
    broken = replace(step, events=[event(step.run, sequence) for sequence in sequences])
    assert isinstance(await flush_one(store, broken), Poisoned)
    assert await stored(store, claim.run.id) == claim.run
    assert await flush_one(store, step) == Recorded(None)


async def test_a_message_outside_of_its_runs_positions_is_refused(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    stray = message(claim.run, (claim.seq + 1) << POSITION_SHIFT)
    assert isinstance(await flush_one(store, replace(start(claim), messages=[stray])), Poisoned)
    assert await flush_one(store, start(claim)) == Recorded(None)


async def test_a_step_with_a_known_index_is_written_over(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    steps = [v1.Step(id=f"step-{number}", index=index) for number, index in enumerate((0, 1, 1))]
    for step in steps:
        done = progress(claim.lane, claim.run, step=step)
        await flush_one(store, done)
        claim = after(claim, done)
    assert await store.steps(claim.run.id) == [steps[0], steps[2]]


async def test_ending_a_queued_run_leaves_the_lease_alone(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second = accept(lane)
    await flush_one(store, second)
    assert await flush_one(store, cancel_queued(second)) == Recorded(None)
    assert await store.claim(10) == []
    assert await next_of(store, finish(claim)) is None


async def test_ending_the_only_waiting_run_leaves_nothing_to_claim(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, lease=False)
    await store.flush([item, cancel_queued(item)])
    assert await store.claim(10) == []
    assert getattr(await flush_one(store, accept(lane)), "claim", None) is not None


async def test_a_cancel_mark_reaches_whoever_claims_the_run_later(database: Database) -> None:
    async with database.replica() as one:
        lane = await new_lane(one)
        claim = await claim_of(one, accept(lane))
        second = accept(lane)
        await flush_one(one, second)
        assert await flush_one(one, MarkCancel(TENANT, claim.run.id, Cancel(reason="first"))) == Marked(claim.run)
        assert await flush_one(one, MarkCancel(TENANT, second.run.id, Cancel(reason="second"))) == Marked(second.run)
    async with database.replica() as two:
        (again,) = await two.claim(10)
        assert (again.run.id, again.cancel_wanted) == (claim.run.id, Cancel(reason="first"))
        following = await next_of(two, finish(again))
        assert following is not None
        assert (following.run, following.cancel_wanted) == (second.run, Cancel(reason="second"))


async def test_a_cancel_mark_outlives_the_steps_behind_it(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    await store.flush(
        [start(claim), MarkCancel(TENANT, claim.run.id, Cancel(reason="why")), Release(lane, keep_lease=False)]
    )
    (again,) = await store.claim(1)
    assert again.cancel_wanted == Cancel(reason="why")
    on = progress(lane, again.run)
    released = (await store.flush([on, Release(lane, keep_lease=True)]))[1]
    assert getattr(released, "next").cancel_wanted == Cancel(reason="why")  # noqa: B009  # one of many result types


async def test_a_second_cancel_keeps_the_reason_of_the_first(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    await store.flush([MarkCancel(TENANT, claim.run.id, Cancel(reason=reason)) for reason in ("first", "second")])
    await store.flush([MarkCancel(TENANT, claim.run.id, Cancel(reason="third")), Release(lane, keep_lease=False)])
    assert [again.cancel_wanted for again in await store.claim(1)] == [Cancel(reason="first")]


async def test_a_cancel_mark_tells_the_run_as_the_batch_leaves_it(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    started = start(claim)
    mark = MarkCancel(TENANT, claim.run.id, Cancel(reason="why"))
    assert await store.flush([mark, started, mark]) == [Marked(claim.run), Recorded(None), Marked(started.run)]


async def test_an_ended_run_is_told_and_not_marked(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    done = finish(claim)
    await flush_one(store, done)
    assert await flush_one(store, MarkCancel(TENANT, claim.run.id, Cancel(reason="late"))) == Marked(done.run)


async def test_a_run_of_another_tenant_cannot_be_marked(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    for tenant, run_id in (("other", claim.run.id), (TENANT, "run-of-nobody")):
        assert await flush_one(store, MarkCancel(tenant, run_id, Cancel(reason="why"))) == Marked(None)
    await flush_one(store, Release(lane, keep_lease=False))
    assert [again.cancel_wanted for again in await store.claim(1)] == [None]
