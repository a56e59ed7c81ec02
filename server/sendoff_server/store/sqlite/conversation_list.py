"""Lists of conversations. In a reader thread.

What a conversation is about stands in its body, so filters are tried on the bodies as they come. A call looks at so
many at most, and says where to go on: nobody else waits for long, however few of them are asked for.
"""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.store import conversation_filter
from sendoff_server.store.questions import ConversationOrder, ConversationPage, ConversationQuery
from sendoff_server.store.sqlite.conversations import as_now
from sendoff_server.store.sqlite.queries import named

KEYS = {
    ConversationOrder.CREATED: "c.create_time_ns",
    ConversationOrder.LAST_MESSAGE: "coalesce(l.last_message_ns, 0)",
    ConversationOrder.LAST_RUN: "coalesce(l.last_run_ns, 0)",
}
OF_TENANT = "c.tenant = ?1 AND ?2 IS NULL"
OF_AGENT = "c.agent_no = (SELECT no FROM agent WHERE id = ?2 AND tenant = ?1)"
_FIRST = {True: ((1 << 63) - 1, "\U0010ffff"), False: (-1, "")}


def read_page(connection: sqlite3.Connection, query: ConversationQuery) -> ConversationPage:
    statement = named(
        "list_conversations",
        key=KEYS[query.order],
        owner=OF_TENANT if query.agent_id is None else OF_AGENT,
        behind="<" if query.newest_first else ">",
        order="DESC" if query.newest_first else "ASC",
    )
    after = query.after or _FIRST[query.newest_first]
    found: list[tuple[v1.Conversation, tuple[int, str]]] = []
    looked_at = 0
    rows = connection.execute(statement, (query.tenant, query.agent_id, *after, conversation_filter.MOST_LOOKED_AT))
    for no, key, conversation_id, body in rows:
        looked_at += 1
        after = (key, conversation_id)
        if conversation_filter.is_wanted(query, v1.Conversation.FromString(body)):
            found.append((as_now(connection, no, body), after))
        if len(found) == query.limit:
            rows.close()
            return ConversationPage(found, after)
    return ConversationPage(found, after if looked_at == conversation_filter.MOST_LOOKED_AT else None)


def cursor_of(
    connection: sqlite3.Connection, tenant: str, conversation_id: str, order: ConversationOrder
) -> tuple[int, str] | None:
    row = connection.execute(named("conversation_key", key=KEYS[order]), (tenant, conversation_id)).fetchone()
    return None if row is None else (row[0], conversation_id)
