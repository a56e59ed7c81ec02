"""What only the SQLite engine promises."""

from __future__ import annotations

import asyncio
import inspect
import re
import sqlite3
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import pytest

from sendoff import v1
from sendoff_server.store.items import Item, Placed, Recorded
from sendoff_server.store.port import Fenced, StoreFailed, StoreInUse
from sendoff_server.store.questions import AgentQuery
from sendoff_server.store.schema import Migration
from sendoff_server.store.sqlite import (
    agent_lists,
    checkpoint,
    conversation_list,
    deletes,
    messages,
    migrations,
    pauses,
    queries,
    tags,
)
from sendoff_server.store.sqlite.connection import connect
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.contract.databases import SqliteDatabase
from tests.contract.making import (
    accept,
    after,
    claim_of,
    finish,
    flush_one,
    new_lane,
    start,
)

ROOT = Path(__file__).parents[2]
TABLES = (
    *("agent", "conversation", "inherited", "lane", "run", "run_key", "run_log", "message", "step", "left_out"),
    *("action_set", "action", "agent_entry", "agent_tag", "listed"),
    *("delivery", "delivery_attempt", "endpoint", "purge"),
)


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    return SqliteDatabase(tmp_path / "store.db")


def _schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    connection = connect(tmp_path / "store.db")
    assert migrations.migrate(connection, 1) == len(migrations.known())
    first = _schema(connection), connection.execute("SELECT * FROM schema_version").fetchall()
    assert migrations.migrate(connection, 2) == len(migrations.known())
    assert (_schema(connection), connection.execute("SELECT * FROM schema_version").fetchall()) == first
    connection.close()


def test_two_databases_have_the_same_schema(tmp_path: Path) -> None:
    schemas = []
    for name in ("one.db", "two.db"):
        connection = connect(tmp_path / name)
        migrations.migrate(connection, 1)
        schemas.append(_schema(connection))
        connection.close()
    assert schemas[0] == schemas[1]
    assert {name for name, _ in schemas[0]} >= set(TABLES)


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = len(migrations.known())
    broken = Migration(last + 1, "broken.sql", "CREATE TABLE half (x);\nCREATE TABLE half (x);")
    monkeypatch.setattr(migrations, "known", lambda known=migrations.known: [*known(), broken])
    connection = connect(tmp_path / "store.db")
    with pytest.raises(sqlite3.OperationalError, match="half"):
        migrations.migrate(connection, 1)
    assert connection.execute("SELECT max(number) FROM schema_version").fetchone() == (last,)
    assert "half" not in {name for name, _ in _schema(connection)}
    connection.close()


async def test_a_second_process_is_told_who_has_the_database(database: SqliteDatabase) -> None:
    code = (
        "import asyncio, sys, pathlib\n"
        "from sendoff_server.store.sqlite.engine import SqliteStore\n"
        "asyncio.run(SqliteStore(pathlib.Path(sys.argv[1])).__aenter__())\n"
    )
    async with database.alone():
        with pytest.raises(StoreInUse, match=r"store\.db is in use"):
            await SqliteStore(database.path).__aenter__()
        arguments = (sys.executable, "-c", code, str(database.path))
        process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(30):
            _, told = await process.communicate()
    assert process.returncode == 1
    assert b"StoreInUse" in told
    assert str(database.path).encode() in told
    async with database.alone():
        pass


async def test_a_store_knows_whether_it_is_alone(database: SqliteDatabase) -> None:
    assert database.alone().is_alone
    assert not database.replica().is_alone


async def test_who_is_alone_takes_over_at_once_what_others_held(database: SqliteDatabase) -> None:
    async with database.replica() as earlier:
        claim = await claim_of(earlier, accept(await new_lane(earlier)))
        started = start(claim)
        await flush_one(earlier, started)
        async with database.alone() as survivor:
            assert await survivor.claim(10) == [after(claim, started)]
            with pytest.raises(Fenced):
                await earlier.flush([accept(claim.lane)])


@pytest.mark.parametrize(("named", "number"), [("FULL", 2), ("NORMAL", 1)])
async def test_commits_are_synced_as_asked(tmp_path: Path, named: Literal["FULL", "NORMAL"], number: int) -> None:
    async with SqliteStore(tmp_path / "store.db", synchronous=named) as store:
        for thread in (store._writer, store._checkpointer._thread):
            assert await thread.submit(lambda own: own.execute("PRAGMA synchronous").fetchone()) == (number,)


