"""What statements ask of Python: text without case, and fields of the messages in bodies."""

from __future__ import annotations

import json
import sqlite3

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.batch.columns import last_run_of

_KINDS: dict[str, type[Message]] = {"Agent": v1.Agent, "Block": v1.Block, "Run": v1.Run, "Tool": v1.Tool}


def install(connection: sqlite3.Connection) -> None:
    """Let the connection's statements call the functions of this module."""
    for function, arguments in ((folded, 1), (field, 3), (last_run, 2)):
        connection.create_function(function.__name__, arguments, function, deterministic=True)


def folded(text: str) -> str:
    """In a form in which upper and lower case are the same."""
    return text.casefold()


def field(kind: str, body: bytes, name: str) -> str | int:
    """A field of a stored message of that kind: a text; a moment in nanoseconds; a list of texts as JSON."""
    value = getattr(_KINDS[kind].FromString(body), name)
    if isinstance(value, str):
        return value
    return nanoseconds(value) if isinstance(value, Timestamp) else json.dumps(list(value))


def last_run(agent_id: str, body: bytes) -> bytes:
    """A v1.LastRun, made of the body of a run."""
    return last_run_of(agent_id, v1.Run.FromString(body)).SerializeToString()
