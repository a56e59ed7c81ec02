"""Copies the write-ahead log into the database file beside the writer, so that no batch has to.

A timer runs only while there were writes. A passive checkpoint on a second connection never reaches the end while
commits go on, and a log that was not copied to its end is not begun anew. So once the log is long the writer makes one
itself between two batches; it finds little left to copy.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress

from sendoff_server.store.sqlite.threads import ConnectionThreads

INTERVAL_S = 0.25
LONG_LOG_PAGES = 8192
"""32 MB in pages of 4 KB."""


def checkpoint(connection: sqlite3.Connection) -> int:
    """Copy what can be copied without waiting for anybody; how many pages the log has."""
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)


class Checkpointer:
    """Used from the event loop; the copying is done in a thread of its own."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._thread = ConnectionThreads("checkpoint", 1, connect)
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Future[None] | None = None
        self._closed = False
        self._log_is_long = False
        self.wanted = False
        """Something was written; set by the writer thread."""

    def after_write(self) -> None:
        """Start the timer, if there is something to copy."""
        if self.wanted and self._timer is None and not self._closed:
            self.wanted = False
            self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._start)

    def before_batch(self, writer: sqlite3.Connection) -> None:
        """In the writer thread, outside of a transaction."""
        if self._log_is_long:
            self._log_is_long = False
            # What is not copied now is copied later; commits do not depend on it.
            with suppress(sqlite3.Error):
                checkpoint(writer)

    async def close(self) -> None:
        """Stop, after the checkpoint that is under way."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._thread.close()

    def _start(self) -> None:
        self._timer = None
        if self._running is None or self._running.done():
            self._running = self._thread.submit(self._run)
        else:
            self.wanted = True
            self.after_write()

    def _run(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            self._log_is_long = checkpoint(connection) > LONG_LOG_PAGES
