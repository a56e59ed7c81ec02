"""Databases that the contract suite runs on: how to open one, and how to do to it what the world does."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from sendoff_server.store.batch.dispatch import NO_CAPS, Caps
from sendoff_server.store.batch.shares import WeightsOf
from sendoff_server.store.port import Store
from sendoff_server.store.postgres.engine import PostgresStore
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.postgres import Session


class Database(Protocol):
    """One empty database of one engine."""

    @property
    def address(self) -> str:
        """Names it in another process; `of_address` is the way back."""
        ...

    def replica(
        self, caps: Caps = NO_CAPS, weights: Mapping[int, float] | None = None
    ) -> AbstractAsyncContextManager[Store]:
        """Open it beside other replicas."""
        ...

    def age_beats(self, seconds: float) -> None:
        """Make every replica's last beat look that much older."""
        ...

    def age_waits(self, seconds: float) -> None:
        """Make it look as if lanes that wait had waited that much longer."""
        ...

    def let_start_times_come(self) -> None:
        """Make it look as if all of them had passed."""
        ...

    def claim_newer_schema(self, oldest: int | None = None) -> None:
        """Make it look as if a later version of the program had written it, which lets programs stay that know this
        migration; unset: none but itself."""
        ...

    def count_rows(self) -> dict[str, int]:
        """By table, but for those of schema and replicas, and for notes of how far something has come."""
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

    def replica(self, caps: Caps = NO_CAPS, weights: Mapping[int, float] | None = None) -> SqliteStore:
        # A process that is killed loses nothing either way; only a power cut would tell, and syncing is slow.
        return SqliteStore(
            self.path, synchronous="NORMAL", exclusive=False, caps=caps, weights_of=_of_every_tenant(weights)
        )

    def alone(self) -> SqliteStore:
        return SqliteStore(self.path, synchronous="NORMAL")

    def age_beats(self, seconds: float) -> None:
        self.execute("UPDATE replica SET beat_ns = beat_ns - ?", int(seconds * 1e9))

    def age_waits(self, seconds: float) -> None:
        self.execute(f"UPDATE lane SET ready_at_ns = ready_at_ns - {int(seconds * 1e9)}")

    def let_start_times_come(self) -> None:
        for statement in _TIMES_COME:
            self.execute(statement)

    def claim_newer_schema(self, oldest: int | None = None) -> None:
        self.execute("INSERT INTO schema_version (number, applied_at_ns, oldest) VALUES (?, 0, ?)", _NEWER, oldest)

    def count_rows(self) -> dict[str, int]:
        names = [str(name) for (name,) in self.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        counts = {name: self.execute(f"SELECT count(*) FROM {name}") for name in names if _is_counted(name)}
        return {name: int(str(count)) for name, ((count,),) in counts.items()}

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


class PostgresDatabase(Database):
    """Whoever made it closes it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._session: Session | None = None
        self._can_empty = False

    @property
    def address(self) -> str:
        return f"postgres:{self.dsn}"

    def replica(self, caps: Caps = NO_CAPS, weights: Mapping[int, float] | None = None) -> PostgresStore:
        return PostgresStore(self.dsn, caps=caps, weights_of=_of_every_tenant(weights))

    def age_beats(self, seconds: float) -> None:
        self.execute(f"UPDATE replica SET beat_at = beat_at - interval '{seconds} s'")

    def age_waits(self, seconds: float) -> None:
        self.execute(f"UPDATE lane SET ready_at_ns = ready_at_ns - {int(seconds * 1e9)}")

    def let_start_times_come(self) -> None:
        for statement in _TIMES_COME:
            self.execute(statement)

    def claim_newer_schema(self, oldest: int | None = None) -> None:
        told = "NULL" if oldest is None else oldest
        self.execute(f"INSERT INTO schema_version (number, applied_at, oldest) VALUES ({_NEWER}, now(), {told})")

    def count_rows(self) -> dict[str, int]:
        names = [name for (name,) in self.fetch(f"SELECT name::text FROM ({_TABLES}) each_table")]
        return {name: self.fetch(f"SELECT count(*) FROM {name}")[0][0] for name in names if _is_counted(name)}

    @asynccontextmanager
    async def writes_fail(self, store: Store) -> AsyncIterator[None]:
        self.execute(_FILL_DISK)
        yield
        self.execute("DROP FUNCTION disk_is_full CASCADE")

    def empty(self) -> None:
        """But for the schema, which the first key closes to older programs."""
        if not self._can_empty:
            self.execute(_HOW_TO_EMPTY)
            self._can_empty = True
        self.execute("SELECT pg_temp.empty()")

    def execute(self, statements: str) -> None:
        self._opened().execute(statements)

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        return self._opened().fetch(statement)

    def _opened(self) -> Session:
        self._session = self._session or Session(self.dsn)
        return self._session

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


def _of_every_tenant(weights: Mapping[int, float] | None) -> WeightsOf | None:
    return None if weights is None else lambda _: weights


_NEWER = 9999
_TIMES_COME = (
    "UPDATE lane SET ready_at_ns = 1 WHERE scheduled",
    "UPDATE run SET start_ns = 1 WHERE start_ns IS NOT NULL",
)


def _is_counted(table: str) -> bool:
    return table not in ("replica", "schema_version", "listing", "sqlite_sequence")


_TABLES = "SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"

# A function of the session keeps its plans, so that most of its statements, which find nothing, cost nothing.
_HOW_TO_EMPTY = f"""
DO $do$ BEGIN EXECUTE (
  SELECT 'CREATE FUNCTION pg_temp.empty() RETURNS void LANGUAGE plpgsql AS $$ BEGIN '
    || string_agg(format('DELETE FROM %s;', name), ' ') FILTER (WHERE name <> 'schema_version'::regclass)
    || 'DELETE FROM schema_version WHERE number = {_NEWER}; '
    || 'UPDATE schema_version SET oldest = 5 WHERE number = 6; END $$'
  FROM ({_TABLES}) each_table
); END $do$
"""

_FILL_DISK = f"""
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
DO $$ DECLARE name regclass; BEGIN
  FOR name IN {_TABLES} LOOP
    EXECUTE format('CREATE TRIGGER t BEFORE INSERT OR UPDATE ON %s EXECUTE FUNCTION disk_is_full()', name);
  END LOOP;
END $$
"""


def of_address(address: str) -> Database:
    engine, _, place = address.partition(":")
    match engine:
        case "sqlite":
            return SqliteDatabase(Path(place))
        case "postgres":
            return PostgresDatabase(place)
    raise ValueError(f"no engine for {address!r}")