def test_commits_are_fully_synced_unless_asked() -> None:
    assert inspect.signature(SqliteStore).parameters["synchronous"].default == "FULL"


async def test_a_database_file_can_be_read_by_its_owner_only(database: SqliteDatabase) -> None:
    async with database.alone() as store:
        await new_lane(store)
        modes = {path.name: path.stat().st_mode & 0o777 for path in database.path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert len(modes) == 4


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        await SqliteStore(tmp_path / "file" / "store.db").__aenter__()


async def test_a_file_that_is_no_database_is_told(database: SqliteDatabase) -> None:
    database.path.write_bytes(b"not a database, and longer than a header of one: " * 40)
    with pytest.raises(StoreFailed, match="not a database"):
        await database.alone().__aenter__()
    assert database.path.read_bytes().startswith(b"not a database")


async def test_a_batch_costs_as_many_statements_whatever_its_size(database: SqliteDatabase) -> None:
    """Each statement hands the interpreter lock over, and a busy event loop gives it back late."""
    async with database.alone() as store:
        lanes = [await new_lane(store) for _ in range(64)]
        counts = []
        for size in (4, 64):
            accepts = [accept(lane, otids=[f"o{size}"]) for lane in lanes[:size]]
            placed, accepting = await _traced(store, accepts)
            claims = [result.claim for result in placed if isinstance(result, Placed) and result.claim]
            started = [start(claim, texts=["x"]) for claim in claims]
            _, starting = await _traced(store, started)
            waiting = [accept(claim.lane) for claim in claims]
            ends = [finish(after(claim, step)) for claim, step in zip(claims, started, strict=True)]
            ended, ending = await _traced(store, [*waiting, *ends])
            nexts = [result.next for result in ended if isinstance(result, Recorded) and result.next]
            assert len(nexts) == size
            await _traced(store, [finish(claim) for claim in nexts])
            counts.append((accepting, starting, ending))
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 10


async def test_the_log_of_a_busy_database_does_not_grow_for_ever(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LONG_LOG_PAGES", 50)
    sizes = []
    async with database.alone() as store:
        lane = await new_lane(store)
        for _ in range(40):
            await store.flush([accept(lane, request=b"x" * 100_000)])
            # What the timer does, in the middle of the writing.
            await store._checkpointer._thread.submit(store._checkpointer._run)
            sizes.append(database.path.with_name("store.db-wal").stat().st_size)
    assert max(sizes) < 1_000_000, sizes


async def test_a_store_at_rest_sets_no_timer(database: SqliteDatabase) -> None:
    async with database.alone() as store:
        lane = await new_lane(store)
        assert store._checkpointer._timer is not None
        store._checkpointer._timer.cancel()
        store._checkpointer._timer = None
        for _ in range(3):
            assert await store.claim(10) == []
            await store.beat()
            assert await store.reap(10) == 0
            assert await store.agent("default", lane) is not None
        assert store._checkpointer._timer is None


async def test_a_checkpoint_follows_a_write(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL_S", 0)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    original = checkpoint.checkpoint

    def told(connection: sqlite3.Connection) -> int:
        pages = original(connection)
        loop.call_soon_threadsafe(done.set)
        return pages

    monkeypatch.setattr(checkpoint, "checkpoint", told)
    async with database.alone() as store:
        await new_lane(store)
        async with asyncio.timeout(10):
            await done.wait()


_OF_WHAT_WAITS_OR_WORKS = tuple(f"INDEX lane_{name}" for name in ("active", "waiting", "barred", "scheduled"))
"""Indexes that have few rows of many."""


def test_no_query_walks_a_table_that_grows(database: SqliteDatabase) -> None:
    connection = connect(database.path)
    migrations.migrate(connection, 1)
    growing = {*TABLES, "tool", "block", "file", "block_tag"}
    for name, text in _statements():
        count = max((int(number) for number in re.findall(r"\?(\d+)", text)), default=0)
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + text, [None] * count)]
        aliases = {alias for table, alias in re.findall(r"\b(\w+) (\w)\b", text) if table in growing} | growing
        walked = [line for line in plan if line.startswith("SCAN") and line.split()[1] in aliases - {"o"}]
        walked = [line for line in walked if not line.endswith(_OF_WHAT_WAITS_OR_WORKS)]
        assert not walked, (name, plan)
    connection.close()


def test_a_claim_costs_what_it_takes_however_many_lanes_wait(database: SqliteDatabase) -> None:
    connection = connect(database.path)
    migrations.migrate(connection, 1)
    statements = dict(_statements())
    for name, index in (
        ("due_lanes", "lane_scheduled"),
        ("waiting_shares", "lane_waiting"),
        ("waiting_lanes", "lane_waiting"),
        ("barred_agents", "lane_barred"),
        ("free_lanes_of_agent", "lane_barred"),
    ):
        count = max(int(number) for number in re.findall(r"\?(\d+)", statements[name]))
        plan = [str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + statements[name], [None] * count)]
        assert [line for line in plan if f"INDEX {index} (" in line], (name, plan)
        assert not [line for line in plan if "TEMP B-TREE" in line], (name, plan)
    connection.close()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (v1.AgentFilter(), "agent_entry_by_create_time"),
        (v1.AgentFilter(name="n"), "INTEGER PRIMARY KEY"),
        (v1.AgentFilter(tags=["t"]), "INTEGER PRIMARY KEY"),
        (v1.AgentFilter(agent_ids=["a"]), "INTEGER PRIMARY KEY"),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [None, (5, "agent")], ids=["first", "next"])
