"""Migrations on PostgreSQL beside programs that go on with their work, and on both engines what is noted of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from sendoff_server.store.items import Recorded
from sendoff_server.store.port import NewerSchema, OlderSchema, StoreFailed
from sendoff_server.store.postgres import migrations
from sendoff_server.store.postgres.engine import PostgresStore, bring_schema
from sendoff_server.store.schema import Migration
from sendoff_server.store.sqlite import migrations as sqlite_migrations
from sendoff_server.store.sqlite.connection import connect
from tests.contract.making import accept, claim_of, finish, flush_one, new_lane, stored
from tests.postgres import new_database

PATIENCE_S = 30.0
BUSY = Migration(1, "0001_busy.sql", "CREATE TABLE busy (no bigint); INSERT INTO busy VALUES (0);")
COLUMN = Migration(2, "0002_column.sql", "-- oldest program: 1\nALTER TABLE busy ADD COLUMN more text;\n")
INDEX = Migration(
    3,
    "0003_index.sql",
    "-- oldest program: 1\n"
    "-- outside a transaction\n"
    "DROP INDEX CONCURRENTLY IF EXISTS busy_by_no;  -- of an attempt that was broken off\n"
    "CREATE INDEX CONCURRENTLY busy_by_no ON busy (no);\n"
    "DROP TABLE IF EXISTS told;\n"
    "CREATE TABLE told AS SELECT current_setting('statement_timeout') AS statement_timeout;\n",
)
Know = Callable[..., None]


@pytest.fixture
def know(monkeypatch: pytest.MonkeyPatch) -> Know:
    """Makes programs that know these migrations and no other."""

    def programs_know(*known: Migration) -> None:
        monkeypatch.setattr(migrations, "known", lambda: list(known))

    return programs_know


@pytest.fixture
def dsn() -> Iterator[str]:
    """An empty database."""
    with new_database() as made:
        yield made


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def _until_somebody_waits(connection: asyncpg.Connection[asyncpg.Record], locks: str = "true") -> None:
    asked = (
        "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) "
        f"WHERE NOT granted AND datname = current_database() AND {locks}"
    )
    async with asyncio.timeout(PATIENCE_S):
        while not await connection.fetch(asked):  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.01)


async def test_a_database_knows_which_programs_its_migrations_let_stay(dsn: str, know: Know) -> None:
    know(BUSY)
    assert await bring_schema(dsn, only_check=False) == 1
    know(BUSY, COLUMN)
    with pytest.raises(OlderSchema, match="has schema 1, this program needs 2; run `sendoff-server migrate`"):
        await bring_schema(dsn, only_check=True)
    assert await bring_schema(dsn, only_check=False) == 2
    know(BUSY)
    assert await bring_schema(dsn, only_check=False) == await bring_schema(dsn, only_check=True) == 2
    know(BUSY, COLUMN, Migration(3, "0003_contract.sql", "-- oldest program: 2\nALTER TABLE busy DROP COLUMN no;\n"))
    assert await bring_schema(dsn, only_check=False) == 3
    know(BUSY)
    for only_check in (False, True):
        with pytest.raises(NewerSchema, match="schema 3, which programs that know 2 or more can use"):
            await bring_schema(dsn, only_check=only_check)


async def test_a_database_of_before_migrations_told_who_may_stay_is_migrated(dsn: str, know: Know) -> None:
    async with session(dsn) as connection:
        await connection.execute(
            "CREATE TABLE schema_version (number integer PRIMARY KEY, applied_at timestamptz NOT NULL);"
            "INSERT INTO schema_version VALUES (1, now()); CREATE TABLE busy (no bigint)"
        )
        know(BUSY)
        assert await bring_schema(dsn, only_check=True) == 1
        know(BUSY, COLUMN)
        assert await bring_schema(dsn, only_check=False) == 2
        rows = await connection.fetch("SELECT number, oldest FROM schema_version ORDER BY number")
        assert [tuple(row) for row in rows] == [(1, None), (2, 1)]


def test_sqlite_knows_which_programs_its_migrations_let_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, last = sqlite_migrations.known(), len(sqlite_migrations.known())
    column = Migration(last + 1, "next.sql", f"-- oldest program: {last}\nALTER TABLE lane ADD COLUMN more TEXT;\n")
    contract = Migration(last + 2, "last.sql", "ALTER TABLE lane DROP COLUMN more;\n")
    connection = connect(tmp_path / "store.db")
    try:
        for knows, schema in ((known, last), ([*known, column], last + 1), (known, last + 1)):
            monkeypatch.setattr(sqlite_migrations, "known", lambda knows=knows: knows)
            assert sqlite_migrations.migrate(connection, 1) == schema
        monkeypatch.setattr(sqlite_migrations, "known", lambda: [*known, column, contract])
        assert sqlite_migrations.migrate(connection, 1) == last + 2
        monkeypatch.setattr(sqlite_migrations, "known", lambda: [*known, column])
        with pytest.raises(NewerSchema):
            sqlite_migrations.migrate(connection, 1)
    finally:
        connection.close()


def test_a_database_on_sqlite_of_before_migrations_told_who_may_stay_is_worked_on(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    connection = connect(path)
    try:
        last = sqlite_migrations.migrate(connection, 1)
        connection.execute("ALTER TABLE schema_version DROP COLUMN oldest")
        assert sqlite_migrations.migrate(connection, 2) == last
    finally:
        connection.close()


async def test_a_migration_that_leaves_no_room_for_a_program_is_refused_while_that_is_at_work(
    dsn: str, know: Know
) -> None:
    first = migrations.known()
    last = len(first)
    column = Migration(last + 1, "next.sql", f"-- oldest program: {last}\nALTER TABLE lane ADD COLUMN more bigint;\n")
    contract = Migration(last + 2, "last.sql", f"-- oldest program: {last + 1}\nALTER TABLE lane DROP COLUMN more;\n")
    async with PostgresStore(dsn) as old:
        await old.beat()
        know(*first, column)
        async with PostgresStore(dsn) as new:
            await new.beat()
            know(*first, column, contract)
            with pytest.raises(StoreFailed, match=rf"last\.sql is for .* {last + 1} or more, .* one .* knows {last};"):
                await bring_schema(dsn, only_check=False)
    know(*first, column)
    async with PostgresStore(dsn) as new:
        await new.beat()
        know(*first, column, contract)
        assert await bring_schema(dsn, only_check=False) == last + 2
        assert await new.reap(30) == 0


async def test_a_store_that_a_schema_leaves_no_room_for_any_more_says_so_with_its_beats(dsn: str) -> None:
    async with PostgresStore(dsn) as store, session(dsn) as connection:
        await store.reap(30)
        await connection.execute("INSERT INTO schema_version (number, applied_at) VALUES (9999, now())")
        with pytest.raises(NewerSchema, match="9999"):
            await store.reap(30)


async def test_writers_get_through_while_a_migration_waits_for_a_table(dsn: str, know: Know) -> None:
    know(BUSY)
    await bring_schema(dsn, only_check=False)
    know(BUSY, COLUMN)
    async with session(dsn) as old, session(dsn) as writer:
        async with old.transaction():
            await old.execute("INSERT INTO busy VALUES (1)")
            migrating = asyncio.create_task(bring_schema(dsn, only_check=False))
            await _until_somebody_waits(writer)
            await writer.execute("INSERT INTO busy VALUES (2)", timeout=PATIENCE_S)
            assert not migrating.done()
        assert await asyncio.wait_for(migrating, PATIENCE_S) == 2
        assert await writer.fetchval("SELECT count(more IS NULL) FROM busy") == 3


async def test_a_migration_that_never_gets_its_table_says_so_and_changes_nothing(
    dsn: str, know: Know, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(BUSY)
    await bring_schema(dsn, only_check=False)
    know(BUSY, COLUMN)
    monkeypatch.setattr(migrations, "_LOCK_WAITS_MS", (5, 10))
    async with session(dsn) as old, old.transaction():
        await old.execute("INSERT INTO busy VALUES (1)")
        with pytest.raises(StoreFailed, match=r"0002_column\.sql finds a table in use .* pg_stat_activity"):
            await bring_schema(dsn, only_check=False)
    with pytest.raises(OlderSchema):
        await bring_schema(dsn, only_check=True)
    assert await bring_schema(dsn, only_check=False) == 2


async def test_an_index_is_made_while_others_write_and_other_servers_start(dsn: str, know: Know) -> None:
    know(BUSY, COLUMN)
    await bring_schema(dsn, only_check=False)
    know(BUSY, COLUMN, INDEX)
    async with session(dsn) as old, session(dsn) as writer:
        async with old.transaction():
            await old.execute("INSERT INTO busy VALUES (1)")
            starting = [asyncio.create_task(bring_schema(dsn, only_check=False)) for _ in range(3)]
            await _until_somebody_waits(writer)
            await writer.execute("INSERT INTO busy VALUES (2)", timeout=PATIENCE_S)
        assert await asyncio.wait_for(asyncio.gather(*starting), PATIENCE_S) == [3, 3, 3]
        assert await _is_valid(writer)
        assert await writer.fetchval("SELECT statement_timeout FROM told") == "0"
        assert await writer.fetchval("SELECT count(*) FROM schema_version WHERE number = 3 AND oldest = 1") == 1


async def test_an_index_that_was_broken_off_is_made_again(dsn: str, know: Know) -> None:
    know(BUSY, COLUMN)
    await bring_schema(dsn, only_check=False)
    know(BUSY, COLUMN, INDEX)
    async with session(dsn) as old:
        async with old.transaction():
            await old.execute("INSERT INTO busy VALUES (1)")
            migrating = asyncio.create_task(bring_schema(dsn, only_check=False))
            await _until_somebody_waits(old)
            await old.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
            with pytest.raises(StoreFailed):
                await asyncio.wait_for(migrating, PATIENCE_S)
        assert await _is_valid(old) is False
        assert await bring_schema(dsn, only_check=False) == 3
        assert await _is_valid(old)


async def _is_valid(connection: asyncpg.Connection[asyncpg.Record]) -> bool | None:
    valid: bool | None = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('busy_by_no')"
    )
    return valid


async def test_a_column_that_changes_is_no_trouble_for_a_store_that_has_read_it(dsn: str) -> None:
    """Every statement that the store has prepared and that returns the column is void then."""
    async with PostgresStore(dsn) as store, PostgresStore(dsn) as dead:
        lane, other = await new_lane(store), await new_lane(store)

        async def work() -> None:
            claim = await claim_of(store, accept(lane))
            assert await stored(store, claim.run.id) is not None
            assert await flush_one(store, finish(claim)) == Recorded(None)
            await flush_one(store, accept(other, lease=False))
            (waiting,) = await store.claim(10)
            assert await flush_one(store, finish(waiting)) == Recorded(None)
            await store.beat()
            await store.reap(30)

        await work()
        for statement in (
            "ALTER TABLE lane ALTER COLUMN priority TYPE integer",
            "ALTER TABLE run ALTER COLUMN priority TYPE integer, ALTER COLUMN cancel_kind TYPE integer",
            "ALTER TABLE replica ALTER COLUMN no TYPE integer",
            "DROP INDEX lane_waiting; ALTER TABLE lane ADD COLUMN more text",
        ):
            async with session(dsn) as connection:
                await connection.execute(statement)
            await work()
        await dead.beat()
