"""Databases that the contract suite runs on: how to open one, and how to do to it what the world does."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from sendoff_server.store.port import Store
from sendoff_server.store.sqlite.engine import SqliteStore


class Database(Protocol):
    """One empty database of one engine."""

    @property
    def address(self) -> str:
        """Names it in another process; `of_address` is the way back."""
        ...

    def replica(self) -> AbstractAsyncContextManager[Store]:
        """Open it beside other replicas."""
        ...

    def age_beats(self, seconds: float) -> None:
        """Make every replica's last beat look that much older."""
        ...

    def claim_newer_schema(self) -> None:
        """Make it look as if a later version of the program had written it."""
        ...

    def writes_fail(self, store: Store) -> AbstractAsyncContextManager[None]:
        """Inside the block, nothing that this store writes fits on the disk."""
        ...


class SqliteDatabase(Database):
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def address(self) -> str:
        return f"sqlite:{self.path}"

    def replica(self) -> SqliteStore:
        # A process that is killed loses nothing either way; only a power cut would tell, and syncing is slow.
        return SqliteStore(self.path, synchronous="NORMAL", exclusive=False)

    def alone(self) -> SqliteStore:
        return SqliteStore(self.path, synchronous="NORMAL")

    def age_beats(self, seconds: float) -> None:
        self.execute("UPDATE replica SET beat_ns = beat_ns - ?", int(seconds * 1e9))

    def claim_newer_schema(self) -> None:
        self.execute("INSERT INTO schema_version (number, applied_at_ns) VALUES (9999, 0)")

    @asynccontextmanager
    async def writes_fail(self, store: Store) -> AsyncIterator[None]:
        assert isinstance(store, SqliteStore)
        before: int = await store._writer.submit(lambda own: own.execute("PRAGMA max_page_count").fetchone()[0])
        await store._writer.submit(lambda own: own.execute("PRAGMA max_page_count = 1").fetchone())
        yield
        await store._writer.submit(lambda own: own.execute(f"PRAGMA max_page_count = {before}").fetchone())

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()


def of_address(address: str) -> Database:
    engine, _, place = address.partition(":")
    if engine != "sqlite":
        raise ValueError(f"no engine for {address!r}")
    return SqliteDatabase(Path(place))
