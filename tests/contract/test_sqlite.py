"""What only the SQLite engine promises."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import sys
from pathlib import Path
from typing import Literal

import pytest

from sendoff_server.store.port import Fenced, StoreFailed, StoreInUse
from sendoff_server.store.sqlite import migrations
from sendoff_server.store.sqlite.connection import connect
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.contract.databases import SqliteDatabase
from tests.contract.making import accept, after, claim_of, flush_one, new_lane, run_to_end, start

ROOT = Path(__file__).parents[2]
TABLES = ("agent", "lane", "run", "run_key", "run_log", "message", "step")


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
    broken = migrations.Migration(2, "0002_broken.sql", ("CREATE TABLE half (x)", "CREATE TABLE half (x)"))
    monkeypatch.setattr(migrations, "known", lambda known=migrations.known: [*known(), broken])
    connection = connect(tmp_path / "store.db")
    with pytest.raises(sqlite3.OperationalError, match="half"):
        migrations.migrate(connection, 1)
    assert connection.execute("SELECT max(number) FROM schema_version").fetchone() == (1,)
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


async def test_no_table_keeps_rows_of_a_deleted_agent(database: SqliteDatabase) -> None:
    async with database.alone() as store:
        lane = await new_lane(store)
        claim = await claim_of(store, accept(lane, otids=["o"], request_id="r"))
        await run_to_end(store, claim, texts=["a", "b"])
        await store.delete_agent("default", lane)
        left = {table: database.execute(f"SELECT count(*) FROM {table}") for table in TABLES}
    assert left == {table: [(0,)] for table in TABLES}
