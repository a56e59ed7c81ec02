"""Messages one by one, entries of one id together: in the order of a run, of a lane, or over many lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from sendoff import v1
from sendoff_server.store.postgres.connection import Connection, sought
from sendoff_server.store.postgres.messages import INHERITED, LAST_POSITION, OWN, inherited_by
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import Listed, MessageQuery, MessageScope

_PAGE_BYTES = 4 * 1024 * 1024
_ALL_TYPES = -1


async def page(connection: Connection, query: MessageQuery) -> list[Listed]:
    """In a lane, what is inherited and what is own come from two reads; a page may have some of both."""
    of, found = query.of, list[Listed]()
    for name, runs in _sources(of, newest_first=query.newest_first):
        more = await _read(connection, query, name, runs, query.limit - len(found))
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


def _name(of: MessageScope) -> object:
    return sought(of.run_id if of.run_id is not None else of.lane if of.lane is not None else of.agent_id)


async def _read(connection: Connection, query: MessageQuery, name: str, runs: str, limit: int) -> list[Listed]:
    order = "DESC" if query.newest_first else "ASC"
    statement = named("list_messages", list=named(name), runs=runs, order=order)
    newer_than = -1 if query.newer_than is None else query.newer_than
    older_than = LAST_POSITION if query.older_than is None else query.older_than
    values = (_mask(query.types), _PAGE_BYTES, newer_than, older_than, limit, query.of.tenant, _name(query.of))
    rows = await connection.fetch(statement, *values)
    return [
        Listed(place, [v1.Message.FromString(body) for _, body in group])
        for place, group in groupby(rows, key=lambda row: int(row[0]))
    ]


def _mask(types: Iterable[v1.MessageType.ValueType]) -> int:
    mask = 0
    for kind in types:
        mask |= 1 << kind
    return mask or _ALL_TYPES


def _is_full(found: Sequence[Listed]) -> bool:
    return sum(entry.ByteSize() for listed in found for entry in listed.entries) >= _PAGE_BYTES


async def place(connection: Connection, of: MessageScope, message_id: str) -> int | None:
    for name, runs in _sources(of, newest_first=True):
        statement = named(name.replace("list_of", "place_in"), runs=runs)
        found = await connection.fetchval(statement, message_id, of.tenant, _name(of))
        if found is not None:
            return int(found)
    return None


async def entries(connection: Connection, tenant: str, message_id: str) -> list[v1.Message]:
    rows = await connection.fetch(named("entries_of_message"), tenant, message_id)
    return [v1.Message.FromString(body) for (body,) in rows]
