"""Threads that hold connections, so that the event loop never waits for the database.

Not an executor of the standard library: its locks and two futures per call cost more than a small batch of rows.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

from sendoff_server.store.sqlite.connection import failures

P = ParamSpec("P")
T = TypeVar("T")

Call = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class ConnectionThreads:
    """`count` threads, each with a connection of its own, opened when it is first needed."""

    def __init__(self, name: str, count: int, connect: Callable[[], sqlite3.Connection]) -> None:
        self._name = name
        self._count = count
        self._connect = connect
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Call it with the thread's connection. Errors of SQLite come as StoreFailed.

        Cancelling the future does not stop a call that has begun.
        """
        if len(self._threads) < self._count:
            self._start_thread()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((lambda connection: function(connection, *args, **kwargs), future))
        return future

    async def close(self) -> None:
        """Close the connections, after the calls that are under way."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._threads.clear()

    def _start_thread(self) -> None:
        name = f"sqlite-{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while (call := self._calls.get()) is not None:
                function, future = call
                result: Any = None
                error: BaseException | None = None
                try:
                    with failures():
                        connection = connection or self._connect()
                        result = function(connection)
                except BaseException as raised:  # whoever waits for it decides what it means
                    error = raised
                _tell(future, result, error)
        finally:
            if connection is not None:
                connection.close()


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
