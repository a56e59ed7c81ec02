"""Caps on what is under way, over all replicas: never exceeded, and what they keep back starts once there is room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from sendoff import v1
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.items import Accept, Claim, Recorded, Release
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import AtCap, CapOf, DispatchScope, Queued
from tests.contract.databases import Database
from tests.contract.making import accept, cancel_queued, finish, flush_one, new_conversation, new_lane, placed

TENANT = DEFAULT_TENANT


async def queue(store: Store, agent: str, count: int, *, tenant: str = TENANT, share: int = 0) -> list[Accept]:
    """One run in each of so many conversations of an agent."""
    lanes = [await new_conversation(store, agent, tenant) for _ in range(count)]
    items = [accept(lane, agent_id=agent, tenant=tenant, share=share) for lane in lanes]
    await store.flush(items)
    return items


async def end(store: Store, claims: Sequence[Claim]) -> None:
    for result in await store.flush([finish(claim) for claim in claims]):
        assert result == Recorded(None)


def ids(items: Sequence[Accept]) -> list[str]:
    return [item.run.id for item in items]


async def test_an_accept_takes_no_lease_though_it_could(database: Database) -> None:
    async with database.replica(Caps(per_agent=2)) as store:
        item = accept(await new_lane(store))
        assert store.is_capped
        assert (await placed(store, item)).claim is None
        assert [claim.run.id for claim in await store.claim(10)] == [item.run.id]


async def test_of_one_agent_no_more_runs_are_handed_out_than_its_cap(database: Database) -> None:
    async with database.replica(Caps(per_agent=2)) as store:
        busy, other = await new_lane(store), await new_lane(store)
        items, free = await queue(store, busy, 5), await queue(store, other, 1)
        first = await store.claim(10)
        assert sorted(claim.run.id for claim in first) == sorted(ids([*items[:2], *free]))
        assert await store.claim(10) == []
        for number in range(2, 5):
            done, first = first[0], first[1:]
            await end(store, [done])
            found = await store.claim(10)
            expected = ids(items[number : number + 1]) if done.run.id not in ids(free) else []
            assert [claim.run.id for claim in found] == expected
            first += found


async def test_of_one_tenant_no_more_runs_are_handed_out_than_its_cap(database: Database) -> None:
    async with database.replica(Caps(per_tenant=3)) as store:
        items = [item for share in (1, 2) for item in await queue(store, await new_lane(store), 4, share=share)]
        others = await queue(store, await new_lane(store, "zoe"), 2, tenant="zoe", share=9)
        claims = await store.claim(100)
        assert Counter(claim.tenant for claim in claims) == {TENANT: 3, "zoe": 2}
        assert await store.claim(100) == []
        assert set(ids(others)) < {claim.run.id for claim in claims}
        rounds = 0
        while mine := [claim for claim in claims if claim.tenant == TENANT]:
            await end(store, mine[:2])
            claims = [*mine[2:], *await store.claim(100)]
            assert len(claims) <= 3
            rounds += 1
        assert rounds == 4
        assert len(items) == 8


class Own:
    """Caps of single tenants, which a test changes."""

    def __init__(self, **caps: int) -> None:
        self.caps = caps

    def runs_under_way(self, tenant: str) -> int:
        return self.caps.get(tenant, 0)

    def limits_runs_under_way(self) -> bool:
        return any(self.caps.values())


async def test_each_tenant_has_its_own_cap_and_who_has_none_goes_on(database: Database) -> None:
    async with database.replica(Caps(tenants=Own(acme=2, zoe=1))) as store:
        items = {
            tenant: await queue(store, await new_lane(store, tenant), 4, tenant=tenant, share=share)
            for share, tenant in enumerate(("acme", "zoe", "free"), start=1)
        }
        claims = await store.claim(100)
        assert Counter(claim.tenant for claim in claims) == {"acme": 2, "zoe": 1, "free": 4}
        waiting = items["zoe"][1].run.id
        assert await store.queued(waiting) == Queued(0, None, at_cap=AtCap(CapOf.TENANT, 1, 1))
        assert (await store.count_queue("zoe", [])).most_per_tenant == 1
        await end(store, [claim for claim in claims if claim.tenant == "zoe"])
        assert [claim.run.id for claim in await store.claim(100)] == [waiting]


async def test_a_cap_of_a_tenant_that_changes_counts_from_the_next_claim_on(database: Database) -> None:
    own = Own()
    async with database.replica(Caps(tenants=own)) as store:
        assert not store.is_capped
        agent = await new_lane(store, "acme")
        own.caps = {"acme": 1}
        assert store.is_capped
        items = await queue(store, agent, 3, tenant="acme")
        assert [claim.run.id for claim in await store.claim(100)] == ids(items[:1])
        own.caps = {"acme": 2}
        assert [claim.run.id for claim in await store.claim(100)] == ids(items[1:2])
        own.caps = {}
        assert [claim.run.id for claim in await store.claim(100)] == ids(items[2:])


async def test_open_runs_of_a_tenant_are_counted_until_they_end_and_not_far_past_what_is_asked(
    database: Database,
) -> None:
    async with database.replica(Caps(per_tenant=100)) as store:
        agent = await new_lane(store)
        await queue(store, agent, 3)
        await store.flush([accept(agent), accept(agent)])
        await queue(store, await new_lane(store, "zoe"), 2, tenant="zoe")
        assert (await store.count_open(TENANT, 100), await store.count_open("nobody", 100)) == (5, 0)
        assert 3 <= await store.count_open(TENANT, 3) <= 5
        await end(store, (await store.claim(100))[:1])
        assert await store.count_open(TENANT, 100) + await store.count_open("zoe", 100) == 6


async def test_what_waits_says_which_cap_it_waits_for(database: Database) -> None:
    async with database.replica(Caps(per_agent=1, per_tenant=2)) as store:
        one, two, three = [await new_lane(store) for _ in range(3)]
        items = [*await queue(store, one, 2), *await queue(store, two, 1), *await queue(store, three, 1)]
        assert len(await store.claim(10)) == 2
        assert await store.queued(items[1].run.id) == Queued(0, None, at_cap=AtCap(CapOf.AGENT, 1, 1))
        assert await store.queued(items[3].run.id) == Queued(0, None, at_cap=AtCap(CapOf.TENANT, 2, 2))
        assert await store.queued(items[0].run.id) == Queued(0, None)


async def test_the_next_run_of_a_conversation_waits_its_turn_behind_others_of_the_agent(database: Database) -> None:
    async with database.replica(Caps(per_agent=1)) as store:
        agent = await new_lane(store)
        first, second = accept(agent), accept(agent)
        await store.flush([first, second])
        (other,) = await queue(store, agent, 1)
        order = []
        while claims := await store.claim(10):
            order += [claim.run.id for claim in claims]
            await end(store, claims)
        assert order == ids([first, other, second])


async def test_a_run_that_is_cancelled_while_it_may_start_makes_room(database: Database) -> None:
    async with database.replica(Caps(per_agent=1)) as store:
        agent = await new_lane(store)
        items = await queue(store, agent, 3)
        (claim,) = await store.claim(10)
        await end(store, [claim])
        await flush_one(store, cancel_queued(items[1]))
        assert [claim.run.id for claim in await store.claim(10)] == [items[2].run.id]


async def test_a_lease_that_is_given_back_makes_room(database: Database) -> None:
    async with database.replica(Caps(per_agent=1)) as store:
        agent = await new_lane(store)
        items = await queue(store, agent, 2)
        (claim,) = await store.claim(10)
        assert await store.claim(10) == []
        await flush_one(store, Release(claim.lane, keep_lease=False))
        assert [claim.run.id for claim in await store.claim(10)] == [items[1].run.id]


@pytest.mark.parametrize("caps", [Caps(per_agent=3), Caps(per_tenant=3)])
async def test_replicas_that_claim_at_once_do_not_exceed_a_cap_together(database: Database, caps: Caps) -> None:
    async with database.replica(caps) as one, database.replica(caps) as two, database.replica(caps) as three:
        stores = (one, two, three)
        items = await queue(one, await new_lane(one), 12)
        done: list[str] = []
        while len(done) < len(items):
            found = await asyncio.gather(*(store.claim(10) for store in stores))
            assert 0 < sum(map(len, found)) <= 3
            await asyncio.gather(*(end(store, claims) for store, claims in zip(stores, found, strict=True) if claims))
            done += [claim.run.id for claims in found for claim in claims]
        assert sorted(done) == sorted(ids(items))


async def test_what_a_dead_replica_held_counts_until_it_is_declared_dead(database: Database) -> None:
    caps = Caps(per_agent=2)
    async with database.replica(caps) as one, database.replica(caps) as two:
        items = await queue(one, await new_lane(one), 4)
        assert len(await one.claim(10)) == 2
        assert await two.claim(10) == []
        database.age_beats(60)
        await two.beat()
        await two.reap(10)
        assert len(await two.claim(10)) == 2
        assert len(items) == 4


async def test_a_paused_run_takes_no_place_of_its_agent(database: Database) -> None:
    async with database.replica(Caps(per_agent=1)) as store:
        agent = await new_lane(store)
        first, paused, last = [(await queue(store, agent, 1, share=share))[0] for share in (1, 2, 3)]
        (claim,) = await store.claim(10)
        assert claim.run.id == first.run.id
        assert await store.claim(10) == []
        scope = DispatchScope(tenant=TENANT, share=2)
        await store.pause_dispatch(scope, v1.DispatchPause(), 10)
        await end(store, [claim])
        (claim,) = await store.claim(10)
        assert claim.run.id == last.run.id
        await store.resume_dispatch(scope)
        assert await store.claim(10) == []
        await end(store, [claim])
        assert [claim.run.id for claim in await store.claim(10)] == [paused.run.id]


async def test_caps_that_are_taken_away_keep_nothing_back(database: Database) -> None:
    async with database.replica(Caps(per_agent=1)) as store:
        items = await queue(store, await new_lane(store), 3)
        assert len(await store.claim(10)) == 1
    async with database.replica() as store:
        assert not store.is_capped
        assert sorted(claim.run.id for claim in await store.claim(10)) == sorted(ids(items))


async def test_a_cap_that_is_raised_lets_more_in(database: Database) -> None:
    async with database.replica(Caps(per_agent=1)) as store:
        await queue(store, await new_lane(store), 5)
        assert len(await store.claim(10)) == 1
    async with database.replica(Caps(per_agent=4)) as store:
        assert len(await store.claim(10)) == 4
