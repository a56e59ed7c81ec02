"""What is asked of runs, in a reader thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from sendoff import v1
from sendoff_server.store.port import Queued, RunQuery
from sendoff_server.store.sqlite.queries import named
from sendoff_server.store.sqlite.snapshot import encode_list

_EVENTS_BYTES = 4 * 1024 * 1024
_HISTORY_PAGE = 64


def runs(connection: sqlite3.Connection, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], v1.Run]:
    """By (tenant, id). What is stored under another tenant is not there."""
    asked = set(wanted)
    (found,) = connection.execute(named("runs"), (encode_list({run_id for _, run_id in asked}),)).fetchone()
    return {
        (tenant, run_id): v1.Run.FromString(bytes.fromhex(body))
        for tenant, run_id, body in json.loads(found)
        if (tenant, run_id) in asked
    }


def queued(connection: sqlite3.Connection, run_id: str) -> Queued | None:
    row = connection.execute(named("queued"), (run_id,)).fetchone()
    return None if row is None else Queued(*row)


def events(connection: sqlite3.Connection, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
    bodies = _bodies(connection, "events", (run_id, after_sequence, limit, _EVENTS_BYTES))
    return [v1.RunEvent.FromString(body) for body in bodies]


def run_messages(connection: sqlite3.Connection, run_id: str, after_position: int, limit: int) -> list[v1.Message]:
    return [
        v1.Message.FromString(body) for body in _bodies(connection, "run_messages", (run_id, after_position, limit))
    ]


def steps(connection: sqlite3.Connection, run_id: str) -> list[v1.Step]:
    return [v1.Step.FromString(body) for body in _bodies(connection, "steps", (run_id,))]


def run_request(connection: sqlite3.Connection, tenant: str, run_id: str) -> bytes | None:
    row = connection.execute(named("run_request"), (tenant, run_id)).fetchone()
    return None if row is None else bytes(row[0])


def history(connection: sqlite3.Connection, lane: str, before_position: int, max_bytes: int) -> list[v1.Message]:
    """Walks backwards, a page at a time, and stops where the bytes do: a long history costs what is taken of it."""
    newest_first: list[v1.Message] = []
    position, left = before_position, max_bytes
    while True:
        (found,) = connection.execute(named("history"), (lane, position, _HISTORY_PAGE, left)).fetchone()
        page = [(position, bytes.fromhex(body)) for position, body in json.loads(found)]
        newest_first += (v1.Message.FromString(body) for _, body in page)
        if len(page) < _HISTORY_PAGE:
            return newest_first[::-1]
        position = page[-1][0]
        left -= sum(len(body) for _, body in page)


def list_runs(connection: sqlite3.Connection, query: RunQuery) -> list[v1.Run]:
    conditions, values = _conditions(query)
    order = "DESC" if query.newest_first else "ASC"
    # Only fixed texts go into the statement, values are bound.
    statement = (
        f"SELECT r.body FROM run r WHERE {' AND '.join(conditions)} "  # noqa: S608
        f"ORDER BY r.create_time_ns {order}, r.id {order} LIMIT ?"
    )
    rows = connection.execute(statement, [*values, query.limit]).fetchall()
    return [v1.Run.FromString(body) for (body,) in rows]


def _conditions(query: RunQuery) -> tuple[list[str], list[object]]:
    """SQL conditions over `run r`, joined by AND, and the values of their question marks in order."""
    of_lane = "r.lane_no IN (SELECT no FROM lane WHERE tenant = ? AND id = ?)"
    of_agent = (
        "r.lane_no IN (SELECT l.no FROM agent a JOIN lane l ON l.agent_no = a.no WHERE a.tenant = ? AND a.id = ?)"
    )
    of_key = "r.no IN (SELECT run_no FROM run_key WHERE tenant = ? AND value = ? AND scope = ?)"
    of_otid = "r.no IN (SELECT run_no FROM run_key WHERE tenant = ? AND value = ? AND scope GLOB 'otid:*')"
    asked: list[tuple[str, Sequence[object]]] = [("r.tenant = ?", (query.tenant,))]
    if query.agent_id is not None:
        asked.append((of_agent, (query.tenant, query.agent_id)))
    if query.lane is not None:
        asked.append((of_lane, (query.tenant, query.lane)))
    if query.statuses:
        asked.append((_one_of("r.status", query.statuses), query.statuses))
    if query.stop_reasons:
        asked.append((_one_of("r.stop_reason", query.stop_reasons), query.stop_reasons))
    if query.background is not None:
        asked.append(("coalesce(r.background, 0) = ?", (query.background,)))
    if query.active is not None:
        asked.append(("r.status <= 2" if query.active else "r.status > 2", ()))
    if query.key is not None:
        asked.append((of_key, (query.tenant, query.key.value, query.key.scope)))
    if query.otid is not None:
        asked.append((of_otid, (query.tenant, query.otid)))
    if query.after is not None:
        than = "<" if query.newest_first else ">"
        time_ns, run_id = query.after
        follows = f"r.create_time_ns {than}= ? AND (r.create_time_ns {than} ? OR r.id {than} ?)"
        asked.append((follows, (time_ns, time_ns, run_id)))
    return [condition for condition, _ in asked], [value for _, values in asked for value in values]


def _one_of(column: str, values: Sequence[object]) -> str:
    return f"{column} IN ({', '.join('?' * len(values))})"


def _bodies(connection: sqlite3.Connection, name: str, values: tuple[object, ...]) -> list[bytes]:
    (found,) = connection.execute(named(name), values).fetchone()
    return [bytes.fromhex(body) for body in json.loads(found)]
