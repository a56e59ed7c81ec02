"""What a conversation is about stands in its body: engines try these filters on the bodies as they come."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store.questions import ConversationQuery

MOST_LOOKED_AT = 2_000
"""Of one call, so that nobody else waits for long, however few are asked for."""


def is_wanted(query: ConversationQuery, conversation: v1.Conversation) -> bool:
    return (
        query.archived in (None, conversation.archived)
        and query.hidden in (None, conversation.hidden)
        and query.search.casefold() in conversation.summary.casefold()
    )
