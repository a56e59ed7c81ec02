"""Agents. Functions that write are one transaction each, in the writer thread."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.sqlite import tags
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.deletes import LANES_OF_AGENT, delete_lanes
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named


def create(
    connection: sqlite3.Connection, replica_no: int, tenant: str, agent: v1.Agent, key: Key | None, fingerprint: bytes
) -> v1.Agent | Mismatched:
    with transaction(connection):
        check_alive(connection, replica_no)
        if key is not None:
            known = connection.execute(named("agent_of_key"), (tenant, key.value, key.scope)).fetchone()
            if known is not None:
                agent_id, stored_fingerprint, body = known
                return v1.Agent.FromString(body) if stored_fingerprint == fingerprint else Mismatched(key, agent_id)
        row = (
            agent.id,
            tenant,
            nanoseconds(agent.create_time),
            agent.etag,
            key.scope if key else None,
            key.value if key else None,
            fingerprint,
            agent.SerializeToString(),
        )
        (no,) = connection.execute(named("create_agent"), row).fetchone()
        connection.execute(named("create_lane"), (agent.id, tenant, no))
        times = nanoseconds(agent.create_time), nanoseconds(agent.update_time)
        connection.execute(named("create_agent_entry"), (no, agent.id, tenant, agent.name, *times))
        tags.write(connection, tags.OF_AGENTS, tenant, no, agent.tags)
    return agent


def update(connection: sqlite3.Connection, replica_no: int, tenant: str, agent: v1.Agent, expected_etag: str) -> bool:
    with transaction(connection):
        check_alive(connection, replica_no)
        row = (tenant, agent.id, expected_etag, agent.etag, agent.SerializeToString())
        found = connection.execute(named("update_agent"), row).fetchone()
        if found is None:
            return False
        entry = (*found, agent.name, nanoseconds(agent.update_time))
        connection.execute(named("update_agent_entry"), entry)
        tags.write(connection, tags.OF_AGENTS, tenant, found[0], agent.tags)
        return True


def delete(connection: sqlite3.Connection, replica_no: int, tenant: str, agent_id: str) -> dict[str, int] | None:
    with transaction(connection):
        check_alive(connection, replica_no)
        found = connection.execute(named("agent_number"), (tenant, agent_id)).fetchone()
        if found is None:
            return None
        open_runs = delete_lanes(connection, LANES_OF_AGENT, found[0])
        if not open_runs:
            connection.execute(named("delete_agent"), found)
            connection.execute(named("delete_agent_entry"), found)
            connection.execute(named("delete_pauses_of_agent"), found)
            tags.delete(connection, tags.OF_AGENTS, found[0])
        return {"active_runs": open_runs}


def read(connection: sqlite3.Connection, tenant: str, agent_id: str) -> v1.Agent | None:
    row = connection.execute(named("agent"), (tenant, agent_id)).fetchone()
    return None if row is None else v1.Agent.FromString(row[0])
