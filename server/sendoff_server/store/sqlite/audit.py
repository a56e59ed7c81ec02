"""Who did what. Written with what was done, see `write.py`."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.clock import timestamp
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named


def read(connection: sqlite3.Connection, tenant: str, before_id: str, limit: int) -> list[v1.AuditEntry]:
    found = []
    for time_ns, body in connection.execute(named("acts"), (tenant, before_id, limit)).fetchall():
        entry = v1.AuditEntry.FromString(body)
        entry.create_time.CopyFrom(timestamp(time_ns))
        found.append(entry)
    return found


def tenant_behind(connection: sqlite3.Connection, tenant: str) -> str | None:
    """The next tenant that has entries."""
    (found,) = connection.execute(named("next_audited_tenant"), (tenant,)).fetchone()
    return None if found is None else str(found)


def purge(connection: sqlite3.Connection, replica_no: int, tenant: str, before_ns: int, most: int) -> int:
    """Delete so many of the tenant's entries at most; how many are gone."""
    with transaction(connection):
        check_alive(connection, replica_no)
        return connection.execute(named("purge_acts"), (tenant, before_ns, most)).rowcount
