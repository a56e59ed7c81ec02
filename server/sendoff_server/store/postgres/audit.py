"""Who did what. Written with what was done, see `write.py`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.clock import timestamp
from sendoff_server.store.postgres.connection import Connection, fenced
from sendoff_server.store.postgres.queries import named


async def read(connection: Connection, tenant: str, before_id: str, limit: int) -> list[v1.AuditEntry]:
    found = []
    for time_ns, body in await connection.fetch(named("acts"), tenant, before_id, limit):
        entry = v1.AuditEntry.FromString(body)
        entry.create_time.CopyFrom(timestamp(time_ns))
        found.append(entry)
    return found


async def tenant_behind(connection: Connection, tenant: str) -> str | None:
    """The next tenant that has entries."""
    found: str | None = await connection.fetchval(named("next_audited_tenant"), tenant)
    return found


async def purge(connection: Connection, replica_no: int, tenant: str, before_ns: int, most: int) -> int:
    """Delete so many of the tenant's entries at most; how many are gone."""
    async with fenced(connection, replica_no):
        gone: int = await connection.fetchval(named("purge_acts"), tenant, before_ns, most)
        return gone
