"""Runs whose time is over go, in bites; what they said stays where it was said."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SECOND_NS, nanoseconds
from sendoff_server.store.items import Claim, Deleted, LeftOut, Placed
from sendoff_server.store.port import DEFAULT_TENANT, INPUT_PLACE, POSITION_SHIFT, Store
from sendoff_server.store.questions import (
    DeliveryQuery,
    Fork,
    MessageQuery,
    MessageScope,
    Purged,
    RunDeletion,
    RunQuery,
    StepQuery,
)
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    after,
    claim_of,
    finish,
    flush_one,
    message,
    new_conversation,
    new_lane,
    next_of,
    progress,
    settle,
    stop,
    stored,
)
from tests.contract.outbox_making import attempt, due, registered

TENANT = DEFAULT_TENANT
ALL = 1 << 62
ROOT = Path(__file__).parents[2]
KEPT_UNTIL = Timestamp(seconds=2_000_000_000)
OVER_NS = nanoseconds(KEPT_UNTIL)
LATER_NS = OVER_NS + 3_600 * SECOND_NS
"""When what was put off is looked at again."""


def expiring(**fields: Any) -> v1.Run:
    return v1.Run(expire_time=KEPT_UNTIL, **fields)


async def said(store: Store, lane: str, text: str, *, events: int = 1, run: v1.Run | None = None, **more: Any) -> Claim:
    """A run that has ended, with one step and one message, kept until KEPT_UNTIL."""
    claim = await claim_of(store, accept(lane, run=run or expiring(), **more))
    step = v1.Step(id=ids.derive("step", claim.run.id, 0), run_id=claim.run.id)
    written = message(claim.run, (claim.seq << POSITION_SHIFT) + INPUT_PLACE, text)
    started = progress(lane, claim.run, messages=[written], step=step, events=events)
    await flush_one(store, started)
    await next_of(store, finish(after(claim, started)))
    return claim


async def purged(store: Store, now_ns: int = OVER_NS, limit: int = 20) -> set[str]:
    """All that go now."""
    gone: set[str] = set()
    for _ in range(1_000):
        bite = await store.purge(now_ns, limit)
        gone |= set(bite.run_ids)
        if bite.is_done:
            return gone
    raise AssertionError("there is no end to it")


async def texts(store: Store, lane: str) -> list[str]:
    return [each.assistant_message.content.text for each in (await store.history(lane, ALL, 10_000)).messages]


# ---- what goes, and what stays ----


async def test_a_run_goes_once_its_time_is_over_and_not_before(store: Store) -> None:
    lane = await new_lane(store)
    claim = await said(store, lane, "a")
    forever = await said(store, lane, "b", run=v1.Run())
    assert await store.purge(OVER_NS - 1, 20) == Purged([], 0, is_done=True)
    assert await purged(store) == {claim.run.id}
    assert await stored(store, claim.run.id) is None
    assert await stored(store, forever.run.id) is not None
    assert await store.purge(LATER_NS, 20) == Purged([], 0, is_done=True)


async def test_it_goes_with_its_log_request_steps_and_deliveries(store: Store) -> None:
    lane = await new_lane(store)
    await registered(store)
    claim = await said(store, lane, "a")
    run_id = claim.run.id
    for each in await due(store):
        await flush_one(store, attempt(each, status=200))
    assert len(await store.list_deliveries(DeliveryQuery(tenant=TENANT))) == 1
    assert await purged(store) == {run_id}
    assert await store.events(run_id, 0, 100) == []
    assert await store.run_request(TENANT, run_id) is None
    assert await store.run_messages(run_id, -1, 10) == []
    assert await store.steps(run_id) == await store.list_steps(StepQuery(tenant=TENANT)) == []
    assert await store.step(TENANT, ids.derive("step", run_id, 0)) is None
    assert await store.list_deliveries(DeliveryQuery(tenant=TENANT)) == []
    assert await store.list_runs(RunQuery(tenant=TENANT)) == []
    assert await store.delete_run(TENANT, run_id) is RunDeletion.MISSING


async def test_nothing_is_left_of_it_but_what_holds_its_messages(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    empty = database.count_rows()
    await said(store, lane, "a", request_id="r", otids=["o"])
    await purged(store)
    left = {name: count - empty[name] for name, count in database.count_rows().items() if count != empty[name]}
    assert left == {"run": 1, "message": 1, "listed": 1}


async def test_what_it_said_stays_in_its_place(store: Store) -> None:
    lane = await new_lane(store)
    await said(store, lane, "a")
    await said(store, lane, "b", run=v1.Run())
    await said(store, lane, "c")
    before = await store.history(lane, ALL, 10_000)
    listed = await store.list_messages(MessageQuery(of=MessageScope(tenant=TENANT, lane=lane), newest_first=False))
    assert len(await purged(store)) == 2
    assert await store.history(lane, ALL, 10_000) == before
    assert listed == await store.list_messages(
        MessageQuery(of=MessageScope(tenant=TENANT, lane=lane), newest_first=False)
    )
    await said(store, lane, "d")
    assert await texts(store, lane) == ["a", "b", "c", "d"]


async def test_forks_of_it_stay_as_they_are(store: Store) -> None:
    lane = await new_lane(store)
    await said(store, lane, "a")
    fork = v1.Conversation(id=ids.new("conv"), agent_id=lane, etag="1", create_time=KEPT_UNTIL)
    await store.create_conversation(TENANT, fork, None, b"", Fork(lane, None))
    await purged(store)
    assert await texts(store, fork.id) == ["a"]


async def test_what_only_the_run_lists_goes_with_it(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane, run=expiring()))
    base = claim.seq << POSITION_SHIFT
    written = [message(claim.run, base, "settles"), message(claim.run, base + INPUT_PLACE, "dropped")]
    started = progress(lane, claim.run, messages=written)
    await flush_one(store, started)
    ended = progress(lane, started.run, v1.RUN_STATUS_CANCELLED)
    await next_of(store, replace(ended, left_out=LeftOut.CONVERSATION))
    await purged(store)
    assert await texts(store, lane) == ["settles"]
    assert await store.message(TENANT, written[1].id) == []


async def test_its_keys_are_free_again(store: Store) -> None:
    lane = await new_lane(store)
    keys: dict[str, Any] = {"request_id": "r", "otids": ["o1", "o2"]}
    claim = await said(store, lane, "a", **keys)
    deleted = await said(store, lane, "b", request_id="other")
    await store.delete_run(TENANT, deleted.run.id)
    assert await purged(store) == {claim.run.id}
    assert isinstance(await flush_one(store, accept(lane, **keys)), Placed)
    assert await flush_one(store, accept(lane, request_id="other")) == Deleted(deleted.run.id)


async def test_a_deleted_agent_leaves_nothing_to_purge(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    await said(store, lane, "a")
    await store.delete_agent(TENANT, lane)
    assert {name: count for name, count in database.count_rows().items() if count} == {}
    assert await store.purge(OVER_NS, 20) == Purged([], 0, is_done=True)


# ---- what can not go yet ----


async def test_a_run_that_has_not_ended_stays(store: Store) -> None:
    lane = await new_lane(store)
    head = await claim_of(store, accept(lane, run=expiring()))
    assert await purged(store) == set()
    assert await next_of(store, finish(head)) is None
    assert await purged(store) == {head.run.id}


async def test_a_turn_goes_when_it_is_over(store: Store) -> None:
    lane = await new_lane(store)
    first = await claim_of(store, accept(lane, run=expiring(turn_id="turn-1")))
    stopping = stop(first)
    assert await next_of(store, stopping) is None
    assert await purged(store) == set()
    second = await claim_of(store, accept(lane, continues=first.run.id, run=expiring(turn_id="turn-1")))
    settled = settle(second)
    await flush_one(store, settled)
    assert await purged(store, LATER_NS) == set()
    await next_of(store, stop(after(second, settled)))
    assert await purged(store, 2 * LATER_NS) == set()
    third = await claim_of(store, accept(lane, continues=second.run.id, run=expiring(turn_id="turn-1")))
    settled = settle(third)
    await flush_one(store, settled)
    assert await purged(store, 3 * LATER_NS) == set()
    await next_of(store, finish(after(third, settled)))
    assert await purged(store, 4 * LATER_NS) == {first.run.id, second.run.id, third.run.id}
    assert await store.actions(TENANT, lane) is None


async def test_a_busy_conversation_keeps_nothing_of_turns_that_are_over(store: Store) -> None:
    lane = await new_lane(store)
    done = await said(store, lane, "a", run=expiring(turn_id="turn-1"))
    await claim_of(store, accept(lane, run=v1.Run(turn_id="turn-2")))
    await flush_one(store, accept(lane, run=v1.Run(turn_id="turn-3")))
    assert await purged(store) == {done.run.id}


async def test_a_run_stays_until_its_deliveries_are_done_or_given_up(store: Store) -> None:
    lane = await new_lane(store)
    await registered(store)
    claim = await said(store, lane, "a")
    (delivery,) = await due(store)
    assert await purged(store) == set()
    await flush_one(store, attempt(delivery, "refused"))
    assert await purged(store) == set()
    assert await purged(store, LATER_NS) == {claim.run.id}


async def test_what_can_not_go_does_not_keep_others(store: Store) -> None:
    waiting = [await claim_of(store, accept(await new_lane(store), run=expiring())) for _ in range(3)]
    for claim in waiting:
        await next_of(store, stop(claim))
    done = await said(store, await new_lane(store), "a")
    assert await purged(store, limit=1) == {done.run.id}
    assert all([await stored(store, claim.run.id) for claim in waiting])


# ---- bites ----


async def test_it_is_done_in_bites_in_between_of_which_nobody_finds_half_a_run(store: Store) -> None:
    lane, other = await new_lane(store), await new_lane(store)
    large, small = await said(store, lane, "a", events=1_200), await said(store, other, "b")
    bites: list[Purged] = []
    while not bites or not bites[-1].is_done:
        bites.append(await store.purge(OVER_NS, 20))
        assert max(bite.entries for bite in bites) <= 500
        for claim in (large, small):
            kept = await stored(store, claim.run.id) is not None
            assert kept == bool(await store.events(claim.run.id, 0, 10)) == bool(await store.steps(claim.run.id))
            assert kept == (await store.run_request(TENANT, claim.run.id) is not None)
    assert len(bites) > 2
    assert sorted(run_id for bite in bites for run_id in bite.run_ids) == sorted([large.run.id, small.run.id])
    # The request, what accepted it, and its end, beside the others.
    assert sum(bite.entries for bite in bites) == 1_200 + 3 + 1 + 3


async def test_a_bite_takes_no_more_runs_than_asked(store: Store) -> None:
    runs = [await said(store, await new_lane(store), "a") for _ in range(3)]
    sizes = [len((await store.purge(OVER_NS, 2)).run_ids) for _ in range(2)]
    assert sizes == [2, 1]
    assert not any([await stored(store, claim.run.id) for claim in runs])


async def test_replicas_that_purge_at_a_time_take_each_run_once(database: Database) -> None:
    async with database.replica() as first, database.replica() as second:
        lanes = [await new_lane(first) for _ in range(4)]
        runs = {(await said(first, lane, "a")).run.id for lane in lanes for _ in range(5)}
        gone: list[str] = []

        async def purging(store: Store) -> None:
            while True:
                bite = await store.purge(OVER_NS, 3)
                gone.extend(bite.run_ids)
                if bite.is_done:
                    return

        await asyncio.gather(purging(first), purging(second))
        gone.extend(await purged(first))
        assert sorted(gone) == sorted(runs)


async def test_accepts_and_purges_of_a_conversation_do_not_hurt_each_other(database: Database) -> None:
    async with database.replica() as first, database.replica() as second:
        agent = await new_lane(first)
        lanes = [agent, *[await new_conversation(first, agent) for _ in range(3)]]
        for number in range(20):
            await said(first, lanes[number % 4], str(number), agent_id=agent if number % 4 else None)

        async def accepting() -> None:
            for number in range(20):
                await said(second, lanes[number % 4], "new", run=v1.Run(), agent_id=agent if number % 4 else None)

        async def purging() -> int:
            count = 0
            for _ in range(20):
                count += len((await first.purge(OVER_NS, 2)).run_ids)
            return count

        _, count = await asyncio.gather(accepting(), purging())
        assert count + len(await purged(first)) == 20
        assert [len(await texts(first, lane)) for lane in lanes] == [10, 10, 10, 10]


# ---- killed in the middle ----


@asynccontextmanager
async def purging_process(database: Database) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.purge_until_killed", database.address, str(OVER_NS)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_what_a_killed_replica_has_left_is_purged_by_the_next(database: Database) -> None:
    async with database.replica() as store:
        lane = await new_lane(store)
        empty = database.count_rows()
        for text in "ab":
            await said(store, lane, text, events=2_000, request_id=text)
        before = await store.history(lane, ALL, 10_000)
        async with purging_process(database) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"\n\n\n")
            async with asyncio.timeout(30):
                assert [int(await process.stdout.readline()) for _ in range(2)] == [500, 500]
            process.kill()  # in the third bite, or behind it
            await process.wait()
        log = database.count_rows()["run_log"]
        assert 4_006 - 1_500 <= log <= 4_006 - 1_000
        found = await store.list_runs(RunQuery(tenant=TENANT))
        assert [len(await store.events(run.id, 0, 5_000)) for run in found] == [2_002 for _ in found]
        await purged(store)
        assert await store.history(lane, ALL, 10_000) == before
        left = {name: count - empty[name] for name, count in database.count_rows().items() if count != empty[name]}
        assert left == {"run": 2, "message": 2, "listed": 2}
