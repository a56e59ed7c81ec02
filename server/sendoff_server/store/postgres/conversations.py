"""Conversations beside the default ones. Functions that write are one transaction each."""

from __future__ import annotations

from collections.abc import Mapping

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, LaneMissing, Mismatched
from sendoff_server.store.postgres.connection import Connection, fenced, sought, sought_bytes
from sendoff_server.store.postgres.deletes import ONE_LANE, delete_lanes, deleting
from sendoff_server.store.postgres.keys import key_columns
from sendoff_server.store.postgres.messages import ENDED, INHERITED, LAST_POSITION, OWN
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import Fork


async def create(
    connection: Connection,
    replica_no: int,
    tenant: str,
    conversation: v1.Conversation,
    *,
    key: Key | None,
    fingerprint: bytes,
    fork: Fork | None,
) -> v1.Conversation | Mismatched | LaneMissing:
    async with fenced(connection, replica_no):
        known = await _of_key(connection, tenant, key, fingerprint) if key else None
        if known is not None:
            return known
        agent_no = await connection.fetchval(named("agent_to_keep"), tenant, sought(conversation.agent_id))
        source = await _lane_to_fork(connection, tenant, fork, agent_no) if agent_no is not None and fork else None
        if agent_no is None or (fork is not None and source is None):
            return LaneMissing()
        no = await connection.fetchval(named("create_lane"), conversation.id, tenant, agent_no)
        await _insert(connection, no, tenant, agent_no, conversation, key, fingerprint)
        if source is not None:
            await _inherit(connection, no, *source)
        (now,) = await as_now(connection, {no: _body(conversation)})
        if now.HasField("last_message_time"):
            await connection.execute(named("note_last_message"), no, nanoseconds(now.last_message_time))
        return now


async def _of_key(
    connection: Connection, tenant: str, key: Key, fingerprint: bytes
) -> v1.Conversation | Mismatched | None:
    known = await connection.fetchrow(named("conversation_of_key"), tenant, sought_bytes(key.value), key.scope)
    if known is None:
        return None
    conversation_id, stored_fingerprint = known
    if stored_fingerprint != fingerprint:
        return Mismatched(key, conversation_id)
    return await read(connection, tenant, conversation_id)


async def _lane_to_fork(connection: Connection, tenant: str, fork: Fork, agent_no: int) -> tuple[int, int] | None:
    """Its number, and the last position of it that is history."""
    no = await connection.fetchval(named("lane_to_fork"), tenant, sought(fork.lane), agent_no)
    last_position = LAST_POSITION if fork.last_position is None else fork.last_position
    return None if no is None else (no, last_position)


async def _insert(
    connection: Connection,
    no: int,
    tenant: str,
    agent_no: int,
    conversation: v1.Conversation,
    key: Key | None,
    fingerprint: bytes,
) -> None:
    row = (
        no,
        conversation.id,
        tenant,
        agent_no,
        nanoseconds(conversation.create_time),
        conversation.etag,
        *key_columns(key),
        fingerprint,
        _body(conversation),
    )
    await connection.execute(named("create_conversation"), *row)


async def _inherit(connection: Connection, no: int, source: int, last_position: int) -> None:
    for runs in (INHERITED, ENDED):
        await connection.execute(named("inherit", runs=runs), no, source, last_position)
    await connection.execute(named("begin_behind_inherited"), no)


async def update(
    connection: Connection, replica_no: int, tenant: str, conversation: v1.Conversation, expected_etag: str
) -> bool:
    async with fenced(connection, replica_no):
        row = (tenant, conversation.id, expected_etag, conversation.etag, _body(conversation))
        return await connection.fetchval(named("update_conversation"), *row) is not None


async def delete(connection: Connection, replica_no: int, tenant: str, conversation_id: str) -> dict[str, int] | None:
    async with deleting(connection, replica_no):
        no = await connection.fetchval(named("conversation_to_delete"), tenant, conversation_id)
        return None if no is None else {"active_runs": await delete_lanes(connection, ONE_LANE, no)}


async def read(connection: Connection, tenant: str, conversation_id: str) -> v1.Conversation | None:
    row = await connection.fetchrow(named("conversation"), tenant, conversation_id)
    return None if row is None else (await as_now(connection, {row[0]: row[1]}))[0]


async def as_now(connection: Connection, bodies: Mapping[int, bytes]) -> list[v1.Conversation]:
    """Conversations by their lanes' numbers, with what their lanes tell. One that is deleted meanwhile comes as if
    nothing were going on."""
    rows = await connection.fetch(named("conversations_now", runs=OWN), list(bodies)) if bodies else []
    now = {no: told for no, *told in rows}
    return [_told(v1.Conversation.FromString(body), *now.get(no, (None, 0, None, 0))) for no, body in bodies.items()]


def _told(
    conversation: v1.Conversation, active_run_id: str | None, open_runs: int, newest: bytes | None, pending: int
) -> v1.Conversation:
    if active_run_id is not None:
        conversation.active_run_id = active_run_id
    conversation.queued_runs = open_runs - (active_run_id is not None)
    conversation.pending_actions = pending
    if newest is not None:
        conversation.last_message_time.CopyFrom(v1.Message.FromString(newest).create_time)
    return conversation


def _body(conversation: v1.Conversation) -> bytes:
    """Without what is told on reading."""
    stored = v1.Conversation()
    stored.CopyFrom(conversation)
    stored.ClearField("active_run_id")
    stored.ClearField("queued_runs")
    stored.ClearField("pending_actions")
    stored.ClearField("last_message_time")
    return stored.SerializeToString()
