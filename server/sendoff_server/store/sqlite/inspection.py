"""Looks at a database on SQLite, beside the server that may have it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sendoff_server.store.inspection import Fault, Inspection
from sendoff_server.store.port import NewerSchema, StoreInUse
from sendoff_server.store.schema import Schema
from sendoff_server.store.sqlite.lock import FileLock
from sendoff_server.store.sqlite.migrations import known

_OVER_A_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "fuse.sshfs", "9p"})


def inspect(path: Path) -> Inspection:
    faults = list(_faults(path))
    if not path.exists():
        return Inspection(f"{path} is made at the first start", faults)
    in_use = "in use by a server" if _is_in_use(path) else "not in use"
    return Inspection(f"SQLite {sqlite3.sqlite_version}, {path}, {in_use}", faults, not faults and _has_keys(path))


def _faults(path: Path) -> Iterator[Fault]:
    kind = _file_system(path)
    if kind in _OVER_A_NETWORK:
        told = f"{path} is on a file system of the kind {kind}, over which locks and syncs are not what SQLite needs"
        yield Fault(told, "put it on a disk of this machine, or use PostgreSQL: SENDOFF_DATABASE_URL")
    if not path.exists():
        return
    if not os.access(path, os.R_OK | os.W_OK):
        yield Fault(f"{path} may not be read and written by this user", f"chown it, or run as {path.owner()}")
        return
    try:
        schema_of(path).refuse(len(known()))
    except NewerSchema as newer:
        yield Fault(str(newer), "start the version that wrote it, or a newer one")
    except sqlite3.Error as error:
        yield Fault(f"{path} cannot be read: {error}", "restore it from a backup; it may be no database, or damaged")


def schema_of(path: Path) -> Schema:
    """As the server would find it; none of it is there in a database that is empty."""
    with closing(_reading(path)) as connection:
        if not _has_table(connection, "schema_version"):
            return Schema(0, 0)
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(schema_version)")]
        oldest = "coalesce(oldest, number)" if "oldest" in columns else "number"
        asked = f"SELECT coalesce(max(number), 0), coalesce(max({oldest}), 0) FROM schema_version"  # noqa: S608
        return Schema(*connection.execute(asked).fetchone())


def _has_keys(path: Path) -> bool:
    with closing(_reading(path)) as connection:
        return _has_table(connection, "api_key") and bool(connection.execute("SELECT 1 FROM api_key").fetchone())


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone())


def _is_in_use(path: Path) -> bool:
    lock = FileLock.beside(path)
    try:
        lock.take()
    except (StoreInUse, OSError):
        return True
    lock.drop()
    return False


def _file_system(path: Path) -> str:
    """Kind of the file system that the path is on; empty where the machine does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    real = path.absolute()
    on = [(Path(where.replace("\\040", " ")), kind) for _, where, kind, *_ in mounts]
    fitting = [(len(where.parts), kind) for where, kind in on if real.is_relative_to(where)]
    return max(fitting, default=(0, ""))[1]
