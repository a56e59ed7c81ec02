"""Connections, and which of SQLite's errors mean what."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from google.protobuf.message import EncodeError

from sendoff_server.store.port import StoreFailed
from sendoff_server.store.sqlite import functions

Synchronous = Literal["FULL", "NORMAL"]

DATA_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    ValueError,
    EncodeError,
)
"""What one item can cause by itself. UnicodeEncodeError, for a lone surrogate, is a ValueError."""

_BUSY_TIMEOUT_MS = 10_000
_STATEMENTS = 256
_CACHE_KB = 16 * 1024
"""Of pages, at most; grows with use. Keys that callers choose are strewn over their index."""
_JOURNAL_BYTES = 16 * 1024 * 1024
"""What is left of a write-ahead log that had to grow beyond it."""


def connect(path: Path, synchronous: Synchronous = "FULL") -> sqlite3.Connection:
    """A connection in autocommit mode for use by one thread at a time. Checkpoints are the checkpointer's business."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    functions.install(connection)
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def failures() -> Iterator[None]:
    """Turn what the database could not do into StoreFailed."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreFailed(f"SQLite: {error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE and COMMIT; on any error ROLLBACK, so that the connection can be used again."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk or an I/O error may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is read inside the block is as of one moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")
