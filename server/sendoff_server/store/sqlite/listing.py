"""Messages one by one, entries of one id together: in the order of a run, of a lane, or over many lanes.

Beside each message is a row of what lists choose by, `listed`. It is written with the message and goes with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from sendoff import v1
from sendoff_server.store.batch.listed import Row
from sendoff_server.store.items import LeftOut
from sendoff_server.store.port import INPUT_PLACE
from sendoff_server.store.questions import Listed, MessageQuery, MessageScope
from sendoff_server.store.sqlite.bodies import read_one
from sendoff_server.store.sqlite.messages import INHERITED, LAST_POSITION, OWN, inherited_by
from sendoff_server.store.sqlite.queries import execute_rows, named

_PAGE_BYTES = 4 * 1024 * 1024
_ALL_TYPES = -1


# ---- writing ----


def write(connection: sqlite3.Connection, now_ns: int, rows: Sequence[tuple[str, Row]]) -> None:
    """Write rows, each with its tenant, once their runs are written. Each comes behind all of its tenant."""
    latest: dict[str, int] = {}
    stamped = []
    for tenant, (key, message_id, types, last_place, size) in rows:
        if tenant not in latest:
            (latest[tenant],) = connection.execute(named("last_listed"), (tenant,)).fetchone()
        latest[tenant] = max(now_ns, latest[tenant] + 1)
        stamped.append((key, message_id, latest[tenant], types, last_place, size))
    execute_rows(connection, "write_listed", stamped)


def leave_out(connection: sqlite3.Connection, runs: Iterable[tuple[int, int]]) -> None:
    """List no more what is LeftOut of conversations: numbers of runs, with what of each is."""
    for run_no, what in runs:
        if what >= LeftOut.CONVERSATION:
            connection.execute(named("leave_out_of_lists"), (run_no, INPUT_PLACE))


# ---- reading ----


def page(connection: sqlite3.Connection, query: MessageQuery) -> list[Listed]:
    """In a lane, what is inherited and what is own come from two reads; a page may have some of both."""
    of, found = query.of, list[Listed]()
    for name, runs in _sources(of, newest_first=query.newest_first):
        more = _read(connection, query, name, runs, query.limit - len(found))
        if runs == INHERITED and of.lane is not None:
            more = [Listed(each.place, list(inherited_by(of.lane, each.entries))) for each in more]
        found += more
        if len(found) == query.limit or _is_full(found):
            break
    return found


def _sources(of: MessageScope, *, newest_first: bool) -> Sequence[tuple[str, str]]:
    if of.run_id is not None:
        return [("list_of_run", "")]
    if of.lane is not None:
        return [("list_of_lane", runs) for runs in ((OWN, INHERITED) if newest_first else (INHERITED, OWN))]
    return [("list_of_agent" if of.agent_id is not None else "list_of_tenant", "")]


def _name(of: MessageScope) -> str | None:
    return of.run_id if of.run_id is not None else of.lane if of.lane is not None else of.agent_id


def _read(connection: sqlite3.Connection, query: MessageQuery, name: str, runs: str, limit: int) -> list[Listed]:
    order = "DESC" if query.newest_first else "ASC"
    statement = named("list_messages", list=named(name), runs=runs, order=order)
    newer_than = -1 if query.newer_than is None else query.newer_than
    older_than = LAST_POSITION if query.older_than is None else query.older_than
    values = (_mask(query.types), _PAGE_BYTES, newer_than, older_than, limit, query.of.tenant, _name(query.of))
    (rows,) = connection.execute(statement, values).fetchone()
    return [
        Listed(place, [message for _, key, body in group for message in _entry(connection, key, body)])
        for place, group in groupby(json.loads(rows), key=itemgetter(0))
    ]


def _entry(connection: sqlite3.Connection, key: int, body: str | None) -> list[v1.Message]:
    bodies = read_one(connection, "message", key) if body is None else (bytes.fromhex(body),)
    return [v1.Message.FromString(each) for each in bodies]


def _mask(types: Iterable[v1.MessageType.ValueType]) -> int:
    mask = 0
    for kind in types:
        mask |= 1 << kind
    return mask or _ALL_TYPES


def _is_full(found: Sequence[Listed]) -> bool:
    return sum(entry.ByteSize() for listed in found for entry in listed.entries) >= _PAGE_BYTES


def place(connection: sqlite3.Connection, of: MessageScope, message_id: str) -> int | None:
    values = (message_id, of.tenant, _name(of))
    for name, runs in _sources(of, newest_first=True):
        found = connection.execute(named(name.replace("list_of", "place_in"), runs=runs), values).fetchone()
        if found is not None:
            return int(found[0])
    return None


def entries(connection: sqlite3.Connection, tenant: str, message_id: str) -> list[v1.Message]:
    rows = connection.execute(named("entries_of_message"), (tenant, message_id)).fetchall()
    return [v1.Message.FromString(body) for (body,) in rows]
