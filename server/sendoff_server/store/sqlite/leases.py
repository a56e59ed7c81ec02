"""Replicas and the leases that they hold. In the writer thread; each function is one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sendoff import v1
from sendoff_server.store.batch.shares import BEFORE_ALL, DUE_AT_ONCE, depth_of, in_turn
from sendoff_server.store.batch.snapshot import read_cancel
from sendoff_server.store.items import Claim
from sendoff_server.store.port import Fenced
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.queries import named
from sendoff_server.store.sqlite.snapshot import encode_list, read_stored

_Row = Sequence[Any]
"""Of `waiting_lanes`; the share comes last."""


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


def claim(
    connection: sqlite3.Connection, replica_no: int, behind: int, limit: int, now_ns: int
) -> tuple[list[Claim], int]:
    """Serve the shares behind that one; and the share that was served last."""
    with transaction(connection):
        check_alive(connection, replica_no)
        connection.execute(named("due_lanes"), (now_ns, DUE_AT_ONCE))
        rows: list[_Row] = []
        while shares := _waiting_shares(connection, behind, limit - len(rows)):
            taken = _take(connection, replica_no, shares, limit - len(rows))
            behind = taken[-1][-1]
            rows += taken
        stored = read_stored(connection, [row[2] for row in rows]) if rows else {}
    return _claims(rows, stored), behind


def _waiting_shares(connection: sqlite3.Connection, behind: int, most: int) -> list[int]:
    """Each once, beginning again in front once the end is reached."""
    if most == 0:
        return []
    shares = _shares_behind(connection, behind, most)
    if len(shares) < most and behind != BEFORE_ALL:
        shares += [each for each in _shares_behind(connection, BEFORE_ALL, most - len(shares)) if each <= behind]
    return shares


def _shares_behind(connection: sqlite3.Connection, behind: int, most: int) -> list[int]:
    (found,) = connection.execute(named("waiting_shares"), (behind, most)).fetchone()
    shares: list[int] = json.loads(found)
    return shares


def _take(connection: sqlite3.Connection, replica_no: int, shares: Sequence[int], room: int) -> list[_Row]:
    depth = depth_of(room, shares)
    waiting = [json.loads(connection.execute(named("waiting_lanes"), (share, depth)).fetchone()[0]) for share in shares]
    rows: list[_Row] = in_turn(waiting)[:room]
    connection.execute(named("take_lanes"), (replica_no, encode_list(row[0] for row in rows)))
    return rows


def _claims(rows: Sequence[_Row], stored: Mapping[int, tuple[v1.Run, bytes]]) -> list[Claim]:
    claims = []
    for _, lane_id, run_no, tenant, seq, reason, kind, paused_by, _ in rows:
        run, request = stored[run_no]
        claims.append(
            Claim(
                tenant=tenant,
                lane=lane_id,
                seq=seq,
                run=run,
                request=request,
                cancel_wanted=read_cancel(reason, kind),
                paused_by=paused_by or "",
            )
        )
    return claims


def _bury(connection: sqlite3.Connection, replica_no: int, before_ns: int, now_ns: int) -> int:
    silent = connection.execute(named("silent_replicas"), (replica_no, before_ns)).fetchall()
    for (no,) in silent:
        _remove(connection, no, now_ns)
    return len(silent)


def _remove(connection: sqlite3.Connection, replica_no: int, now_ns: int) -> None:
    connection.execute(named("free_lanes"), (replica_no, now_ns))
    connection.execute(named("free_deliveries"), (replica_no,))
    connection.execute(named("remove_replica"), (replica_no,))