def test_a_page_of_agents_costs_what_is_on_it_or_what_is_looked_for(
    database: SqliteDatabase, wanted: v1.AgentFilter, index: str, place: tuple[int, str] | None
) -> None:
    connection = connect(database.path)
    migrations.migrate(connection, 1)
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    agent_lists.read_page(connection, AgentQuery(tenant="default", filter=wanted, after=place, limit=3))
    connection.set_trace_callback(None)
    (statement,) = seen
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    connection.close()
    assert not [line for line in plan if line.startswith("SCAN")], plan
    assert index in next(line for line in plan if line.startswith("SEARCH e ")), plan
    assert wanted != v1.AgentFilter() or not [line for line in plan if "TEMP B-TREE" in line], plan


def _statements() -> list[tuple[str, str]]:
    """Those of `queries.sql` with each text that a `:name` in them can stand for; not those with many rows."""
    lists = [f"list_of_{owner}" for owner in ("run", "lane", "agent", "tenant")]
    choices = [
        {
            **{"list": queries.named(of), "runs": runs, "lanes": lanes, "order": order, "behind": behind},
            **{"key": key, "owner": owner, "waiting": waiting, "of_agent": "?2 = 0"},
            **tagging,
        }
        for of in lists
        for runs in (messages.OWN, messages.ENDED, messages.INHERITED, messages.OWN_CONTEXT, messages.INHERITED_CONTEXT)
        for lanes in (deletes.ONE_LANE, deletes.LANES_OF_AGENT)
        for order, behind in (("ASC", ">"), ("DESC", "<"))
        for key, waiting in product(conversation_list.KEYS.values(), (pauses._NOT_BARRED, pauses._AT_CAP))
        for owner in (conversation_list.OF_TENANT, conversation_list.OF_AGENT)
        for tagging in (
            {"table": tags.OF_AGENTS, "next": "min", "first": "1", "than": ">"},
            {"table": tags.OF_BLOCKS, "next": "max", "first": "tag < ?2", "than": "<"},
        )
    ]
    named = queries._named()
    found = {(name, queries.named(name, **texts)) for name in named if ":rows" not in named[name] for texts in choices}
    return sorted(found)


async def test_large_requests_of_many_lanes_can_be_claimed(database: SqliteDatabase) -> None:
    requests = [bytes([number]) * size for number, size in enumerate((16_383, 16_384, 16_385, 1_000_000, 0))]
    async with database.alone() as store:
        for request in requests:
            await flush_one(store, accept(await new_lane(store), request=request, lease=False))
        assert [claim.request for claim in await store.claim(10)] == requests


async def _traced(store: SqliteStore, items: Sequence[Item]) -> tuple[list[object], int]:
    """Results, and how many statements it took."""
    seen: list[str] = []
    await store._writer.submit(lambda own: own.set_trace_callback(seen.append))
    results = await store.flush(items)
    await store._writer.submit(lambda own: own.set_trace_callback(None))
    return list(results), len(seen)


@pytest.mark.parametrize("owner", ["run", "lane", "agent", "tenant"])
def test_a_message_is_found_in_a_list_by_its_id(database: SqliteDatabase, owner: str) -> None:
    """And not by looking through the list."""
    connection = connect(database.path)
    migrations.migrate(connection, 1)
    for runs in (messages.OWN, messages.INHERITED):
        text = queries.named(f"place_in_{owner}", runs=runs)
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + text, [None] * 3)]
        assert any("listed_by_id (id=?)" in line for line in plan), plan
    connection.close()
