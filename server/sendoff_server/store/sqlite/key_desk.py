"""The desk for keys of a database file, beside the server that may have it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sendoff_server.clock import Clock
from sendoff_server.store.api_keys import ApiKey, ApiKeyDesk
from sendoff_server.store.port import StoreInUse
from sendoff_server.store.sqlite import api_keys, migrations
from sendoff_server.store.sqlite.connection import connect, failures
from sendoff_server.store.sqlite.lock import FileLock

P = ParamSpec("P")
T = TypeVar("T")


class SqliteKeyDesk(ApiKeyDesk):
    """Each act has a connection of its own, for one short transaction. The server goes on meanwhile."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    async def add(self, key: ApiKey) -> None:
        await asyncio.to_thread(self._do, api_keys.add, key)

    async def all(self, tenant: str | None) -> Sequence[ApiKey]:
        return await asyncio.to_thread(self._do, api_keys.read_all, tenant) if self._path.exists() else []

    async def revoke(self, key_id: str, now_ns: int) -> ApiKey | None:
        return await asyncio.to_thread(self._do, api_keys.revoke, key_id, now_ns) if self._path.exists() else None

    def _do(self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises StoreFailed, NewerSchema, and OlderSchema where a server of an older version has the database."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        with failures(), closing(connect(self._path)) as connection:
            self._bring_schema(connection)
            return function(connection, *args, **kwargs)

    def _bring_schema(self, connection: sqlite3.Connection) -> None:
        lock = FileLock.beside(self._path)
        try:
            lock.take()
        except StoreInUse:
            migrations.check(connection)
            return
        try:
            migrations.migrate(connection, self._clock.now_ns())
        finally:
            lock.drop()
