"""Accept: once per key, in order, within limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sendoff import v1
from sendoff_server.store.items import Accept, Busy, Full, Key, LaneMissing, Mismatched, Placed, Repeated
from sendoff_server.store.port import Store
from sendoff_server.store.questions import RunQuery
from tests.contract.databases import Database
from tests.contract.making import accept, claim_of, finish, flush_one, new_lane, run_to_end, stored, turn

TENANT = "default"


async def test_an_accepted_run_can_be_read_at_once(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, request=b"\x00\xff the request")
    placed = await flush_one(store, item)
    assert isinstance(placed, Placed)
    assert placed.run == item.run
    assert await stored(store, item.run.id) == item.run
    assert await store.run_request(TENANT, item.run.id) == b"\x00\xff the request"
    assert await store.events(item.run.id, 0, 10) == [item.event]


async def test_the_first_run_of_a_lane_takes_the_lease(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, request=b"body")
    claim = await claim_of(store, item)
    assert (claim.tenant, claim.lane, claim.seq, claim.run, claim.request) == (TENANT, lane, turn(1), item.run, b"body")
    assert claim.cancel_wanted is None


async def test_a_run_behind_another_is_not_claimed(store: Store) -> None:
    lane = await new_lane(store)
    await claim_of(store, accept(lane))
    second = accept(lane)
    assert await flush_one(store, second) == Placed(second.run, None)


async def test_an_accept_without_lease_leaves_the_lane_to_claim(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, lease=False)
    assert await flush_one(store, item) == Placed(item.run, None)
    assert [claim.run.id for claim in await store.claim(10)] == [item.run.id]


async def test_an_accept_does_not_take_the_lease_past_runs_that_wait(store: Store) -> None:
    lane = await new_lane(store)
    first, second = accept(lane, lease=False), accept(lane, lease=True)
    assert await store.flush([first, second]) == [Placed(first.run, None), Placed(second.run, None)]
    assert [claim.run.id for claim in await store.claim(10)] == [first.run.id]


async def test_the_same_request_id_is_the_same_run(store: Store) -> None:
    lane = await new_lane(store)
    first = accept(lane, request_id="r1")
    await claim_of(store, first)
    assert await flush_one(store, accept(lane, request_id="r1")) == Repeated(first.run)
    assert await store.list_runs(RunQuery(tenant=TENANT)) == [first.run]


async def test_a_repeat_tells_the_run_as_it_is_now(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane, otids=["o1"]))
    done = finish(claim)
    assert len(await store.flush([done, accept(lane, otids=["o1"])])) == 2
    assert await flush_one(store, accept(lane, otids=["o1"])) == Repeated(done.run)


async def test_a_repeat_is_one_also_when_the_lane_is_busy_and_full(store: Store) -> None:
    lane = await new_lane(store)
    first = accept(lane, otids=["o1"])
    await claim_of(store, first)
    again = accept(lane, otids=["o1"], reject_if_busy=True, max_open=1)
    assert await flush_one(store, again) == Repeated(first.run)


async def test_repeats_within_one_batch_are_one_run(store: Store) -> None:
    lane = await new_lane(store)
    items = [accept(lane, otids=["o1", "o2"], request_id="r") for _ in range(3)]
    placed, *repeats = await store.flush(items)
    assert isinstance(placed, Placed)
    assert repeats == [Repeated(items[0].run)] * 2


async def test_concurrent_repeats_on_two_replicas_are_one_run(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        flushes = [store.flush([accept(lane, request_id="r")]) for store in (one, two)]
        results = [result for (result,) in await asyncio.gather(*flushes)]
        runs = await one.list_runs(RunQuery(tenant=TENANT))
    assert sorted(type(result).__name__ for result in results) == ["Placed", "Repeated"]
    assert len(runs) == 1


async def test_a_key_with_another_request_is_refused_and_names_the_run(store: Store) -> None:
    lane = await new_lane(store)
    first = accept(lane, request_id="r1", fingerprint=b"one")
    await claim_of(store, first)
    other = accept(lane, request_id="r1", fingerprint=b"two")
    assert await flush_one(store, other) == Mismatched(Key("request", "r1"), first.run.id)
    assert await stored(store, other.run.id) is None


async def test_a_key_with_another_request_in_one_batch_is_refused(store: Store) -> None:
    lane = await new_lane(store)
    first, other = accept(lane, request_id="r", fingerprint=b"1"), accept(lane, request_id="r", fingerprint=b"2")
    _, refused = await store.flush([first, other])
    assert refused == Mismatched(Key("request", "r"), first.run.id)


async def test_otids_of_which_only_some_are_known_are_refused(store: Store) -> None:
    lane = await new_lane(store)
    first = accept(lane, otids=["o1", "o2"])
    await claim_of(store, first)
    partly = accept(lane, otids=["new", "o2"])
    assert await flush_one(store, partly) == Mismatched(Key(f"otid:{lane}", "o2"), first.run.id)
    assert isinstance(await flush_one(store, accept(lane, otids=["new"])), Placed)


async def test_keys_of_two_runs_are_refused(store: Store) -> None:
    lane = await new_lane(store)
    one, two = accept(lane, otids=["o1"]), accept(lane, otids=["o2"])
    await store.flush([one, two])
    both = accept(lane, otids=["o1", "o2"])
    assert isinstance(await flush_one(store, both), Mismatched)


async def test_a_key_of_another_tenant_is_another_key(store: Store) -> None:
    ours, theirs = await new_lane(store), await new_lane(store, "other")
    await claim_of(store, accept(ours, request_id="r", fingerprint=b"1"))
    assert isinstance(
        await flush_one(store, accept(theirs, request_id="r", fingerprint=b"2", tenant="other")),
        Placed,
    )


async def test_keys_that_differ_behind_a_nul_differ(store: Store) -> None:
    lane = await new_lane(store)
    first = accept(lane, request_id="a\0b")
    await claim_of(store, first)
    for key in ("a", "a\0c"):
        assert isinstance(await flush_one(store, accept(lane, request_id=key)), Placed)
    assert await flush_one(store, accept(lane, request_id="a\0b")) == Repeated(first.run)


async def test_a_key_twice_in_one_request_counts_once(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, otids=["o1", "o1"])
    await claim_of(store, item)
    assert await flush_one(store, accept(lane, otids=["o1", "o1"])) == Repeated(item.run)


async def test_a_busy_lane_refuses_and_names_its_head(store: Store) -> None:
    lane = await new_lane(store)
    first, second = accept(lane), accept(lane)
    await store.flush([first, second])
    assert await flush_one(store, accept(lane, reject_if_busy=True)) == Busy(first.run.id)


async def test_a_lane_whose_runs_have_ended_is_not_busy(store: Store) -> None:
    lane = await new_lane(store)
    await run_to_end(store, await claim_of(store, accept(lane)))
    assert isinstance(await flush_one(store, accept(lane, reject_if_busy=True)), Placed)


async def test_a_full_lane_refuses_until_a_run_ends(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane, max_open=2))
    results = await store.flush([accept(lane, max_open=2), accept(lane, max_open=2), finish(claim)])
    assert [type(result).__name__ for result in results] == ["Placed", "Full", "Recorded"]
    assert isinstance(await flush_one(store, accept(lane, max_open=2)), Placed)
    assert await flush_one(store, accept(lane, max_open=2)) == Full()


async def test_a_lane_that_does_not_exist_takes_nothing(store: Store) -> None:
    assert await flush_one(store, accept("agent-of-nobody")) == LaneMissing()


async def test_a_lane_of_another_tenant_does_not_exist(store: Store) -> None:
    theirs = await new_lane(store, "other")
    assert await flush_one(store, accept(theirs)) == LaneMissing()


async def test_a_large_batch_over_many_lanes_is_placed_whole(store: Store) -> None:
    lanes = [await new_lane(store) for _ in range(7)]
    items = [accept(lanes[number % 7], otids=[f"o{number}"]) for number in range(600)]
    results = await store.flush(items)
    assert [result.run.id for result in results if isinstance(result, Placed)] == [item.run.id for item in items]
    assert sum(isinstance(result, Placed) and result.claim is not None for result in results) == 7
    found = await store.runs(TENANT, [item.run.id for item in items])
    assert all(found[item.run.id] == item.run for item in items)
    assert {run.status for run in found.values()} == {v1.RUN_STATUS_CREATED}


async def test_a_request_without_keys_repeats_the_newest_like_it_if_its_caller_says_so(store: Store) -> None:
    lane, other = await new_lane(store), await new_lane(store)
    first = accept(lane)
    await claim_of(store, first)
    since = first.run.create_time.ToNanoseconds()

    def again(lane: str, since_ns: int | None, fingerprint: bytes = b"same") -> Accept:
        return replace(accept(lane, fingerprint=fingerprint), repeats_since_ns=since_ns)

    assert await flush_one(store, again(lane, since)) == Repeated(first.run)
    assert isinstance(await flush_one(store, again(lane, since, fingerprint=b"other")), Placed)
    assert isinstance(await flush_one(store, again(other, since)), Placed)
    assert isinstance(await flush_one(store, again(lane, since + 1)), Placed)
    assert isinstance(await flush_one(store, again(lane, None)), Placed)


async def test_a_repeat_beside_its_first_in_one_batch_is_the_same_run(store: Store) -> None:
    lane = await new_lane(store)
    first, second = accept(lane), replace(accept(lane), repeats_since_ns=0)
    results = await store.flush([first, second])
    assert isinstance(results[0], Placed)
    assert results[1] == Repeated(first.run)
