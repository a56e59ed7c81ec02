"""Tools, memory blocks and files: a tenant's own, named once, changed by who has seen them as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.port import Fenced, Store
from sendoff_server.store.questions import BlockChange, BlockQuery
from tests.contract.databases import Database
from tests.contract.making import new_lane, next_time

TENANT = "default"
CHANGED, MOVED_ON, KNOWN = BlockChange.CHANGED, BlockChange.MOVED_ON, BlockChange.KNOWN


def tool(name: str, tool_id: str = "", etag: str = "1") -> v1.Tool:
    return v1.Tool(id=tool_id or ids.new("tool"), name=name, etag=etag)


def block(label: str = "human", value: str = "", block_id: str = "", etag: str = "1") -> v1.Block:
    return v1.Block(id=block_id or ids.new("block"), label=label, value=value, etag=etag, create_time=next_time())


def changed(of: v1.Block, value: str, etag: str) -> v1.Block:
    made = v1.Block()
    made.CopyFrom(of)
    made.value, made.etag = value, etag
    return made


def file(name: str = "") -> v1.File:
    return v1.File(id=ids.new("file"), name=name, media_type="image/png", create_time=next_time())


# ---- tools ----


async def test_a_tool_is_found_by_id_and_by_name(store: Store) -> None:
    made = tool("search")
    assert await store.put_tool(TENANT, made, None)
    assert await store.tool(TENANT, made.id) == await store.tool_named(TENANT, "search") == made
    for tenant in ("other", ""):
        assert await store.tool(tenant, made.id) is None
        assert await store.tool_named(tenant, "search") is None
        assert await store.list_tools(tenant, "", 10) == []


async def test_a_name_belongs_to_one_tool_of_a_tenant(store: Store) -> None:
    first, second = tool("search"), tool("fetch")
    assert await store.put_tool(TENANT, first, None)
    assert not await store.put_tool(TENANT, tool("search"), None)
    assert not await store.put_tool(TENANT, tool("other name", first.id), None), "it is not new"
    assert await store.put_tool(TENANT, second, None)
    assert not await store.put_tool(TENANT, tool("search", second.id, "2"), "1")
    assert await store.list_tools(TENANT, "", 10) == [second, first]
    for tenant in ("other", ""):
        assert await store.put_tool(tenant, tool("search"), None)


async def test_each_tenant_has_its_own_tool_of_an_id(store: Store) -> None:
    tool_id = ids.new("tool")
    for tenant in ("", TENANT, "other"):
        assert await store.put_tool(tenant, tool("search", tool_id, f"of {tenant}"), None)
    assert await store.put_tool(TENANT, tool("find", tool_id, "new"), f"of {TENANT}")
    assert await store.delete_tool("other", tool_id)
    assert await store.tool("other", tool_id) is None
    for tenant, etag in (("", "of "), (TENANT, "new")):
        found = await store.tool(tenant, tool_id)
        assert found is not None
        assert found.etag == etag


async def test_a_tool_is_written_over_only_by_who_knows_its_etag(store: Store) -> None:
    made = tool("search")
    await store.put_tool(TENANT, made, None)
    renamed = tool("find", made.id, "2")
    assert not await store.put_tool(TENANT, renamed, "0")
    assert not await store.put_tool("other", renamed, "1")
    assert not await store.put_tool(TENANT, tool("nobody's"), "1")
    assert await store.tool(TENANT, made.id) == made
    assert await store.put_tool(TENANT, renamed, "1")
    assert not await store.put_tool(TENANT, renamed, "1")
    assert await store.tool_named(TENANT, "find") == renamed
    assert await store.tool_named(TENANT, "search") is None


async def test_tools_are_listed_by_name_in_pages(store: Store) -> None:
    names = ["b", "C", "a", "d_1", "d"]
    for name in names:
        await store.put_tool(TENANT, tool(name), None)
    seen: list[str] = []
    while page := await store.list_tools(TENANT, seen[-1] if seen else "", 2):
        seen += [each.name for each in page]
    assert seen == sorted(names)


async def test_a_tool_that_is_deleted_is_gone_and_its_name_free(store: Store) -> None:
    made = tool("search")
    await store.put_tool(TENANT, made, None)
    assert not await store.delete_tool("other", made.id)
    assert await store.delete_tool(TENANT, made.id)
    assert not await store.delete_tool(TENANT, made.id)
    assert await store.tool(TENANT, made.id) is None
    assert await store.put_tool(TENANT, tool("search"), None)


# ---- blocks ----


async def test_a_block_can_be_read_by_its_tenant(store: Store) -> None:
    made = block(value="likes ships")
    assert await store.create_block(TENANT, made, None, b"") == made
    assert await store.block(TENANT, made.id) == made
    assert await store.block("other", made.id) is None
    assert await store.list_blocks(BlockQuery(tenant="other", limit=10)) == []


@pytest.mark.parametrize("label", ["human", None])
async def test_blocks_are_listed_newest_first_in_pages(store: Store, label: str | None) -> None:
    made = [block(each) for each in ("human", "persona", "human", "human", "persona")]
    made[3].create_time.CopyFrom(made[2].create_time)
    for each in made:
        await store.create_block(TENANT, each, None, b"")
    wanted = [each for each in made if label in (None, each.label)]
    expected = sorted(wanted, key=lambda each: (nanoseconds(each.create_time), each.id), reverse=True)
    seen: list[v1.Block] = []
    last: tuple[int, str] | None = None
    while page := await store.list_blocks(BlockQuery(tenant=TENANT, label=label, after=last, limit=2)):
        seen += page
        last = nanoseconds(page[-1].create_time), page[-1].id
    assert seen == expected


async def test_a_block_is_changed_only_by_who_knows_its_etag(store: Store) -> None:
    made = block(value="one")
    await store.create_block(TENANT, made, None, b"")
    two = changed(made, "two", "2")
    two.label = "renamed"
    assert await store.update_block(TENANT, two, "0") == MOVED_ON
    assert await store.update_block("other", two, "1") == MOVED_ON
    assert await store.update_block(TENANT, block(), "1") == MOVED_ON
    assert await store.block(TENANT, made.id) == made
    assert await store.update_block(TENANT, two, "1") == CHANGED
    assert await store.update_block(TENANT, two, "1") == MOVED_ON, "without a name it is another change"
    assert await store.block(TENANT, made.id) == two
    assert await store.list_blocks(BlockQuery(tenant=TENANT, label="renamed", limit=10)) == [two]
    assert await store.list_blocks(BlockQuery(tenant=TENANT, label="human", limit=10)) == []


async def test_a_change_that_has_a_name_is_made_once(store: Store) -> None:
    made = block(value="one")
    await store.create_block(TENANT, made, None, b"")
    two, three = changed(made, "two", "2"), changed(made, "three", "3")
    assert await store.update_block(TENANT, two, "0", "call-1") == MOVED_ON, "and is not known by that"
    assert await store.update_block(TENANT, two, "1", "call-1") == CHANGED
    assert await store.update_block(TENANT, two, "1", "call-1") == KNOWN
    assert await store.update_block(TENANT, three, "2", "call-1") == KNOWN
    assert await store.update_block(TENANT, three, "2", "call-2") == CHANGED
    assert await store.update_block(TENANT, two, "3", "call-1") == KNOWN
    assert await store.block(TENANT, made.id) == three


async def test_a_block_knows_its_newest_64_changes(store: Store) -> None:
    made = block()
    await store.create_block(TENANT, made, None, b"")
    for number in range(66):
        change = changed(made, "x", str(number + 2))
        assert await store.update_block(TENANT, change, str(number + 1), f"call-{number}") == CHANGED
    last = changed(made, "y", "end")
    assert await store.update_block(TENANT, last, "0", "call-2") == KNOWN
    assert await store.update_block(TENANT, last, "0", "call-1") == MOVED_ON


async def test_a_change_is_known_after_a_restart(database: Database) -> None:
    made = block()
    async with database.replica() as one:
        await one.create_block(TENANT, made, None, b"")
        assert await one.update_block(TENANT, changed(made, "x", "2"), "1", "call") == CHANGED
    async with database.replica() as two:
        assert await two.update_block(TENANT, changed(made, "x", "2"), "1", "call") == KNOWN


async def test_a_block_that_is_deleted_is_gone(store: Store) -> None:
    made, key = block(), Key("block", "k")
    await store.create_block(TENANT, made, key, b"")
    assert not await store.delete_block("other", made.id)
    assert await store.delete_block(TENANT, made.id)
    assert not await store.delete_block(TENANT, made.id)
    assert await store.block(TENANT, made.id) is None
    assert await store.update_block(TENANT, made, "1") == MOVED_ON
    again = block()
    assert await store.create_block(TENANT, again, key, b"other") == again


# ---- files ----


async def test_a_file_can_be_read_by_its_tenant(store: Store) -> None:
    made, data = file("a.png"), bytes(range(256)) * 1000
    assert await store.create_file(TENANT, made, data, None, b"") == made
    assert await store.file(TENANT, made.id) == made
    assert await store.file_data(TENANT, made.id) == data
    assert await store.file("other", made.id) is None
    assert await store.file_data("other", made.id) is None
    assert await store.list_files("other", None, 10) == []


async def test_files_are_listed_newest_first_in_pages(store: Store) -> None:
    made = [file() for _ in range(5)]
    made[2].create_time.CopyFrom(made[1].create_time)
    for each in made:
        await store.create_file(TENANT, each, b"x", None, b"")
    expected = sorted(made, key=lambda each: (nanoseconds(each.create_time), each.id), reverse=True)
    seen: list[v1.File] = []
    last: tuple[int, str] | None = None
    while page := await store.list_files(TENANT, last, 2):
        seen += page
        last = nanoseconds(page[-1].create_time), page[-1].id
    assert seen == expected


async def test_a_file_that_is_deleted_is_gone(store: Store) -> None:
    made = file()
    await store.create_file(TENANT, made, b"x", None, b"")
    assert not await store.delete_file("other", made.id)
    assert await store.delete_file(TENANT, made.id)
    assert not await store.delete_file(TENANT, made.id)
    assert await store.file(TENANT, made.id) is None
    assert await store.file_data(TENANT, made.id) is None


# ---- all of them ----


async def _make_block(store: Store, tenant: str, name: str, key: Key, fingerprint: bytes) -> v1.Block | Mismatched:
    return await store.create_block(tenant, block(value=name), key, fingerprint)


async def _make_file(store: Store, tenant: str, name: str, key: Key, fingerprint: bytes) -> v1.File | Mismatched:
    return await store.create_file(tenant, file(name), name.encode(), key, fingerprint)


@pytest.mark.parametrize("make", [_make_block, _make_file])
async def test_the_same_key_is_the_same_one(
    store: Store, make: Callable[[Store, str, str, Key, bytes], Awaitable[v1.Block | v1.File | Mismatched]]
) -> None:
    key = Key("request", "k")
    first = await make(store, TENANT, "one", key, b"same")
    assert not isinstance(first, Mismatched)
    assert await make(store, TENANT, "two", key, b"same") == first
    assert await make(store, TENANT, "three", key, b"other") == Mismatched(key, first.id)
    assert await make(store, "other", "four", key, b"other") != first
    assert await make(store, TENANT, "five", Key("request", "l"), b"same") != first
    held = await store.list_blocks(BlockQuery(tenant=TENANT, limit=10)), await store.list_files(TENANT, None, 10)
    assert sorted(len(each) for each in held) == [0, 2]


async def test_what_a_tenant_keeps_stays_when_its_agents_go(store: Store) -> None:
    lane = await new_lane(store)
    kept = tool("search"), block(), file()
    await store.put_tool(TENANT, kept[0], None)
    await store.create_block(TENANT, kept[1], None, b"")
    await store.create_file(TENANT, kept[2], b"x", None, b"")
    await store.delete_agent(TENANT, lane)
    found = await store.tool(TENANT, kept[0].id), await store.block(TENANT, kept[1].id)
    assert (*found, await store.file(TENANT, kept[2].id)) == kept


async def test_a_reaped_replica_changes_nothing_that_a_tenant_keeps(database: Database) -> None:
    async with database.replica() as dead, database.replica() as living:
        kept = tool("search"), block(), file()
        await dead.put_tool(TENANT, kept[0], None)
        await dead.create_block(TENANT, kept[1], None, b"")
        await dead.create_file(TENANT, kept[2], b"x", None, b"")
        database.age_beats(60)
        await living.beat()
        assert await living.reap(30) == 1
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: dead.put_tool(TENANT, tool("fetch"), None),
            lambda: dead.delete_tool(TENANT, kept[0].id),
            lambda: dead.create_block(TENANT, block(), None, b""),
            lambda: dead.update_block(TENANT, kept[1], "1"),
            lambda: dead.delete_block(TENANT, kept[1].id),
            lambda: dead.create_file(TENANT, file(), b"x", None, b""),
            lambda: dead.delete_file(TENANT, kept[2].id),
        ]
        for write in writes:
            with pytest.raises(Fenced):
                await write()
        found = await living.tool(TENANT, kept[0].id), await living.block(TENANT, kept[1].id)
        assert (*found, await living.file(TENANT, kept[2].id)) == kept
