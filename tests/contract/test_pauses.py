"""Pauses of dispatch: no replica begins what is paused, what is under way goes on, and resuming frees it all."""

from __future__ import annotations

import asyncio

import pytest

from sendoff import v1
from sendoff_server.store.items import Cancel, Claim, Full, MarkCancel, Recorded, Release, Released
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import DispatchScope, Queued
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    after,
    cancel_queued,
    claim_of,
    finish,
    flush_one,
    new_conversation,
    new_lane,
    next_of,
    placed,
    start,
    stop,
    stopped,
)

TENANT = DEFAULT_TENANT
EVERYTHING = DispatchScope(tenant=TENANT)
KEY = 77
OF_KEY = DispatchScope(tenant=TENANT, share=KEY)
MOST = 10


def of_agent(lane: str) -> DispatchScope:
    return DispatchScope(tenant=TENANT, agent_id=lane)


async def pause(store: Store, scope: DispatchScope, reason: str = "") -> v1.DispatchPause:
    told = v1.DispatchPause(agent_id=scope.agent_id, reason=reason)
    made = await store.pause_dispatch(scope, told, MOST)
    assert isinstance(made, v1.DispatchPause)
    return made


async def claimed(store: Store) -> list[str]:
    return [claim.run.id for claim in await store.claim(100)]


# ---- what is paused ----


@pytest.mark.parametrize("lease", [True, False])
@pytest.mark.parametrize("what", ["agent", "key", "everything"])
async def test_what_is_accepted_under_a_pause_is_not_handed_out_before_it_is_lifted(
    store: Store, lease: bool, what: str
) -> None:
    lane, other = await new_lane(store), await new_lane(store, "another")
    scope = {"agent": of_agent(lane), "key": OF_KEY, "everything": EVERYTHING}[what]
    made = await pause(store, scope)
    item = accept(lane, lease=lease, share=KEY)
    assert (await placed(store, item)).claim is None
    await claim_of(store, accept(other, tenant="another", share=KEY + 1))
    assert await store.claim(10) == []
    assert await store.queued(item.run.id) == Queued(0, None, pause=made)

    assert await store.resume_dispatch(scope)
    assert await claimed(store) == [item.run.id]
    assert await store.claim(10) == []


@pytest.mark.parametrize("what", ["agent", "key", "everything"])
async def test_what_waits_when_the_pause_begins_is_not_handed_out_either(store: Store, what: str) -> None:
    lane = await new_lane(store)
    lanes = [lane, *[await new_conversation(store, lane) for _ in range(3)]]
    items = [accept(each, agent_id=lane, lease=False, share=KEY) for each in lanes]
    await store.flush(items)
    scope = {"agent": of_agent(lane), "key": OF_KEY, "everything": EVERYTHING}[what]
    await pause(store, scope)
    assert await store.claim(10) == []
    await store.resume_dispatch(scope)
    assert await claimed(store) == [item.run.id for item in items], "in the order in which they waited before"


async def test_others_are_served_meanwhile(store: Store) -> None:
    paused, free = await new_lane(store), await new_lane(store)
    await store.flush([accept(paused, lease=False), accept(other := free, lease=False, share=KEY)])
    await pause(store, of_agent(paused))
    assert [claim.lane for claim in await store.claim(10)] == [other]


async def test_a_lane_is_kept_back_while_one_of_several_pauses_counts(store: Store) -> None:
    lane = await new_lane(store)
    await pause(store, of_agent(lane))
    item = accept(lane, share=KEY)
    await flush_one(store, item)
    await pause(store, OF_KEY)
    await pause(store, EVERYTHING)
    for scope in (of_agent(lane), EVERYTHING):
        assert await store.resume_dispatch(scope)
        assert await store.claim(10) == []
    assert await store.resume_dispatch(OF_KEY)
    assert await claimed(store) == [item.run.id]


