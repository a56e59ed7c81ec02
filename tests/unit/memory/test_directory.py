"""A directory of blocks answers as the store would, and asks it once."""

from __future__ import annotations

import asyncio

import pytest

from sendoff import v1
from sendoff_server.memory.directory import BlockDirectory
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.questions import BlockChange
from tests.unit.memory.keeping import TENANT, BlockStore, block


@pytest.fixture
def store() -> BlockStore:
    return BlockStore(block("block-1"), block("block-2", "persona"))


@pytest.fixture
def directory(store: BlockStore) -> BlockDirectory:
    return BlockDirectory(store.as_store)


def changed(before: v1.Block, value: str) -> v1.Block:
    after = v1.Block.FromString(before.SerializeToString())
    after.value, after.etag = value, f"etag of {value}"
    return after


async def value(directory: BlockDirectory, block_id: str = "block-1") -> str | None:
    found = await directory.find(TENANT, block_id)
    return found.value if found else None


async def test_a_block_is_read_once_also_one_that_is_not_there(directory: BlockDirectory, store: BlockStore) -> None:
    for _ in range(3):
        assert await value(directory) == "Likes tea."
        assert await value(directory, "block-3") is None
    assert store.reads == 2


async def test_a_block_is_its_tenant_s_alone(directory: BlockDirectory) -> None:
    assert await value(directory) == "Likes tea."
    assert await directory.find("another", "block-1") is None


async def test_where_other_processes_write_every_step_reads(directory: BlockDirectory, store: BlockStore) -> None:
    store.is_alone = False
    assert await value(directory) == "Likes tea."
    store.put(changed(store.blocks["block-1"], "Likes milk."))
    assert await value(directory) == "Likes milk."


async def test_a_change_is_seen_without_reading(directory: BlockDirectory, store: BlockStore) -> None:
    before = store.blocks["block-1"]
    assert await directory.update(TENANT, changed(before, "new"), before.etag) is BlockChange.CHANGED
    assert (await value(directory), store.reads) == ("new", 0)


async def test_a_change_that_others_were_before_makes_it_look_again(
    directory: BlockDirectory, store: BlockStore
) -> None:
    before = store.blocks["block-1"]
    await value(directory)
    store.put(changed(before, "theirs"))
    assert await directory.update(TENANT, changed(before, "ours"), before.etag) is BlockChange.MOVED_ON
    assert await value(directory) == "theirs"


async def test_a_deleted_block_is_gone(directory: BlockDirectory) -> None:
    await value(directory)
    assert await directory.delete(TENANT, "block-1")
    assert await value(directory) is None
    assert not await directory.delete(TENANT, "block-1")


async def test_a_write_that_failed_makes_it_look_again(directory: BlockDirectory, store: BlockStore) -> None:
    before = store.blocks["block-1"]
    await value(directory)
    store.fail_after_write = StoreFailed()
    with pytest.raises(StoreFailed):
        await directory.update(TENANT, changed(before, "new"), before.etag)
    assert await value(directory) == "new"


async def test_a_caller_who_goes_away_leaves_no_old_block_behind(directory: BlockDirectory, store: BlockStore) -> None:
    before = store.blocks["block-1"]
    await value(directory)
    store.hold = asyncio.Event()
    store.entered.clear()
    writing = asyncio.create_task(directory.update(TENANT, changed(before, "new"), before.etag))
    await store.entered.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await value(directory) == "Likes tea."
    store.hold.set()
    async with asyncio.timeout(10):
        while store.writes == 0:  # noqa: ASYNC110  # the write has nobody left whom it could tell
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await value(directory) == "new"


async def test_what_was_read_before_a_change_and_came_after_it_is_not_remembered(
    directory: BlockDirectory, store: BlockStore
) -> None:
    before = store.blocks["block-1"]
    store.hold = asyncio.Event()
    reading = asyncio.create_task(directory.find(TENANT, "block-1"))
    await store.entered.wait()
    held, store.hold = store.hold, None
    await directory.update(TENANT, changed(before, "new"), before.etag)
    held.set()
    await reading
    assert await value(directory) == "new"


async def test_no_more_is_remembered_than_its_bound(store: BlockStore) -> None:
    directory = BlockDirectory(store.as_store, max_bytes=3_000)
    for number in range(10):
        store.put(block(f"big-{number}", value="x" * 1_000))
    for number in (0, 1, 0, 2, 0, 1):
        assert await value(directory, f"big-{number}") == "x" * 1_000
    assert store.reads == 4
    store.put(block("huge", value="x" * 5_000))
    for _ in range(2):
        assert await value(directory, "huge") == "x" * 5_000
    assert store.reads == 6
