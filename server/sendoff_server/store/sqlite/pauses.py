"""Pauses of dispatch, in the writer thread. Each function is one transaction, but for `known`."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.store.batch.dispatch import OF_NO_AGENT, OF_NO_SHARE, Pauses, Scope, pauses_of
from sendoff_server.store.items import Full
from sendoff_server.store.questions import DispatchScope
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named

_NOT_BARRED, _AT_CAP = "l.barred = 0", "l.barred > 0 AND l.barred = 2"


def known(connection: sqlite3.Connection) -> Pauses:
    """All of them, inside a transaction."""
    return pauses_of(connection.execute(named("dispatch_pauses")).fetchall())


def scope_of(connection: sqlite3.Connection, wanted: DispatchScope) -> Scope | None:
    """As rows have it; None if there is no such agent."""
    share = OF_NO_SHARE if wanted.share is None else wanted.share
    if wanted.agent_id is None:
        return Scope(wanted.tenant, OF_NO_AGENT, share)
    found = connection.execute(named("agent_number"), (wanted.tenant, wanted.agent_id)).fetchone()
    return None if found is None else Scope(wanted.tenant, found[0], share)


def write(
    connection: sqlite3.Connection, replica_no: int, wanted: DispatchScope, pause: v1.DispatchPause, most: int
) -> tuple[v1.DispatchPause | Full, Scope] | None:
    """What counts from now on. None: there is no such agent."""
    with transaction(connection):
        check_alive(connection, replica_no)
        scope = scope_of(connection, wanted)
        if scope is None:
            return None
        there = connection.execute(named("dispatch_pause"), scope).fetchone()
        if there is not None:
            return v1.DispatchPause.FromString(there[0]), scope
        (count,) = connection.execute(named("count_dispatch_pauses"), (wanted.tenant,)).fetchone()
        if count >= most:
            return Full(), scope
        connection.execute(named("write_dispatch_pause"), (*scope, pause.SerializeToString()))
        return pause, scope


def bar(connection: sqlite3.Connection, replica_no: int, scope: Scope, most: int) -> bool:
    """Bar some of the lanes that wait and that a pause concerns; whether there may be more."""
    with transaction(connection):
        check_alive(connection, replica_no)
        counts = [
            connection.execute(named("pause_lanes", waiting=waiting), (*scope, most)).rowcount
            for waiting in (_NOT_BARRED, _AT_CAP)
        ]
        return max(counts) == most


def lift(connection: sqlite3.Connection, replica_no: int, wanted: DispatchScope) -> tuple[bool, Scope | None]:
    """Whether a pause counted until now, and of what."""
    with transaction(connection):
        check_alive(connection, replica_no)
        scope = scope_of(connection, wanted)
        if scope is None:
            return False, None
        return connection.execute(named("lift_dispatch_pause"), scope).fetchone() is not None, scope


def free(connection: sqlite3.Connection, replica_no: int, scope: Scope, most: int) -> bool:
    """Free some of the lanes that a lifted pause has barred; whether there may be more. If not, the pause is gone."""
    with transaction(connection):
        check_alive(connection, replica_no)
        if connection.execute(named("unpause_lanes", of_agent=_of_agent(scope)), (*scope, most)).rowcount == most:
            return True
        connection.execute(named("delete_lifted_pause"), scope)
        return False


def _of_agent(scope: Scope) -> str:
    """A condition that lets the index be walked in its order."""
    return "?2 = 0" if scope.agent_no == OF_NO_AGENT else "l.agent_no = ?2"


def read_all(connection: sqlite3.Connection, tenant: str) -> list[v1.DispatchPause]:
    return [
        v1.DispatchPause.FromString(body) for (body,) in connection.execute(named("list_dispatch_pauses"), (tenant,))
    ]
