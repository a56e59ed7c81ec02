"""Pages of stored messages: translated, then filtered, then counted.

What is counted are messages; the entries of one, which share its id, come together. The store looks at types first, so
that what is rare is found at the cost of what is told. A translation can turn one type into another one, so a page that
asks for such types reads some messages in vain, within a bound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from sendoff import v1
from sendoff_server.assistant_messages import Translation
from sendoff_server.errors import MessageNotFound
from sendoff_server.lifecycle import OUTPUT_SLOTS_PER_STEP
from sendoff_server.message_types import of_type
from sendoff_server.page_fit import MAX_PAGE_BYTES
from sendoff_server.store.port import Store
from sendoff_server.store.questions import Listed, MessageQuery, MessageScope

MOST_LOOKED_AT = 5_000
"""Messages that one page may cost; where so many do not become what is asked for, the page ends without them."""
_READ = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which messages, and how they are to be shown."""

    of: MessageScope
    config: v1.RequestConfig
    """Which calls are shown as words."""
    types: Collection[v1.MessageType.ValueType] = ()
    """Only entries of these types; empty for all."""
    newer_than: int | None = None
    """A place in the list."""
    older_than: int | None = None
    newest_first: bool

    def query(self, after: int | None, limit: int) -> MessageQuery:
        """What the store is asked for behind that place."""
        newer_than, older_than = self.newer_than, self.older_than
        if after is not None:
            newer_than, older_than = (newer_than, after) if self.newest_first else (after, older_than)
        return MessageQuery(
            of=self.of,
            types=self._stored_types(),
            newer_than=newer_than,
            older_than=older_than,
            newest_first=self.newest_first,
            limit=limit,
        )

    def _stored_types(self) -> Sequence[v1.MessageType.ValueType]:
        """The types of which some entry must be for the message to be shown."""
        types = set(self.types)
        if self.config.use_assistant_message and types & _SPOKEN:
            types.add(v1.MESSAGE_TYPE_TOOL_CALL_MESSAGE)
        return sorted(types)


_SPOKEN = {v1.MESSAGE_TYPE_ASSISTANT_MESSAGE, v1.MESSAGE_TYPE_REASONING_MESSAGE}
"""What a call can be shown as."""


@dataclass(frozen=True, slots=True)
class MessagePage:
    messages: Sequence[v1.Message]
    """Entry by entry, in the order asked for."""
    goes_on_after: int | None
    """The place behind which the next page begins; None when this is the last."""


async def read_page(store: Store, wanted: Wanted, after: int | None, limit: int) -> MessagePage:
    """Up to `limit` messages behind that place, and as many as fit into one answer."""
    found: list[Listed] = []
    place, looked_at, size = after, 0, 0
    while len(found) <= limit and size <= MAX_PAGE_BYTES and looked_at < MOST_LOOKED_AT:
        listed = await store.list_messages(wanted.query(place, _READ if looked_at else limit + 1))
        if not listed:
            place = None
            break
        shown = await _shown(store, wanted, listed)
        found += shown
        size += sum(map(_size, shown))
        looked_at += len(listed)
        place = listed[-1].place
    page = _fitting(found, limit)
    entries = [entry for each in page for entry in (reversed(each.entries) if wanted.newest_first else each.entries)]
    return MessagePage(entries, page[-1].place if len(page) < len(found) else place)


def _fitting(found: Sequence[Listed], limit: int) -> Sequence[Listed]:
    """Whole messages; one in any case, so that paging gets on."""
    left = MAX_PAGE_BYTES
    for count, each in enumerate(found[:limit]):
        left -= _size(each)
        if left < 0:
            return found[: max(1, count)]
    return found[:limit]


def _size(listed: Listed) -> int:
    return sum(entry.ByteSize() for entry in listed.entries)


async def place_of(store: Store, of: MessageScope, message_id: str) -> int:
    """Where a message stands in a list. Raises MessageNotFound."""
    place = await store.message_place(of, message_id)
    if place is None:
        raise MessageNotFound(message_id, of.run_id or of.lane or of.agent_id or "")
    return place


# ---- how they are shown ----


async def _shown(store: Store, wanted: Wanted, listed: Sequence[Listed]) -> list[Listed]:
    """Those of which something is left to show, in the same order."""
    speech = Speech(store, wanted.of.tenant, wanted.config)
    shown: list[Listed] = []
    for each in reversed(listed) if wanted.newest_first else listed:
        pieces = [piece for entry in each.entries for piece in await speech.shown(entry)]
        if kept := [piece for piece in pieces if of_type(wanted.types, piece)]:
            shown.append(Listed(each.place, kept))
    return shown[::-1] if wanted.newest_first else shown


class Speech:
    """Shows the calls through which an agent speaks as its words. What such a call returns is known by the call, which
    is of the same step, and is read if it has not been seen."""

    def __init__(self, store: Store, tenant: str, config: v1.RequestConfig) -> None:
        self._store = store
        self._tenant = tenant
        self._config = config
        self._steps: dict[str, Translation] = {}

    async def shown(self, entry: v1.Message) -> Sequence[v1.Message]:
        """What stands in a list for an entry. Entries come in the order of time."""
        if not self._config.use_assistant_message:
            return (entry,)
        if entry.HasField("tool_call_message"):
            return self._steps.setdefault(entry.step_id, Translation(self._config)).shown(entry)
        if not entry.HasField("tool_return_message"):
            return (entry,)
        if entry.step_id not in self._steps:
            self._steps[entry.step_id] = await self._of_step(entry.step_id)
        return self._steps[entry.step_id].shown(entry)

    async def _of_step(self, step_id: str) -> Translation:
        translation = Translation(self._config)
        async for entry in step_entries(self._store, self._tenant, step_id):
            translation.shown(entry)
        return translation


async def step_entries(store: Store, tenant: str, step_id: str) -> AsyncIterator[v1.Message]:
    """What a step's own run has written in it, in order. Nothing for a step that does not exist."""
    step = await store.step(tenant, step_id)
    if step is None:
        return
    of = MessageScope(tenant=tenant, run_id=step.run_id)
    first = (step.index + 1) * OUTPUT_SLOTS_PER_STEP
    last_seen = first - 1
    while True:
        query = MessageQuery(
            of=of,
            newer_than=last_seen,
            older_than=first + OUTPUT_SLOTS_PER_STEP,
            newest_first=False,
            limit=OUTPUT_SLOTS_PER_STEP,
        )
        listed = await store.list_messages(query)
        if not listed:
            return
        last_seen = listed[-1].place
        for each in listed:
            for entry in each.entries:
                if entry.step_id == step_id:  # in its last places a compaction before the next step is written
                    yield entry
