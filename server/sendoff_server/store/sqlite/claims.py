"""Who is handed which lanes. In the writer thread; `claim` is one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from sendoff_server.clock import SECOND_NS
from sendoff_server.store.batch.dispatch import (
    AGENTS_AT_ONCE,
    BARRED_AT_ONCE,
    Candidate,
    Claimed,
    Dispatch,
    Gate,
)
from sendoff_server.store.batch.shares import BEFORE_ALL, DUE_AT_ONCE, Share
from sendoff_server.store.batch.snapshot import read_cancel
from sendoff_server.store.items import Claim
from sendoff_server.store.sqlite import pauses
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import execute_rows, named
from sendoff_server.store.sqlite.snapshot import encode_list, read_stored


def claim(connection: sqlite3.Connection, replica_no: int, dispatch: Dispatch, limit: int, now_ns: int) -> Claimed:
    """Serve the shares behind the last one that was."""
    with transaction(connection):
        check_alive(connection, replica_no)
        known = pauses.known(connection)
        gate = Gate(known, dispatch.caps, _leases(connection) if dispatch.caps.any else ())
        connection.execute(named("due_lanes"), (now_ns, DUE_AT_ONCE))
        _look_at_capped(connection, dispatch, gate)
        lane_nos: list[int] = []
        is_done = False
        while len(gate.barred) < BARRED_AT_ONCE and not is_done:
            taken = _take(connection, replica_no, dispatch, gate, limit - len(lane_nos))
            lane_nos += [lane.no for lane in taken or ()]
            is_done = taken is None
        claims = _claims(connection, lane_nos) if lane_nos else []
    return Claimed(claims, is_done, list(known.lifted))


def _leases(connection: sqlite3.Connection) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = json.loads(connection.execute(named("leases")).fetchone()[0])
    return found


def _look_at_capped(connection: sqlite3.Connection, dispatch: Dispatch, gate: Gate) -> None:
    """Some of the agents whose lanes are barred by their caps, in turn: whoever is below it gets lanes free."""
    if not dispatch.caps.per_agent:
        return
    (found,) = connection.execute(named("barred_agents"), (dispatch.looked_at, AGENTS_AT_ONCE)).fetchone()
    agents: list[int] = json.loads(found)
    dispatch.looked_at = agents[-1] if len(agents) == AGENTS_AT_ONCE else 0
    free_lanes(connection, [(agent_no, room) for agent_no in agents if (room := gate.room_of(agent_no))])


def free_lanes(connection: sqlite3.Connection, rooms: Sequence[tuple[int, int]]) -> None:
    """Of each of these agents so many lanes that are barred by its cap may be looked at again."""
    for agent in rooms:
        connection.execute(named("free_lanes_of_agent"), agent)


def forget_caps(connection: sqlite3.Connection, most: int) -> bool:
    """Free some of the lanes that caps have barred; whether there may be more. For who knows of no cap."""
    with transaction(connection):
        return connection.execute(named("free_capped_lanes"), (most,)).rowcount == most


def _take(
    connection: sqlite3.Connection, replica_no: int, dispatch: Dispatch, gate: Gate, room: int
) -> list[Candidate] | None:
    """None: there is no room, or nothing more to look at."""
    shares = _waiting_shares(connection, dispatch, gate, room)
    if not shares:
        return None
    barred = len(gate.barred)
    depths = gate.depths(dispatch.wheel, shares, room)
    waiting = [_waiting_lanes(connection, share, depth) for share, depth in zip(shares, depths, strict=True)]
    taken = dispatch.wheel.serve(shares, waiting, room, gate.may_take)
    connection.execute(named("take_lanes"), (replica_no, encode_list(lane.no for lane in taken)))
    execute_rows(connection, "bar_lanes", gate.barred[barred:])
    return taken


def _waiting_shares(connection: sqlite3.Connection, dispatch: Dispatch, gate: Gate, room: int) -> list[Share]:
    """Each once, beginning again in front once the end is reached."""
    most, behind = dispatch.wheel.enough(room), dispatch.wheel.behind
    if most == 0:
        return []
    shares = _shares_behind(connection, behind, most, gate.full_tenants)
    if len(shares) < most and behind != BEFORE_ALL:
        again = _shares_behind(connection, BEFORE_ALL, most - len(shares), gate.full_tenants)
        shares += [each for each in again if each <= behind]
    return shares


def _shares_behind(connection: sqlite3.Connection, behind: Share, most: int, but_of: Sequence[str]) -> list[Share]:
    (found,) = connection.execute(named("waiting_shares"), (*behind, most, encode_list(but_of))).fetchone()
    return [(tenant, share) for tenant, share in json.loads(found)]


def _waiting_lanes(connection: sqlite3.Connection, share: Share, depth: int) -> list[Candidate]:
    if depth == 0:
        return []
    (found,) = connection.execute(named("waiting_lanes"), (*share, depth)).fetchone()
    return [Candidate(*lane) for lane in json.loads(found)]


def _claims(connection: sqlite3.Connection, lane_nos: Sequence[int]) -> list[Claim]:
    """Of the lanes that are taken, in that order."""
    heads = json.loads(connection.execute(named("heads"), (encode_list(lane_nos),)).fetchone()[0])
    stored = read_stored(connection, [run_no for _, run_no, *_ in heads])
    return [
        Claim(
            tenant=tenant,
            lane=lane_id,
            seq=seq,
            run=stored[run_no][0],
            request=stored[run_no][1],
            cancel_wanted=read_cancel(reason, kind),
            paused_by=paused_by or "",
        )
        for lane_id, run_no, tenant, seq, reason, kind, paused_by in heads
    ]


def next_start_s(connection: sqlite3.Connection, now_ns: int) -> float | None:
    row = connection.execute(named("next_start")).fetchone()
    return None if row is None else (row[0] - now_ns) / SECOND_NS
