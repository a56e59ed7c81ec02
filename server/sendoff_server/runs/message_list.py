"""ListRunMessages: one page of what a run wrote, as its request wants to see it.

The log has the entries as they were written. In the list calls of the tool through which an agent speaks are its words
(`assistant_messages`), which can make several entries of one, and only the types that the request asked for are shown:
translated first, then filtered, then counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sendoff import v1
from sendoff_server.assistant_messages import Translation
from sendoff_server.lifecycle import OUTPUT_SLOTS_PER_STEP, input_messages, place_of
from sendoff_server.message_types import returned_by
from sendoff_server.page_fit import MAX_PAGE_BYTES
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page
from sendoff_server.store.port import Store

DEFAULT_ENTRIES = 100
_READ = 200


class Place(NamedTuple):
    """Where something shown stands in a run. The same before and after the run has a position in its lane."""

    entry: int
    """Place of the entry inside the run."""
    piece: int
    """Which of those that are shown for it, from 0."""


Placed = tuple[Place, v1.Message]

_BEGINNING = Place(-1, 0)
_WHOLE = 1 << 30


class MessageList:
    """Lists the messages of runs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, tenant: str, run: v1.Run, request: v1.ListRunMessagesRequest) -> v1.ListRunMessagesResponse:
        """`run` is the request's, as stored."""
        page = Page(request, DEFAULT_ENTRIES)
        read = self._waiting if run.attempt == 0 else self._written
        found = await read(tenant, run, _place_of(page.after), page.enough)
        messages, token = page.of([(message, (place.entry, str(place.piece))) for place, message in found])
        return v1.ListRunMessagesResponse(messages=messages, next_page_token=token)

    async def _waiting(self, tenant: str, run: v1.Run, after: Place, most: int) -> list[Placed]:
        """The input of a run that has not started, which has no place in the conversation yet."""
        stored = await self._store.run_request(tenant, run.id)
        entries = input_messages(run, v1.CreateMessageAsyncRequest.FromString(stored or b""), 0)
        placed = [(Place(place_of(entry), 0), _without_position(entry)) for entry in entries]
        return [(place, entry) for place, entry in placed if place > after and returned_by(run, entry)][:most]

    async def _written(self, tenant: str, run: v1.Run, after: Place, most: int) -> list[Placed]:
        translation = Translation(run.request_config)
        if run.continues_run_id and after.entry < OUTPUT_SLOTS_PER_STEP:
            for entry in await self._last_step(run.continues_run_id):
                translation.shown(entry)  # what its calls return may stand first in this run
        first_place = await self._position(run.id)
        # From the start of the step on, so that the translation knows the calls whose returns come behind `after`.
        position = first_place + max(0, after.entry) // OUTPUT_SLOTS_PER_STEP * OUTPUT_SLOTS_PER_STEP - 1
        found: list[Placed] = []
        while len(found) < most and not _is_full(found):
            entries = await self._store.run_messages(run.id, position, _READ)
            for entry in entries:
                pieces = enumerate(translation.shown(entry))
                placed = [(Place(place_of(entry), index), piece) for index, piece in pieces]
                found += [(place, piece) for place, piece in placed if place > after and returned_by(run, piece)]
            if len(entries) < _READ:
                break
            position = entries[-1].position
        return found[:most]

    async def _last_step(self, run_id: str) -> Sequence[v1.Message]:
        """What the last step of a run wrote."""
        steps = await self._store.steps(run_id)
        if not steps:
            return []
        begins = await self._position(run_id) + (steps[-1].index + 1) * OUTPUT_SLOTS_PER_STEP
        return await self._store.run_messages(run_id, begins - 1, OUTPUT_SLOTS_PER_STEP)

    async def _position(self, run_id: str) -> int:
        """The position of a run's first place; 0 for a run that wrote nothing."""
        first = await self._store.run_messages(run_id, -1, 1)
        return first[0].position - place_of(first[0]) if first else 0


def _is_full(found: list[Placed]) -> bool:
    """Whether these are more than fit into one answer, so that no more need be read."""
    return len(found) > 1 and sum(message.ByteSize() for _, message in found) > MAX_PAGE_BYTES


def _place_of(cursor: Cursor | None) -> Place:
    if cursor is None:
        return _BEGINNING
    entry, piece = cursor
    return Place(entry, int(piece) if piece.isdecimal() else _WHOLE)  # tokens of old had an id there


def _without_position(message: v1.Message) -> v1.Message:
    told = v1.Message()
    told.CopyFrom(message)
    told.ClearField("position")
    return told
