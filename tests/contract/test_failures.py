"""What goes wrong: an item that cannot be written fails alone; a database fails as a whole, and can come back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sendoff_server.store.items import Cancel, Item, LaneMissing, MarkCancel, Marked, Placed, Recorded
from sendoff_server.store.port import Poisoned, Store, StoreFailed
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    after,
    agent,
    claim_of,
    finish,
    flush_one,
    new_lane,
    next_of,
    start,
    stored,
    turn,
)

UNWRITABLE = "half a pair: \ud800"


@pytest.mark.parametrize("size", [1, 2, 3, 8, 33])
async def test_a_poisoned_item_fails_alone(store: Store, size: int) -> None:
    lane = await new_lane(store)
    for place in {0, size // 2, size - 1}:
        items = [accept(lane) for _ in range(size)]
        items[place] = accept(lane, request_id=UNWRITABLE)
        results = await store.flush(items)
        kinds = [type(result) for result in results]
        assert kinds == [Poisoned if index == place else Placed for index in range(size)]
        found = await store.runs("default", [item.run.id for item in items])
        assert found.keys() == {item.run.id for index, item in enumerate(items) if index != place}


async def test_several_poisoned_items_fail_and_the_order_of_the_others_stays(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second, third = accept(lane), accept(lane)
    bad = [accept(lane, request_id=UNWRITABLE + str(number)) for number in range(3)]
    items: list[Item] = [bad[0], second, finish(claim), bad[1], third, bad[2]]
    results = await store.flush(items)
    assert [type(result).__name__ for result in results] == [
        "Poisoned",
        "Placed",
        "Recorded",
        "Poisoned",
        "Placed",
        "Poisoned",
    ]
    assert isinstance(results[2], Recorded)
    assert results[2].next is not None
    assert results[2].next.run == second.run
    following = await next_of(store, finish(results[2].next))
    assert following is not None
    assert following.run == third.run
    assert following.seq == turn(3)


async def test_a_run_whose_id_is_taken_is_poisoned(store: Store) -> None:
    lane = await new_lane(store)
    first = accept(lane)
    twin = accept(lane, run=first.run, request=b"other")
    results = await store.flush([first, accept(lane), twin])
    assert [type(result).__name__ for result in results] == ["Placed", "Placed", "Poisoned"]
    assert await store.run_request("default", first.run.id) == b"request"


@pytest.mark.parametrize("others", [0, 3])
async def test_a_step_that_is_poisoned_late_leaves_nothing_of_itself(store: Store, others: int) -> None:
    """Its message is there already, which comes out when its events are written."""
    lane, waiting = await new_lane(store), await new_lane(store)
    claim = await claim_of(store, accept(lane))
    started = start(claim, texts=["first"])
    await flush_one(store, started)
    clash = start(after(claim, started), texts=["second"])
    around = [accept(waiting) for _ in range(2 * others)]
    results = await store.flush([*around[:others], clash, *around[others:]])
    assert [type(result) for result in results] == [Placed] * others + [Poisoned] + [Placed] * others
    assert await stored(store, claim.run.id) == started.run
    assert [event.sequence for event in await store.events(claim.run.id, 0, 10)] == [1, 2]
    assert await flush_one(store, finish(after(claim, started))) == Recorded(None)


async def test_a_full_disk_fails_the_batch_as_a_whole_and_passes(store: Store, database: Database) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    large = accept(lane, request=b"x" * 200_000, request_id="r")
    async with database.writes_fail(store):
        with pytest.raises(StoreFailed):
            await store.flush([start(claim), large])
        assert await stored(store, claim.run.id) == claim.run
        assert await stored(store, large.run.id) is None
    assert [type(result).__name__ for result in await store.flush([start(claim), large])] == ["Recorded", "Placed"]
    assert await stored(store, large.run.id) == large.run


async def test_a_full_disk_fails_a_new_agent_and_passes(store: Store, database: Database) -> None:
    made = agent()
    made.system = "x" * 200_000
    async with database.writes_fail(store):
        with pytest.raises(StoreFailed):
            await store.create_agent("default", made, None, b"")
        assert await store.agent("default", made.id) is None
    await store.create_agent("default", made, None, b"")
    assert isinstance(await flush_one(store, accept(made.id)), Placed)


async def test_an_id_that_cannot_be_written_is_not_found(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane)
    results = await store.flush(
        [replace(accept(lane), lane=UNWRITABLE), MarkCancel("default", UNWRITABLE, Cancel(reason="why")), item]
    )
    assert results[:2] == [LaneMissing(), Marked(None)]
    assert isinstance(results[2], Placed)
    reads = [store.runs("default", [run_id]) for run_id in (UNWRITABLE, item.run.id)]
    assert await asyncio.gather(*reads) == [{}, {item.run.id: item.run}]
