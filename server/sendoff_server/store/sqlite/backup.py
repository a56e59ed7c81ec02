"""Copies a database file, beside the server that writes to it, and puts such a copy in its place again.

A copy is one file, of one moment: what was committed by then is in it and nothing else. It is looked through before it
counts, and gets its name once it is whole and on the disk.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sendoff_server.store.port import BackupRefused
from sendoff_server.store.sqlite import functions
from sendoff_server.store.sqlite.connection import connect_reader, failures
from sendoff_server.store.sqlite.inspection import schema_of
from sendoff_server.store.sqlite.lock import FileLock
from sendoff_server.store.sqlite.migrations import known

_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database, behind its name; it belongs to that file and to no other."""


def back_up(database: Path, target: Path) -> int:
    """Copy the database; the number of bytes of the copy. Writers go on meanwhile, and are not waited for.

    Raises BackupRefused and StoreFailed.
    """
    if not database.exists():
        raise BackupRefused(f"there is no database at {database}; SENDOFF_DATA_DIR or SENDOFF_DATABASE_URL says where")
    _refuse_taken(target)
    part = _begun(target)
    try:
        with failures(), closing(connect_reader(database)) as source, closing(_opened(part)) as copy:
            # All at once: taken in pieces it would begin anew with every commit of the server.
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            _look_through(copy, part)
        _finish(part, target)
    except BaseException:
        _remove(part)
        raise
    return target.stat().st_size


def restore(database: Path, backup: Path, *, replace: bool) -> None:
    """Put a copy in the database's place. What was there is kept under another name if it is to be replaced.

    Raises BackupRefused, NewerSchema, StoreInUse while a server runs, and StoreFailed.
    """
    _check_backup(backup)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock.beside(database)
    lock.take()
    try:
        _refuse_unless(database, replace=replace)
        part = _begun(database)
        shutil.copyfile(backup, part)
        _set_aside(database)
        _finish(part, database)
    finally:
        lock.drop()


def aside(database: Path) -> Path:
    """Where a database goes that is replaced."""
    return database.with_name(f"{database.name}.replaced")


def _check_backup(backup: Path) -> None:
    if not backup.exists():
        raise BackupRefused(f"there is no file {backup}")
    for suffix in _BESIDE:
        if _beside(backup, suffix).exists():
            raise BackupRefused(f"{backup} is a part of a database that is open, not a backup: {suffix} is beside it")
    with failures(), closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
        functions.install(copy)
        _look_through(copy, backup)
        schema = schema_of(backup)
    if schema.number == 0:
        raise BackupRefused(f"{backup} is a database of another program")
    schema.refuse(len(known()))


def _refuse_unless(database: Path, *, replace: bool) -> None:
    there = _files(database)
    if there and not replace:
        raise BackupRefused(f"{there[0]} is there already; with --replace it is kept under another name")
    if there and aside(database).exists():
        raise BackupRefused(f"{aside(database)} is there already, of an earlier time; take it away first")


def _set_aside(database: Path) -> None:
    for path in _files(database):
        path.rename(_beside(aside(database), path.name.removeprefix(database.name)))


def _files(database: Path) -> list[Path]:
    """Of the database, those that are there."""
    return [path for suffix in ("", *_BESIDE) if (path := _beside(database, suffix)).exists()]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _refuse_taken(target: Path) -> None:
    if target.exists():
        raise BackupRefused(f"{target} is there already, and no backup is written over")
    if not target.parent.is_dir():
        raise BackupRefused(f"there is no directory {target.parent}")


def _begun(target: Path) -> Path:
    """An empty file beside the target, for this user alone."""
    part = _beside(target, ".part")
    _remove(part)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return part


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    functions.install(connection)
    return connection


def _look_through(connection: sqlite3.Connection, path: Path) -> None:
    faults = [str(told) for (told,) in connection.execute("PRAGMA integrity_check(3)")]
    if faults != ["ok"]:
        raise BackupRefused(f"{path} is damaged: {'; '.join(faults)}")


def _finish(part: Path, target: Path) -> None:
    """Have it on the disk, and then under its name."""
    _sync(part)
    part.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    for suffix in ("", "-journal", *_BESIDE):
        with suppress(FileNotFoundError):
            _beside(part, suffix).unlink()
