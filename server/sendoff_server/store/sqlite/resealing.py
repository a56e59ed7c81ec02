"""Writes the secrets of all agents and endpoints anew, beside a server or without one. The owners' etags stay: nothing
that a caller sees of them is another."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sendoff_server.store.port import StoreFailed
from sendoff_server.store.resealing import BITE, Renewed, renewed_agent, renewed_endpoint
from sendoff_server.store.sqlite.connection import connect, failures, transaction
from sendoff_server.store.sqlite.queries import named


def reseal(path: Path, renewed: Renewed) -> None:
    """Raises StoreFailed, with what was written before that kept."""
    if not path.exists():
        raise StoreFailed(f"there is no database {path}")
    with failures(), closing(connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = ON")  # what was written over is not to be found in the file
        for some in (_agents, _endpoints):
            behind: int | None = 0
            while behind is not None:
                with transaction(connection):
                    behind = some(connection, behind, renewed)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nor in its log; waits for readers, but not for ever


def _agents(connection: sqlite3.Connection, behind: int, renewed: Renewed) -> int | None:
    """The number of the last one that was looked at; None: there are no more."""
    rows = connection.execute(named("agents_behind"), (behind, BITE)).fetchall()
    for no, tenant, body in rows:
        if (now := renewed_agent(body, tenant, renewed)) is not None:
            connection.execute(named("write_agent_body"), (no, now))
    return rows[-1][0] if rows else None


def _endpoints(connection: sqlite3.Connection, behind: int, renewed: Renewed) -> int | None:
    rows = connection.execute(named("endpoints_behind"), (behind, BITE)).fetchall()
    for no, tenant, endpoint_id, secrets in rows:
        if (now := renewed_endpoint(secrets, tenant, endpoint_id, renewed)) is not None:
            connection.execute(named("write_endpoint_secrets"), (no, now))
    return rows[-1][0] if rows else None
