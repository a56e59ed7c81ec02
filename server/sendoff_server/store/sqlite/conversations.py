"""Conversations beside the default ones. Functions that write are one transaction each, in the writer thread."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, LaneMissing, Mismatched
from sendoff_server.store.questions import Fork
from sendoff_server.store.sqlite.bodies import read_one
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.deletes import ONE_LANE, delete_lanes
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.messages import ENDED, INHERITED, LAST_POSITION, OWN
from sendoff_server.store.sqlite.queries import named


def create(
    connection: sqlite3.Connection,
    replica_no: int,
    tenant: str,
    conversation: v1.Conversation,
    *,
    key: Key | None,
    fingerprint: bytes,
    fork: Fork | None,
) -> v1.Conversation | Mismatched | LaneMissing:
    with transaction(connection):
        check_alive(connection, replica_no)
        known = _of_key(connection, tenant, key, fingerprint) if key else None
        if known is not None:
            return known
        agent = connection.execute(named("agent_number"), (tenant, conversation.agent_id)).fetchone()
        source = _lane_to_fork(connection, tenant, fork, agent[0]) if agent and fork else None
        if agent is None or (fork is not None and source is None):
            return LaneMissing()
        lane = (conversation.id, tenant, agent[0])
        (no,) = connection.execute(named("create_conversation_lane"), lane).fetchone()
        _insert(connection, no, tenant, agent[0], conversation, key, fingerprint)
        if source is not None:
            _inherit(connection, no, *source)
        now = as_now(connection, no, _body(conversation))
        if now.HasField("last_message_time"):
            connection.execute(named("note_last_message"), (no, nanoseconds(now.last_message_time)))
        return now


def _of_key(
    connection: sqlite3.Connection, tenant: str, key: Key, fingerprint: bytes
) -> v1.Conversation | Mismatched | None:
    known = connection.execute(named("conversation_of_key"), (tenant, key.value, key.scope)).fetchone()
    if known is None:
        return None
    conversation_id, stored_fingerprint = known
    if stored_fingerprint != fingerprint:
        return Mismatched(key, conversation_id)
    return read(connection, tenant, conversation_id)


def _lane_to_fork(connection: sqlite3.Connection, tenant: str, fork: Fork, agent_no: int) -> tuple[int, int] | None:
    """Its number, and the last position of it that is history."""
    found = connection.execute(named("lane_number"), (tenant, fork.lane, agent_no)).fetchone()
    last_position = LAST_POSITION if fork.last_position is None else fork.last_position
    return None if found is None else (found[0], last_position)


def _insert(
    connection: sqlite3.Connection,
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
        key.scope if key else None,
        key.value if key else None,
        fingerprint,
        _body(conversation),
    )
    connection.execute(named("create_conversation"), row)


def _inherit(connection: sqlite3.Connection, no: int, source: int, last_position: int) -> None:
    for runs in (INHERITED, ENDED):
        connection.execute(named("inherit", runs=runs), (no, source, last_position))
    connection.execute(named("begin_behind_inherited"), (no,))


def update(
    connection: sqlite3.Connection, replica_no: int, tenant: str, conversation: v1.Conversation, expected_etag: str
) -> bool:
    with transaction(connection):
        check_alive(connection, replica_no)
        row = (tenant, conversation.id, expected_etag, conversation.etag, _body(conversation))
        return connection.execute(named("update_conversation"), row).rowcount == 1


def delete(connection: sqlite3.Connection, replica_no: int, tenant: str, conversation_id: str) -> dict[str, int] | None:
    with transaction(connection):
        check_alive(connection, replica_no)
        found = connection.execute(named("conversation_number"), (tenant, conversation_id)).fetchone()
        return None if found is None else {"active_runs": delete_lanes(connection, ONE_LANE, found[0])}


def read(connection: sqlite3.Connection, tenant: str, conversation_id: str) -> v1.Conversation | None:
    row = connection.execute(named("conversation"), (tenant, conversation_id)).fetchone()
    return None if row is None else as_now(connection, *row)


def as_now(connection: sqlite3.Connection, no: int, body: bytes) -> v1.Conversation:
    """With what its lane tells. One that is deleted meanwhile comes as if nothing were going on."""
    conversation = v1.Conversation.FromString(body)
    now = connection.execute(named("conversation_now", runs=OWN), (no,)).fetchone()
    active_run_id, open_runs, newest, pending = now or (None, 0, None, 0)
    if active_run_id is not None:
        conversation.active_run_id = active_run_id
    conversation.queued_runs = open_runs - (active_run_id is not None)
    conversation.pending_actions = pending
    for message in read_one(connection, "message", newest) if newest is not None else ():
        conversation.last_message_time.CopyFrom(v1.Message.FromString(message).create_time)
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
