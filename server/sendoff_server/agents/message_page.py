"""One page of a conversation's messages, of some types or of all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from sendoff import v1
from sendoff_server.message_types import of_type
from sendoff_server.page_fit import MAX_PAGE_BYTES, fitting

MOST_LOOKED_AT = 5_000
"""Messages that one page may cost; where so many are not of the types asked for, the page ends without them."""
_READ = 200

Read = Callable[[int | None, int], Awaitable[Sequence[v1.Message]]]
"""(after position, how many): the messages that follow, or fewer; none when none follow."""


@dataclass(frozen=True, slots=True)
class MessagePage:
    messages: Sequence[v1.Message]
    goes_on_after: int | None
    """The position behind which the next page begins; None when this is the last."""


async def read_page(
    read: Read, after_position: int | None, limit: int, types: Collection[v1.MessageType.ValueType]
) -> MessagePage:
    """Up to `limit` messages of these types, and as many as fit into one answer."""
    found: list[v1.Message] = []
    position, looked_at, size = after_position, 0, 0
    while len(found) <= limit and size <= MAX_PAGE_BYTES and looked_at < MOST_LOOKED_AT:
        messages = await read(position, _READ if types else min(_READ, limit + 1 - len(found)))
        if not messages:
            position = None
            break
        wanted = [message for message in messages if of_type(types, message)]
        found += wanted
        size += sum(message.ByteSize() for message in wanted)
        looked_at += len(messages)
        position = messages[-1].position
    page = fitting(found, limit)
    return MessagePage(page, page[-1].position if len(page) < len(found) else position)
