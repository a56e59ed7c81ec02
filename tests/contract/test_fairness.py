"""Who is served when more lanes wait than there are slots; told by the order of claims, whatever time it takes."""

from __future__ import annotations

from collections import Counter

import pytest

from sendoff_server.store.items import Accept
from sendoff_server.store.port import Store
from tests.contract.databases import Database
from tests.contract.making import accept, claim_of, finish, flush_one, new_conversation, new_lane

NOISY, QUIET = 7, 100


async def _lanes(store: Store, count: int) -> list[str]:
    agent = await new_lane(store)
    return [agent, *[await new_conversation(store, agent) for _ in range(count - 1)]]


async def _queue(store: Store, count: int, share: int, *, priority: int = 3) -> list[Accept]:
    """One run in each of so many lanes, none of them leased."""
    lanes = await _lanes(store, count)
    items = [accept(lane, lease=False, share=share, priority=priority, agent_id=lanes[0]) for lane in lanes]
    await store.flush(items)
    return items


async def _order(store: Store, at_once: int = 1) -> list[str]:
    """Claims all that waits, so many at a time."""
    order: list[str] = []
    while claims := await store.claim(at_once):
        order += [claim.run.id for claim in claims]
    return order


# ---- shares ----


async def test_a_quiet_one_is_not_behind_the_queue_of_a_noisy_one(store: Store) -> None:
    noisy = await _queue(store, 200, NOISY)
    quiet = [(await _queue(store, 1, QUIET + number))[0].run.id for number in range(20)]
    order = await _order(store)
    assert len(order) == len(set(order)) == 220
    assert max(order.index(run_id) for run_id in quiet) < 21, "no more claims than there are shares"
    assert [run_id for run_id in order if run_id not in quiet] == [item.run.id for item in noisy]


async def test_shares_that_wait_get_as_many_claims_each(store: Store) -> None:
    share_of: dict[str, int] = {}
    for share, count in ((1, 40), (2, 30), (3, 10)):
        share_of |= {item.run.id: share for item in await _queue(store, count, share)}
    for at_once in (3, 7, 10, 10):
        claims = await store.claim(at_once)
        assert len(claims) == at_once
        counts = Counter(share_of[claim.run.id] for claim in claims)
        assert max(counts.values()) - min(counts[share] for share in (1, 2, 3)) <= 1
    assert len(await _order(store, at_once=100)) == 50


async def test_what_one_share_does_not_need_others_get(store: Store) -> None:
    first, second = await _queue(store, 30, 1), await _queue(store, 2, 2)
    claims = [claim.run.id for claim in await store.claim(20)]
    assert len(claims) == 20
    assert {item.run.id for item in second} < set(claims)
    assert len(set(claims) & {item.run.id for item in first}) == 18


async def test_a_run_that_arrives_late_is_served_in_the_round_that_is_under_way(store: Store) -> None:
    await _queue(store, 20, NOISY)
    await store.claim(5)
    (late,) = await _queue(store, 1, QUIET)
    assert late.run.id in [claim.run.id for claim in await store.claim(2)]


async def test_a_share_that_has_just_been_served_is_served_again_after_the_others(store: Store) -> None:
    share_of = {item.run.id: share for share in (1, 2, 3) for item in await _queue(store, 3, share)}
    assert [share_of[run_id] for run_id in await _order(store)] == [1, 2, 3] * 3


async def test_two_replicas_take_what_waits_once(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        items = [*await _queue(one, 10, 1), *await _queue(one, 10, 2)]
        taken = [claim.run.id for store in (one, two, one, two) for claim in await store.claim(5)]
        assert sorted(taken) == sorted(item.run.id for item in items)
        assert await one.claim(5) == []


# ---- priorities ----


async def test_of_one_share_the_first_priority_goes_first(store: Store) -> None:
    by_priority = [(await _queue(store, 1, 1, priority=priority))[0].run.id for priority in (5, 3, 1, 4, 2)]
    assert await _order(store) == [by_priority[number] for number in (2, 4, 1, 3, 0)]


async def test_priorities_do_not_count_between_shares(store: Store) -> None:
    urgent = await _queue(store, 10, 1, priority=1)
    (patient,) = await _queue(store, 1, 2, priority=5)
    assert patient.run.id in (await _order(store))[:2]
    assert len(urgent) == 10


async def test_who_has_waited_minutes_longer_goes_before_a_better_priority(store: Store, database: Database) -> None:
    (old,) = await _queue(store, 1, 1, priority=5)
    database.age_waits(4 * 60 + 1)
    (urgent,) = await _queue(store, 1, 1, priority=1)
    (usual,) = await _queue(store, 1, 1)
    assert await _order(store) == [old.run.id, urgent.run.id, usual.run.id]


async def test_a_better_priority_goes_before_who_has_not_waited_that_long(store: Store, database: Database) -> None:
    (old,) = await _queue(store, 1, 1, priority=5)
    database.age_waits(4 * 60 - 10)
    (urgent,) = await _queue(store, 1, 1, priority=1)
    assert await _order(store) == [urgent.run.id, old.run.id]


async def test_a_lane_has_the_priority_of_its_head(store: Store) -> None:
    """In its conversation a better priority overtakes nobody; it counts once its turn has come."""
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    urgent = accept(lane, share=1, priority=1)
    (other,) = await _queue(store, 1, 1)
    await flush_one(store, urgent)
    await flush_one(store, finish(claim, keep_lease=False))
    assert await _order(store) == [urgent.run.id, other.run.id]


async def test_a_run_behind_the_head_does_not_change_its_lane_s_priority(store: Store) -> None:
    (head,) = await _queue(store, 1, 1, priority=4)
    await flush_one(store, accept(head.lane, lease=False, share=1, priority=1))
    (other,) = await _queue(store, 1, 1)
    assert await _order(store) == [other.run.id, head.run.id]


# ---- weights ----


async def _counts(database: Database, weights: dict[int, float], claims: int, at_once: int) -> Counter[int]:
    """How many lanes of the shares 1, 2 and 3 so many claims take, while all have more."""
    async with database.replica(weights=weights) as store:
        share_of = {item.run.id: share for share in (1, 2, 3) for item in await _queue(store, 60, share)}
        taken = [claim.run.id for _ in range(claims) for claim in await store.claim(at_once)]
        assert len(set(taken)) == claims * at_once
        return Counter(share_of[run_id] for run_id in taken)


@pytest.mark.parametrize(("claims", "at_once"), [(45, 1), (15, 3), (9, 5), (1, 45)])
async def test_shares_are_served_by_their_weights(database: Database, claims: int, at_once: int) -> None:
    assert await _counts(database, {1: 3.0, 3: 0.5}, claims, at_once) == {1: 30, 2: 10, 3: 5}


async def test_weights_are_kept_to_from_claim_to_claim(database: Database) -> None:
    async with database.replica(weights={1: 2.0, 2: 0.5}) as store:
        share_of = {item.run.id: share for share in (1, 2, 3) for item in await _queue(store, 8, share)}
        order = await _order(store)
        assert [share_of[run_id] for run_id in order[:10]] == [1, 1, 3, 1, 1, 2, 3, 1, 1, 3]


async def test_a_light_share_alone_waits_for_nobody(database: Database) -> None:
    async with database.replica(weights={1: 0.001}) as store:
        items = await _queue(store, 5, 1)
        assert [claim.run.id for claim in await store.claim(3)] == [item.run.id for item in items[:3]]
        assert len(await store.claim(10)) == 2
