"""Writes the secrets of all agents and endpoints anew, beside servers or without any. The owners' etags stay: nothing
that a caller sees of them is another."""

from __future__ import annotations

from sendoff_server.store.postgres.connection import Connection, failures, opened, pool
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.resealing import BITE, Renewed, renewed_agent, renewed_endpoint


async def reseal(dsn: str, renewed: Renewed) -> None:
    """Raises StoreFailed, with what was written before that kept."""
    with failures():
        async with opened(connections := pool(dsn, 1)), connections.acquire() as connection:
            for some in (_agents, _endpoints):
                behind: int | None = 0
                while behind is not None:
                    async with connection.transaction():
                        behind = await some(connection, behind, renewed)


async def _agents(connection: Connection, behind: int, renewed: Renewed) -> int | None:
    """The number of the last one that was looked at; None: there are no more."""
    rows = await connection.fetch(named("agents_behind"), behind, BITE)
    for no, tenant, body in rows:
        if (now := renewed_agent(body, tenant, renewed)) is not None:
            await connection.execute(named("write_agent_body"), no, now)
    return rows[-1][0] if rows else None


async def _endpoints(connection: Connection, behind: int, renewed: Renewed) -> int | None:
    rows = await connection.fetch(named("endpoints_behind"), behind, BITE)
    for no, tenant, endpoint_id, secrets in rows:
        if (now := renewed_endpoint(secrets, tenant, endpoint_id, renewed)) is not None:
            await connection.execute(named("write_endpoint_secrets"), no, now)
    return rows[-1][0] if rows else None
