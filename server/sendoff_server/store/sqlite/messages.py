"""The messages of lanes: those that its own runs wrote, and in front of them what a fork has inherited.

In a reader thread. Inherited messages lie where their runs wrote them; they are told under the lane that asks.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator

from sendoff import v1
from sendoff_server.store.sqlite.bodies import read_bodies, read_one
from sendoff_server.store.sqlite.queries import named

OWN = "SELECT lane_no, seq, no, 1048575 AS last_place FROM run"
ENDED = f"{OWN} WHERE status > 2"
INHERITED = "SELECT lane_no, seq, run_no AS no, last_place FROM inherited"

LAST_POSITION = (1 << 63) - 1

_PAGE_BYTES = 4 * 1024 * 1024
_HISTORY_PAGE = 64


def history(connection: sqlite3.Connection, lane: str, before_position: int, max_bytes: int) -> list[v1.Message]:
    own, left = _newest(connection, OWN, lane, before_position, max_bytes)
    (inherits,) = connection.execute(named("inherits"), (lane,)).fetchone()
    if inherits and not _any(connection, OWN, lane, own[-1].position if own else before_position):
        inherited, _ = _newest(connection, INHERITED, lane, before_position, left)
        own += inherited
    return own[::-1]


def _newest(
    connection: sqlite3.Connection, runs: str, lane: str, before_position: int, max_bytes: int
) -> tuple[list[v1.Message], int]:
    """The newest messages of these runs that fit, newest first, and how many bytes are left.

    Walks backwards, a page at a time, and stops where the bytes do: a long history costs what is taken of it.
    """
    newest_first: list[v1.Message] = []
    position, left = before_position, max_bytes
    while True:
        (found,) = connection.execute(named("history", runs=runs), (lane, position, _HISTORY_PAGE, left)).fetchone()
        page = json.loads(found)
        for _, _, key, body in page:
            bodies = read_one(connection, "message", key) if body is None else (bytes.fromhex(body),)
            newest_first += _told(runs, lane, bodies)
        if page:
            position, taken, *_ = page[-1]
            left -= taken
        if len(page) < _HISTORY_PAGE:
            return newest_first, left


def _any(connection: sqlite3.Connection, runs: str, lane: str, before_position: int) -> bool:
    """Whether these runs have a message before that position."""
    (found,) = connection.execute(named("history", runs=runs), (lane, before_position, 1, LAST_POSITION)).fetchone()
    return bool(json.loads(found))


def page(
    connection: sqlite3.Connection,
    tenant: str,
    lane: str,
    after_position: int | None,
    limit: int,
    newest_first: bool,
) -> list[v1.Message]:
    """What is inherited and what is own are never on one page."""
    order, behind, first = ("DESC", "<", LAST_POSITION) if newest_first else ("ASC", ">", -1)
    position = first if after_position is None else after_position
    for runs in (OWN, INHERITED) if newest_first else (INHERITED, OWN):
        values = (tenant, lane, position, limit, _PAGE_BYTES)
        bodies = read_bodies(connection, "messages", values, "message", runs=runs, order=order, behind=behind)
        if messages := list(_told(runs, lane, bodies)):
            return messages
    return []


def position_of(connection: sqlite3.Connection, tenant: str, lane: str, message_id: str) -> int | None:
    for runs in (ENDED, INHERITED):
        candidates = connection.execute(named("message_places", runs=runs), (tenant, lane, message_id.encode()))
        for position, body in candidates:
            if v1.Message.FromString(body).id == message_id:
                return int(position)
    return None


def _told(runs: str, lane: str, bodies: Iterable[bytes]) -> Iterator[v1.Message]:
    for body in bodies:
        message = v1.Message.FromString(body)
        if runs == INHERITED:
            message.conversation_id = lane
        yield message
