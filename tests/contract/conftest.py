"""The suite of the store runs once per engine, on a database of its own; `promises/` runs once per door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sendoff_server.store.port import Store
from tests.contract.databases import Database, PostgresDatabase, SqliteDatabase


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return SqliteDatabase(tmp_path / "store.db")
    database: PostgresDatabase = request.getfixturevalue("postgres")
    return database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with database.replica() as store:
        yield store
