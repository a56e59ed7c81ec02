"""Lists of conversations.

What a conversation is about stands in its body, so filters are tried on the bodies as they come, a page at a time. A
call looks at so many at most, and says where to go on: nobody else waits for long, however few of them are asked for.
"""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store import conversation_filter
from sendoff_server.store.postgres.connection import Connection, sought
from sendoff_server.store.postgres.conversations import as_now
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import ConversationOrder, ConversationPage, ConversationQuery

_PAGE = 200

Cursor = tuple[int, str]

KEYS = {
    ConversationOrder.CREATED: "c.create_time_ns",
    ConversationOrder.LAST_MESSAGE: "coalesce(l.last_message_ns, 0)",
    ConversationOrder.LAST_RUN: "coalesce(l.last_run_ns, 0)",
}
OF_TENANT = "c.tenant = $1 AND $2::text IS NULL"
OF_AGENT = "c.agent_no = (SELECT no FROM agent WHERE id = $2 AND tenant = $1)"
_FIRST: dict[bool, Cursor] = {True: ((1 << 63) - 1, "\U0010ffff"), False: (-1, "")}


async def read_page(connection: Connection, query: ConversationQuery) -> ConversationPage:
    after, looked_at = query.after or _FIRST[query.newest_first], 0
    found: dict[int, tuple[bytes, Cursor]] = {}
    while looked_at < conversation_filter.MOST_LOOKED_AT:
        size = min(_PAGE, conversation_filter.MOST_LOOKED_AT - looked_at)
        rows = await _rows(connection, query, after, size)
        for no, key, conversation_id, body in rows:
            after = (key, conversation_id)
            if conversation_filter.is_wanted(query, v1.Conversation.FromString(body)):
                found[no] = (body, after)
            if len(found) == query.limit:
                return await _page(connection, found, after)
        looked_at += len(rows)
        if len(rows) < size:
            return await _page(connection, found, None)
    return await _page(connection, found, after)


async def _rows(
    connection: Connection, query: ConversationQuery, after: Cursor, limit: int
) -> list[tuple[int, int, str, bytes]]:
    statement = named(
        "list_conversations",
        key=KEYS[query.order],
        owner=OF_TENANT if query.agent_id is None else OF_AGENT,
        behind="<" if query.newest_first else ">",
        order="DESC" if query.newest_first else "ASC",
    )
    key, conversation_id = after
    values = (query.tenant, sought(query.agent_id), key, sought(conversation_id), limit)
    return [(no, time_ns, name, body) for no, time_ns, name, body in await connection.fetch(statement, *values)]


async def _page(
    connection: Connection, found: dict[int, tuple[bytes, Cursor]], goes_on_after: Cursor | None
) -> ConversationPage:
    now = await as_now(connection, {no: body for no, (body, _) in found.items()})
    cursors = [cursor for _, cursor in found.values()]
    return ConversationPage(list(zip(now, cursors, strict=True)), goes_on_after)


async def cursor_of(
    connection: Connection, tenant: str, conversation_id: str, order: ConversationOrder
) -> Cursor | None:
    key = await connection.fetchval(named("conversation_key", key=KEYS[order]), tenant, conversation_id)
    return None if key is None else (key, conversation_id)
