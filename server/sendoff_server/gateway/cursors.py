"""Pages of lists as the API asks for them: `after` and `before` are ids, and mean "what follows" and "what stands just
in front of" in the order asked for. So whoever asks on with the last id that he got gets everything, each once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message

from sendoff_server import page_token
from sendoff_server.gateway.asked import Query
from sendoff_server.page_token import Cursor

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A page ends earlier where it would be larger than this; it has one entry in any case."""

ORDERS = ("asc", "desc")
Entry = TypeVar("Entry", bound=Message)


class Paged(Protocol):
    """A list request of the contract that has an order."""

    page_size: int
    page_token: str
    order_by: str


Request = TypeVar("Request", bound=Paged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursors:
    """What a query says of its page."""

    limit: int
    newest_first: bool
    after: str | None
    before: str | None

    @property
    def backwards(self) -> bool:
        """Whether the page is found from its end."""
        return self.before is not None and self.after is None


def cursors_of(query: Query, prefix: str, default_limit: int) -> Cursors:
    """The cursors of a list of things whose ids have that prefix. What is wrong is told by `query.checked`."""
    query.choice("order_by", ("created_at",), "created_at")
    return Cursors(
        limit=query.limit(default_limit),
        newest_first=query.choice("order", ORDERS, "desc") == "desc",
        after=query.an_id("after", prefix),
        before=query.an_id("before", prefix),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[Request, Entry]):
    """A list of the contract."""

    ask: Callable[[Request], Awaitable[tuple[Sequence[Entry], str]]]
    """The entries of a page and the token of the next one."""
    place: Callable[[Entry], Cursor]
    """Where an entry stands."""
    place_of: Callable[[str], Awaitable[Cursor | None]]
    """Where the entry of an id stands, be it in the list or not. None: a cursor of that id is ignored."""
    order: str = "create_time"
    """What the list goes by."""


async def page_of(listing: Listing[Request, Entry], wanted: Request, cursors: Cursors) -> list[Entry]:
    """The page of a list that `wanted` narrows down, in the order asked for. `wanted` is used up."""
    newest_first = cursors.newest_first != cursors.backwards
    wanted.order_by = f"{listing.order} {'desc' if newest_first else 'asc'}"
    begin = await _place(listing, cursors.before if cursors.backwards else cursors.after)
    end = await _place(listing, None if cursors.backwards else cursors.before)
    if begin is not None:
        wanted.page_token = page_token.write(begin, page_token.digest(cast(Message, wanted)))
    found: list[Entry] = []
    size = 0
    while len(found) < cursors.limit and size < MAX_ANSWER_BYTES:
        wanted.page_size = cursors.limit - len(found)
        entries, wanted.page_token = await listing.ask(wanted)
        found += entries
        size += sum(entry.ByteSize() for entry in entries)
        if not wanted.page_token or (end is not None and not _is_before(listing.place(found[-1]), end, newest_first)):
            break
    told = [entry for entry in found if end is None or _is_before(listing.place(entry), end, newest_first)]
    return told[::-1] if cursors.backwards else told


async def _place(listing: Listing[Request, Entry], entry_id: str | None) -> Cursor | None:
    return None if entry_id is None else await listing.place_of(entry_id)


def _is_before(place: Cursor, other: Cursor, newest_first: bool) -> bool:
    return place > other if newest_first else place < other


async def cut(
    entries: Iterable[Entry],
    cursors: Cursors,
    place: Callable[[Entry], Cursor],
    place_of: Callable[[str], Awaitable[Cursor]],
) -> list[Entry]:
    """As `page_of`, of a list that is short and at hand."""
    after = await place_of(cursors.after) if cursors.after is not None else None
    before = await place_of(cursors.before) if cursors.before is not None else None
    found = [
        entry
        for entry in sorted(entries, key=place, reverse=cursors.newest_first)
        if (after is None or _is_before(after, place(entry), cursors.newest_first))
        and (before is None or _is_before(place(entry), before, cursors.newest_first))
    ]
    return found[-cursors.limit :] if cursors.backwards else found[: cursors.limit]
