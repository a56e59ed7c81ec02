"""Where runs stand: what is in front of them, who holds their lane, and how much waits for whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SECOND_NS
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.items import Accept, Claim, Progress
from sendoff_server.store.port import DEFAULT_TENANT as TENANT
from sendoff_server.store.port import Store
from sendoff_server.store.postgres import standing as postgres_standing
from sendoff_server.store.postgres.engine import PostgresStore
from sendoff_server.store.questions import DispatchScope
from sendoff_server.store.sqlite import standing as sqlite_standing
from sendoff_server.store.sqlite.engine import SqliteStore
from sendoff_server.store.standing import ReplicaSeen, Standing
from tests.contract.databases import Database, PostgresDatabase, SqliteDatabase
from tests.contract.making import (
    accept,
    after,
    claim_of,
    finish,
    flush_one,
    new_conversation,
    new_lane,
    next_of,
    progress,
    run_to_end,
    start,
    stopped,
    waiting,
)


async def _standing(store: Store, run: v1.Run) -> Standing:
    standing = await store.standing(TENANT, run.id)
    assert standing is not None
    assert standing.run.id == run.id
    assert standing.queued == await store.queued(run.id)
    return standing


# ---- one run ----


async def test_a_run_stands_behind_those_in_front_of_it_and_its_lane_is_held(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second, third = accept(lane), accept(lane, priority=1)
    await store.flush([second, third])
    standing = await _standing(store, third.run)
    assert [run.id for run in standing.in_front] == [claim.run.id, second.run.id]
    assert standing.holder is not None
    assert (standing.holder.id, standing.holder.leases) == (store.replica_id, 1)
    assert (standing.place, standing.priority) == (None, 3), "the priority of the head"


async def test_a_run_that_has_ended_stands_nowhere(store: Store) -> None:
    lane = await new_lane(store)
    await run_to_end(store, claim := await claim_of(store, accept(lane)))
    standing = await _standing(store, claim.run)
    assert (standing.queued, standing.holder, standing.place, standing.in_front) == (None, None, None, [])


async def test_a_lane_that_waits_for_a_slot_stands_behind_those_of_its_share(store: Store, database: Database) -> None:
    holder = await claim_of(store, accept(await new_lane(store)))
    older, urgent, item = await _queue(store, share=7), await _queue(store, share=7, priority=1), await _queue(store, 7)
    await _queue(store, share=7, priority=5)
    await _queue(store, share=8)
    standing = await _standing(store, item.run)
    assert standing.place is not None
    assert (standing.place.ahead, standing.place.shares) == (2, 2), (older, urgent)
    assert standing.at_work == [holder.run.id]
    await store.claim(2)
    standing = await _standing(store, item.run)
    assert standing.place is not None
    assert (standing.place.ahead, standing.place.shares) == (1, 1), "one of each share was taken"
    database.age_waits(5 * 60)
    newest = await _queue(store, share=7, priority=1)
    standing = await _standing(store, newest.run)
    assert standing.place is not None
    assert standing.place.ahead == 3, "all that have waited minutes longer"


async def test_a_run_whose_replica_died_waits_for_a_slot_again(database: Database) -> None:
    async with database.replica() as here:
        async with database.replica() as dies:
            lane = await new_lane(dies)
            claim = await claim_of(dies, accept(lane))
            await flush_one(dies, start(claim))
            assert (await _holder(here, claim.run)).id == dies.replica_id
            database.age_beats(11)
            seen = await _standing(here, claim.run)
            assert seen.holder is not None
            assert seen.now_ns - seen.holder.beat_ns >= 11 * SECOND_NS
            await here.beat()
            assert await here.reap(10) == 1
            standing = await _standing(here, claim.run)
            assert (standing.run.status, standing.holder) == (v1.RUN_STATUS_RUNNING, None)
            assert standing.place is not None
        (again,) = await here.claim(1)
        assert (await _holder(here, again.run)).id == here.replica_id


async def test_a_run_that_waits_for_answers_stands_behind_what_was_asked(store: Store) -> None:
    lane = await new_lane(store)
    asked = await stopped(store, lane, "call-1", "call-2")
    await flush_one(store, item := waiting(lane))
    standing = await _standing(store, item.run)
    assert (list(standing.awaited), standing.place) == (list(asked.pending_actions), None)


async def test_what_belongs_to_others_stands_nowhere(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    assert await store.standing("other", claim.run.id) is None
    theirs = await new_lane(store, "other")
    waits = accept(theirs, lease=False, tenant="other")
    await store.flush([accept(await new_lane(store, "other"), tenant="other"), waits])
    standing = await store.standing("other", waits.run.id)
    assert standing is not None
    assert standing.place is not None
    assert len(standing.at_work) == 1
    assert claim.run.id not in standing.at_work
    assert [group.running for group in (await store.count_queue(TENANT, [])).groups] == [1]


# ---- all ----


async def test_open_runs_are_counted_by_share_priority_and_what_they_wait_for(store: Store, database: Database) -> None:
    now_ns = (await store.count_queue(TENANT, [])).now_ns
    for _ in range(3):
        await _queue(store, 7)
    lane = await new_lane(store)
    await claim_of(store, accept(lane, share=7))
    behind = [accept(lane, share=7) for _ in range(2)]
    later = accept(await new_lane(store), share=7, start_ns=now_ns + 3_600 * SECOND_NS)
    held = await new_lane(store)
    await stopped(store, held)
    await store.flush([*behind, later, waiting(held)])
    await _queue(store, 7, priority=1)
    database.age_waits(60)
    count = await store.count_queue(TENANT, [])
    told = {
        (group.share, group.priority): (group.queued, group.blocked, group.scheduled, group.running)
        for group in count.groups
    }
    assert told == {(7, 3): (3, 2, 1, 1), (0, 3): (0, 1, 0, 0), (7, 1): (1, 0, 0, 0)}
    first = count.groups[0]
    assert (first.share, first.priority, count.is_whole) == (7, 3, True), "those with most runs first"
    assert first.ready_ns is not None
    assert 60 <= (count.now_ns - first.ready_ns) / SECOND_NS < 120
    assert {group.share for group in (await store.count_queue(TENANT, [0, 8])).groups} == {0}


async def test_more_than_is_counted_is_told_to_be_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for share in (1, 2, 3):
        await _queue(store, share)
    for engine in (sqlite_standing, postgres_standing):
        monkeypatch.setattr(engine, "MOST_RUNS", 2)
    for shares in ([], [1], [99]):
        assert not (await store.count_queue(TENANT, shares)).is_whole
    assert sum(group.queued for group in (await store.count_queue(TENANT, [])).groups) == 2
    for engine in (sqlite_standing, postgres_standing):
        monkeypatch.setattr(engine, "MOST_RUNS", 3)
    assert (await store.count_queue(TENANT, [])).is_whole
    for engine in (sqlite_standing, postgres_standing):
        monkeypatch.setattr(engine, "MOST_GROUPS", 2)
    count = await store.count_queue(TENANT, [])
    assert (len(count.groups), count.is_whole) == (2, False)


async def test_depths_are_told_of_tenants_that_are_named_and_of_all_others_together(
    store: Store, database: Database
) -> None:
    assert await store.queue_depths(["acme"]) == []
    for _ in range(3):
        await _queue(store, 7)
    lane, held = await new_lane(store), await new_lane(store)
    await claim_of(store, accept(lane))
    later = accept(await new_lane(store), start_ns=(await store.count_queue(TENANT, [])).now_ns + 3_600 * SECOND_NS)
    await stopped(store, held)
    await store.flush([accept(lane), accept(lane), later, waiting(held)])
    of_acme = accept(await new_lane(store, "acme"), tenant="acme", lease=False)
    await flush_one(store, of_acme)
    database.age_waits(60)
    depths = {depth.tenant: depth for depth in await store.queue_depths(["acme", "idle"])}
    assert depths.keys() == {"", "acme"}
    others, acme = depths[""], depths["acme"]
    assert (others.queued, others.scheduled, others.held, others.running, others.behind) == (3, 1, 1, 1, 2)
    assert (acme.queued, acme.scheduled, acme.held, acme.running, acme.behind) == (1, 0, 0, 0, 0)
    assert 60 <= others.oldest_ns / SECOND_NS < 120
    await store.pause_dispatch(DispatchScope(tenant=TENANT, share=7), v1.DispatchPause(), 10)
    (all_of_them,) = await store.queue_depths([])
    assert (all_of_them.queued, all_of_them.held, all_of_them.running) == (1, 4, 1), "what is paused waits for no slot"


async def test_replicas_are_told_with_the_lanes_that_they_hold(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        await claim_of(one, accept(await new_lane(one)))
        seen = {each.id: each.leases for each in (await two.count_queue(TENANT, [])).replicas}
        assert seen == {one.replica_id: 1, two.replica_id: 0}


async def test_waits_count_from_when_a_run_could_have_been_started(store: Store) -> None:
    lane = await new_lane(store)
    first = accept(lane, run=v1.Run(fairness_key="acme"))
    second = accept(lane)
    claim = await claim_of(store, first)
    await flush_one(store, second)
    began_s = first.run.create_time.seconds
    await flush_one(store, stepped := _stepped(claim, began_s + 5))
    following = await next_of(store, _ended(after(claim, stepped), began_s + 60))
    assert following is not None
    await flush_one(store, _stepped(following, began_s + 63))
    told = [(each.fairness_key, each.waited_ns // SECOND_NS) for each in await store.slot_waits(TENANT)]
    assert told == [(None, 3), ("acme", 5)]
    assert await store.slot_waits("other") == []


async def test_a_scheduled_run_waits_from_its_time_on(store: Store) -> None:
    item = accept(await new_lane(store), lease=False)
    at_s = item.run.create_time.seconds
    item = replace(item, start_ns=(at_s + 100) * SECOND_NS)
    await store.flush([item])
    (claim,) = await store.claim(1)
    await flush_one(store, _stepped(claim, at_s + 102))
    assert [each.waited_ns for each in await store.slot_waits(TENANT)] == [2 * SECOND_NS]


async def _queue(store: Store, share: int, *, priority: int = 3) -> Accept:
    """A run in a lane of its own, which nobody holds."""
    item = accept(await new_lane(store), lease=False, share=share, priority=priority)
    await flush_one(store, item)
    return item


async def _holder(store: Store, run: v1.Run) -> ReplicaSeen:
    holder = (await _standing(store, run)).holder
    assert holder is not None
    return holder


def _stepped(claim: Claim, started_s: int) -> Progress:
    """The run has started then, and taken its first step."""
    at = Timestamp(seconds=started_s)
    step = v1.Step(id=ids.new("step"), run_id=claim.run.id, index=0, model_handle="m", start_time=at)
    done = progress(claim.lane, claim.run, step=step)
    done.run.start_time.CopyFrom(at)
    return done


def _ended(claim: Claim, at_s: int) -> Progress:
    ended = finish(claim)
    ended.run.complete_time.CopyFrom(Timestamp(seconds=at_s))
    return ended


# ---- what is kept back ----


def _capped(database: Database, caps: Caps) -> SqliteStore | PostgresStore:
    if isinstance(database, PostgresDatabase):
        return PostgresStore(database.dsn, caps=caps)
    assert isinstance(database, SqliteDatabase)
    return SqliteStore(database.path, synchronous="NORMAL", exclusive=False, caps=caps)


@pytest.mark.parametrize("of", ["agent", "share", "tenant"])
async def test_what_is_paused_wants_no_slot_and_counts_as_blocked(store: Store, of: str) -> None:
    await claim_of(store, accept(await new_lane(store)))
    item, other = await _queue(store, 7), await _queue(store, 8)
    scopes = {
        "agent": DispatchScope(tenant=TENANT, agent_id=item.lane),
        "share": DispatchScope(tenant=TENANT, share=7),
        "tenant": DispatchScope(tenant=TENANT),
    }
    pause = v1.DispatchPause(reason="maintenance")
    assert await store.pause_dispatch(scopes[of], pause, 10) == pause
    standing = await _standing(store, item.run)
    assert (standing.place, list(standing.at_work)) == (None, [])
    assert standing.head is not None
    assert standing.head.pause == pause
    is_other_paused = of == "tenant"
    assert ((await _standing(store, other.run)).place is None) == is_other_paused
    count = await store.count_queue(TENANT, [])
    assert list(count.pauses) == [pause]
    told = {group.share: (group.queued, group.blocked) for group in count.groups if not group.running}
    assert told == {7: (0, 1), 8: (0, 1) if is_other_paused else (1, 0)}

    assert await store.resume_dispatch(scopes[of])
    assert (await _standing(store, item.run)).place is not None
    count = await store.count_queue(TENANT, [7])
    assert (count.groups[0].queued, list(count.pauses)) == (1, [])


async def test_behind_a_paused_head_the_pause_is_told(store: Store) -> None:
    head = await _queue(store, 7)
    await flush_one(store, behind := accept(head.lane, lease=False))
    await store.pause_dispatch(DispatchScope(tenant=TENANT), pause := v1.DispatchPause(), 10)
    standing = await _standing(store, behind.run)
    assert standing.head is not None
    assert standing.head.pause == pause
    assert [run.id for run in standing.in_front] == [head.run.id]


@pytest.mark.parametrize("caps", [Caps(per_agent=1), Caps(per_tenant=1)], ids=["agent", "tenant"])
async def test_what_is_at_a_cap_wants_no_slot_and_names_the_runs_that_count(database: Database, caps: Caps) -> None:
    async with _capped(database, caps) as store:
        agent = await new_lane(store)
        lanes = [agent, await new_conversation(store, agent)]
        items = [accept(lane, agent_id=agent if lane != agent else None) for lane in lanes]
        await store.flush(items)
        other = await _queue(store, 8)
        (claim, *others) = await store.claim(10)
        kept = next(item for item in items if item.run.id != claim.run.id)
        standing = await _standing(store, kept.run)
        assert (standing.place, list(standing.at_work)) == (None, [claim.run.id])
        assert [each.run.id for each in others] == ([other.run.id] if caps.per_agent else [])
        count = await store.count_queue(TENANT, [])
        assert (count.most_per_agent, count.most_per_tenant) == (caps.per_agent, caps.per_tenant)
        told = {group.share: (group.queued, group.blocked, group.running) for group in count.groups}
        assert told == {0: (0, 1, 1), 8: (0, 0, 1) if caps.per_agent else (0, 1, 0)}
        await flush_one(store, finish(claim, keep_lease=False))
        assert (await _standing(store, kept.run)).place is not None
