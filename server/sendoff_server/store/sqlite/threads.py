"""Threads that hold connections, so that the event loop never waits for the database."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sendoff_server.store.sqlite.connection import failures

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionThreads:
    """`count` threads, each with a connection of its own, opened when it is first needed."""

    def __init__(self, name: str, count: int, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._pool = ThreadPoolExecutor(count, f"sqlite-{name}")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []

    def submit(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Call it with the thread's connection. Errors of SQLite come as StoreFailed.

        Cancelling the future does not stop a call that has begun.
        """

        def call() -> T:
            with failures():
                return function(self._connection(), *args, **kwargs)

        return asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def close(self) -> None:
        """Close the connections, after the calls that are under way."""
        await asyncio.to_thread(self._close)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect()
            self._connections.append(connection)
        return connection

    def _close(self) -> None:
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
