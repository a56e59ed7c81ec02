"""Entries that a run writes to its conversation."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Work


def entry(
    work: Work, message_id: str, position: int, now: Timestamp, *, step_id: str | None = None, part: int = 0
) -> v1.Message:
    """An entry with all but its kind; `part` is its place among the entries of that id."""
    message = v1.Message(
        id=message_id,
        create_time=now,
        agent_id=work.run.agent_id,
        run_id=work.run.id,
        step_id=step_id,
        otid=ids.otid(message_id, part),
        position=position,
    )
    if work.run.HasField("conversation_id"):
        message.conversation_id = work.run.conversation_id
    return message
