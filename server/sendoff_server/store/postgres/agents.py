"""Agents. Functions that write are one transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.postgres import tags
from sendoff_server.store.postgres.connection import Connection, fenced, folded, sought, sought_bytes
from sendoff_server.store.postgres.deletes import LANES_OF_AGENT, delete_lanes, deleting
from sendoff_server.store.postgres.keys import key_columns
from sendoff_server.store.postgres.queries import named


async def create(
    connection: Connection, replica_no: int, tenant: str, agent: v1.Agent, key: Key | None, fingerprint: bytes
) -> v1.Agent | Mismatched:
    async with fenced(connection, replica_no):
        known = await _of_key(connection, tenant, key, fingerprint) if key is not None else None
        if known is not None:
            return known
        create_time_ns = nanoseconds(agent.create_time)
        row = (agent.id, tenant, create_time_ns, agent.etag, *key_columns(key), fingerprint, agent.SerializeToString())
        no = await connection.fetchval(named("create_agent"), *row)
        await connection.execute(named("create_lane"), agent.id, tenant, no)
        names = agent.name.encode(), folded(agent.name)
        entry = (no, agent.id, tenant, *names, create_time_ns, nanoseconds(agent.update_time))
        await connection.execute(named("create_agent_entry"), *entry)
        await tags.write(connection, tags.OF_AGENTS, tenant, no, agent.tags)
    return agent


async def _of_key(connection: Connection, tenant: str, key: Key, fingerprint: bytes) -> v1.Agent | Mismatched | None:
    known = await connection.fetchrow(named("agent_of_key"), tenant, sought_bytes(key.value), key.scope)
    if known is None:
        return None
    agent_id, stored_fingerprint, body = known
    return v1.Agent.FromString(body) if stored_fingerprint == fingerprint else Mismatched(key, agent_id)


async def update(connection: Connection, replica_no: int, tenant: str, agent: v1.Agent, expected_etag: str) -> bool:
    async with fenced(connection, replica_no):
        row = (tenant, agent.id, expected_etag, agent.etag, agent.SerializeToString())
        no = await connection.fetchval(named("update_agent"), *row)
        if no is None:
            return False
        entry = (no, agent.name.encode(), folded(agent.name), nanoseconds(agent.update_time))
        await connection.execute(named("update_agent_entry"), *entry)
        await tags.write(connection, tags.OF_AGENTS, tenant, no, agent.tags)
        return True


async def delete(connection: Connection, replica_no: int, tenant: str, agent_id: str) -> dict[str, int] | None:
    async with deleting(connection, replica_no):
        no = await connection.fetchval(named("agent_to_delete"), tenant, agent_id)
        if no is None:
            return None
        open_runs = await delete_lanes(connection, LANES_OF_AGENT, no)
        if not open_runs:
            await connection.execute(named("delete_agent"), no)
            await connection.execute(named("delete_agent_entry"), no)
            await connection.execute(named("delete_pauses_of_agent"), no)
            await tags.delete(connection, tags.OF_AGENTS, no)
        return {"active_runs": open_runs}


async def read(connection: Connection, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], v1.Agent]:
    """By (tenant, id). What is stored under another tenant is not there."""
    asked = set(wanted)
    rows = await connection.fetch(named("agents"), [sought(agent_id) for agent_id in {each for _, each in asked}])
    return {(tenant, each): v1.Agent.FromString(body) for tenant, each, body in rows if (tenant, each) in asked}
