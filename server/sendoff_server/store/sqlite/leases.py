"""Replicas and the leases that they hold. In the writer thread; each function is one transaction."""

from __future__ import annotations

import sqlite3

from sendoff_server.store.port import Fenced
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.queries import named


def register(connection: sqlite3.Connection, replica_id: str, slots: int | None, now_ns: int, *, alone: bool) -> int:
    """Write this replica's row and return its number. `alone`: all other replicas are declared dead at once."""
    with transaction(connection):
        no: int = connection.execute(named("register"), (replica_id, now_ns, slots)).fetchone()[0]
        if alone:
            _bury(connection, no, now_ns + 1, now_ns)
        return no


def check_alive(connection: sqlite3.Connection, replica_no: int) -> None:
    """Raises Fenced if this replica was declared dead."""
    (alive,) = connection.execute(named("alive"), (replica_no,)).fetchone()
    if not alive:
        raise Fenced("this replica was declared dead")


def beat(connection: sqlite3.Connection, replica_no: int, now_ns: int) -> None:
    with transaction(connection):
        check_alive(connection, replica_no)
        connection.execute(named("beat"), (replica_no, now_ns))


def reap(connection: sqlite3.Connection, replica_no: int, before_ns: int, now_ns: int) -> int:
    with transaction(connection):
        check_alive(connection, replica_no)
        return _bury(connection, replica_no, before_ns, now_ns)


def leave(connection: sqlite3.Connection, replica_no: int, now_ns: int) -> None:
    """Give all leases back and take this replica's row away. Does no harm to one that was declared dead."""
    with transaction(connection):
        _remove(connection, replica_no, now_ns)


def _bury(connection: sqlite3.Connection, replica_no: int, before_ns: int, now_ns: int) -> int:
    silent = connection.execute(named("silent_replicas"), (replica_no, before_ns)).fetchall()
    for (no,) in silent:
        _remove(connection, no, now_ns)
    return len(silent)


def _remove(connection: sqlite3.Connection, replica_no: int, now_ns: int) -> None:
    connection.execute(named("free_lanes"), (replica_no, now_ns))
    connection.execute(named("free_deliveries"), (replica_no,))
    connection.execute(named("remove_replica"), (replica_no,))
