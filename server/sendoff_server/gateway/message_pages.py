"""Pages of messages as the API's lists ask for them: `limit` and cursors count messages, not their entries.

Cursors are by time whatever the order: `after` is newer, `before` is older. So is the system prompt, which is told as
the oldest message of an agent, though no run wrote it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from sendoff import v1
from sendoff_server import ids
from sendoff_server.errors import MessageNotFound
from sendoff_server.gateway.asked import Query, is_id

Entries = list[v1.Message]
"""The entries of one message, which share its id, in their order."""

MOST_BYTES = 16 * 1024 * 1024
"""Of an answer; one that would be larger ends behind the message with which it is."""
_ORDERS = ("asc", "desc")


class StoredPage(Protocol):
    """A page as the use cases give it."""

    @property
    def messages(self) -> Sequence[v1.Message]: ...
    @property
    def next_page_token(self) -> str: ...


Read = Callable[["Span", str, int], Awaitable[StoredPage]]
"""(what is asked for, page token, most messages): a page of it."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a list is asked for."""

    newer_than: str | None
    older_than: str | None
    limit: int
    newest_first: bool

    @property
    def order_by(self) -> str:
        return "position desc" if self.newest_first else "position"


def span_of(query: Query, default_order: str) -> Span:
    """What the query says of it; what is wrong with it is noted there."""
    return Span(
        newer_than=query.text("after"),
        older_than=query.text("before"),
        limit=query.limit(100),
        newest_first=query.choice("order", _ORDERS, default_order) == "desc",
    )


async def page_of(read: Read, span: Span) -> list[Entries]:
    """The messages, in the order asked for. Raises MessageNotFound for a cursor that no message can have."""
    for cursor in (span.newer_than, span.older_than):
        if cursor is not None and not is_id(cursor, "message"):
            raise MessageNotFound(cursor)
    found: list[Entries] = []
    token, size = "", 0
    while len(found) < span.limit and size < MOST_BYTES:
        page = await read(span, token, span.limit - len(found))
        found += _by_message(page.messages, newest_first=span.newest_first)
        size += sum(entry.ByteSize() for entry in page.messages)
        token = page.next_page_token
        if not token:
            break
    return found


def between(whole: Iterable[v1.Message], span: Span, where: str) -> list[Entries]:
    """The same of messages that are all at hand, oldest first. Raises MessageNotFound."""
    found = _by_message(whole, newest_first=False)
    places = {entries[0].id: place for place, entries in enumerate(found)}
    for cursor in (span.newer_than, span.older_than):
        if cursor is not None and cursor not in places:
            raise MessageNotFound(cursor, where)
    first = places[span.newer_than] + 1 if span.newer_than is not None else 0
    end = places[span.older_than] if span.older_than is not None else len(found)
    return (found[first:end][::-1] if span.newest_first else found[first:end])[: span.limit]


def _by_message(entries: Iterable[v1.Message], *, newest_first: bool) -> list[Entries]:
    grouped = [list(group) for _, group in groupby(entries, key=lambda entry: entry.id)]
    return [group[::-1] for group in grouped] if newest_first else grouped


# ---- the system prompt ----


def system_entry(agent: v1.Agent) -> v1.Message:
    """The system prompt as a message that is always the same one."""
    entry = v1.Message(id=ids.derive("message", agent.id, "system"), agent_id=agent.id, create_time=agent.create_time)
    entry.system_message.content = agent.system
    return entry


async def page_behind_system(read: Read, span: Span, system: v1.Message, *, is_told: bool) -> list[Entries]:
    """The same where the system prompt is the oldest message, whether it is told or not."""
    if span.older_than == system.id:
        return []
    is_told = is_told and span.newer_than is None
    found = await page_of(read, replace(span, newer_than=None) if span.newer_than == system.id else span)
    if not is_told:
        return found
    if not span.newest_first:
        return [[system], *found[: span.limit - 1]]
    is_whole = len(found) < span.limit and sum(entry.ByteSize() for each in found for entry in each) < MOST_BYTES
    return [*found, [system]] if is_whole else found