async def test_a_run_that_is_early_is_kept_back_at_its_time(store: Store, database: Database) -> None:
    item = accept(await new_lane(store), start_ns=1 << 62)
    await flush_one(store, item)
    await pause(store, EVERYTHING)
    database.let_start_times_come()
    assert await store.claim(10) == []
    await store.resume_dispatch(EVERYTHING)
    assert await claimed(store) == [item.run.id]


# ---- what goes on ----


async def test_a_run_under_way_goes_on_to_its_end_and_the_next_one_waits(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second = accept(lane)
    await flush_one(store, second)
    await pause(store, EVERYTHING)
    assert await flush_one(store, started := start(claim)) == Recorded(None)
    assert await next_of(store, finish(after(claim, started))) is None
    assert await store.claim(10) == []
    assert (await store.queued(second.run.id) or Queued(9, None)).pause is not None
    await store.resume_dispatch(EVERYTHING)
    assert await claimed(store) == [second.run.id]


async def test_a_run_that_had_begun_is_taken_over_by_another_replica_under_a_pause(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        claim = await claim_of(one, accept(await new_lane(one)))
        await flush_one(one, start(claim))
        await pause(two, EVERYTHING)
        database.age_beats(60)
        await two.beat()
        assert await two.reap(10) == 1
        assert await claimed(two) == [claim.run.id]


async def test_a_lane_that_is_released_unbegun_waits(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    await pause(store, EVERYTHING)
    assert await flush_one(store, Release(claim.lane, keep_lease=True)) == Released(None)
    assert await store.claim(10) == []


async def test_a_paused_run_can_be_cancelled(store: Store) -> None:
    await pause(store, EVERYTHING)
    lane = await new_lane(store)
    first, second = accept(lane), accept(lane)
    await store.flush([first, second])
    await flush_one(store, cancel_queued(first))
    cancel = Cancel(reason="enough", rollback=True)
    assert await store.claim(10) == []
    await flush_one(store, MarkCancel(TENANT, second.run.id, cancel))
    assert [(claim.run.id, claim.cancel_wanted) for claim in await store.claim(10)] == [(second.run.id, cancel)]


async def test_a_run_that_a_newer_one_supersedes_is_handed_out_to_be_ended(store: Store) -> None:
    lane = await new_lane(store)
    await pause(store, of_agent(lane))
    first = accept(lane)
    await flush_one(store, first)
    newer = accept(lane, supersedes=Cancel(reason="newer", superseded=True))
    await flush_one(store, newer)
    (claim,) = await store.claim(10)
    assert claim.run.id == first.run.id
    assert await next_of(store, stop(claim)) is None
    assert await store.claim(10) == []


async def test_a_run_that_answers_waits_as_well(store: Store) -> None:
    lane = await new_lane(store)
    asked_by = await stopped(store, lane)
    await pause(store, EVERYTHING)
    item = accept(lane, continues=asked_by.id)
    assert (await placed(store, item)).claim is None
    await store.resume_dispatch(EVERYTHING)
    assert await claimed(store) == [item.run.id]


# ---- pauses themselves ----


async def test_a_pause_that_is_there_stays_as_it_is(store: Store) -> None:
    lane = await new_lane(store)
    first = await pause(store, of_agent(lane), "first")
    assert await pause(store, of_agent(lane), "second") == first
    assert await store.dispatch_pauses(TENANT) == [first]
    assert await store.dispatch_pauses("another") == []


async def test_resuming_tells_whether_there_was_a_pause_and_lifts_no_other(store: Store) -> None:
    lane = await new_lane(store)
    kept = await pause(store, EVERYTHING)
    assert not await store.resume_dispatch(of_agent(lane))
    assert await store.dispatch_pauses(TENANT) == [kept]
    assert await store.resume_dispatch(EVERYTHING)
    assert not await store.resume_dispatch(EVERYTHING)
    assert await store.dispatch_pauses(TENANT) == []


async def test_a_scope_can_be_paused_again(store: Store) -> None:
    lane = await new_lane(store)
    for reason in ("one", "two"):
        assert (await pause(store, of_agent(lane), reason)).reason == reason
        assert (await placed(store, item := accept(lane))).claim is None
        assert await store.resume_dispatch(of_agent(lane))
        (claim,) = await store.claim(10)
        assert await next_of(store, finish(claim)) is None
        assert claim.run.id == item.run.id


async def test_an_agent_that_does_not_exist_cannot_be_paused(store: Store) -> None:
    lane = await new_lane(store, "another")
    for agent_id in ("agent-1", lane):
        assert await store.pause_dispatch(of_agent(agent_id), v1.DispatchPause(), MOST) is None
        assert not await store.resume_dispatch(of_agent(agent_id))


async def test_a_tenant_has_a_bounded_number_of_pauses(store: Store) -> None:
    for share in range(2):
        scope = DispatchScope(tenant=TENANT, share=share)
        assert isinstance(await store.pause_dispatch(scope, v1.DispatchPause(), 2), v1.DispatchPause)
    assert await store.pause_dispatch(EVERYTHING, v1.DispatchPause(), 2) == Full()
    assert isinstance(
        await store.pause_dispatch(DispatchScope(tenant=TENANT, share=1), v1.DispatchPause(), 2), v1.DispatchPause
    )
    assert len(await store.dispatch_pauses(TENANT)) == 2


async def test_a_deleted_agent_takes_its_pause_along(store: Store) -> None:
    lane = await new_lane(store)
    await pause(store, of_agent(lane))
    await store.delete_agent(TENANT, lane)
    assert await store.dispatch_pauses(TENANT) == []


async def test_pauses_are_kept_over_a_restart(database: Database) -> None:
    async with database.replica() as store:
        item = accept(await new_lane(store), lease=False)
        await flush_one(store, item)
        made = await pause(store, EVERYTHING, "night")
    async with database.replica() as store:
        assert await store.dispatch_pauses(TENANT) == [made]
        assert await store.claim(10) == []
        assert (await placed(store, accept(await new_lane(store)))).claim is None
        await store.resume_dispatch(EVERYTHING)
        assert len(await claimed(store)) == 2


# ---- replicas ----


async def test_a_pause_counts_for_all_replicas_once_it_is_told(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        for scope in (EVERYTHING, of_agent(lane), EVERYTHING):
            await pause(one, scope)
            item = accept(lane)
            assert (await placed(two, item)).claim is None
            assert await two.claim(10) == []
            await one.resume_dispatch(scope)
            (claim,) = await two.claim(10)
            assert claim.run.id == item.run.id
            await flush_one(two, finish(claim))


async def test_no_replica_begins_anything_after_a_pause_was_told_however_many_accept(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        lanes = [await new_lane(one) for _ in range(30)]
        told = asyncio.Event()
        taken_late: list[Claim] = []

        async def keep_accepting(store: Store, lanes: list[str]) -> None:
            for lane in lanes:
                late = told.is_set()
                claim = (await placed(store, accept(lane))).claim
                if late and claim is not None:
                    taken_late.append(claim)

        async def stop_it() -> None:
            await pause(one, EVERYTHING)
            told.set()

        await asyncio.gather(keep_accepting(one, lanes[:15]), keep_accepting(two, lanes[15:]), stop_it())
        assert taken_late == []
        assert await one.claim(100) == await two.claim(100) == []


async def test_a_lift_that_broke_off_is_gone_on_with_by_whoever_claims(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        items = [accept(await new_lane(one), lease=False) for _ in range(3)]
        await one.flush(items)
        await pause(one, EVERYTHING)

        async def broken(_: object) -> None:
            raise ConnectionResetError

        one._free_paused = broken  # type: ignore[attr-defined]
        with pytest.raises(ConnectionResetError):
            await one.resume_dispatch(EVERYTHING)
        assert sorted(await claimed(two)) == sorted(item.run.id for item in items)
        assert await two.dispatch_pauses(TENANT) == []
