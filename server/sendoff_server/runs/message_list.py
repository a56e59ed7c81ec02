"""ListRunMessages: one page of what a run wrote, as its request wants to see it.

The log has the entries as they were written. In the list calls of the tool through which an agent speaks are its words,
and only the types that the request asked for are shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.errors import MessageNotFound
from sendoff_server.lifecycle import input_messages, place_of
from sendoff_server.message_lists import Wanted, read_page
from sendoff_server.message_lists import place_of as place_in_list
from sendoff_server.message_types import returned_by
from sendoff_server.paging import Page
from sendoff_server.store.port import Store
from sendoff_server.store.questions import MessageScope

DEFAULT_ENTRIES = 100


class MessageList:
    """Lists the messages of runs. A place in a list is one inside the run: it is the same before and after the run has
    a place in its conversation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, tenant: str, run: v1.Run, request: v1.ListRunMessagesRequest) -> v1.ListRunMessagesResponse:
        """`run` is the request's, as stored."""
        page = Page(request, DEFAULT_ENTRIES)
        read = self._waiting if run.attempt == 0 else self._written
        messages, goes_on_after = await read(tenant, run, request, page)
        token = "" if goes_on_after is None else page.token((goes_on_after, ""))
        return v1.ListRunMessagesResponse(messages=messages, next_page_token=token)

    async def _written(
        self, tenant: str, run: v1.Run, request: v1.ListRunMessagesRequest, page: Page
    ) -> tuple[Sequence[v1.Message], int | None]:
        of = MessageScope(tenant=tenant, run_id=run.id)
        bounds = [
            await place_in_list(self._store, of, message_id) if message_id else None
            for message_id in (request.newer_than_message_id, request.older_than_message_id)
        ]
        config = run.request_config
        types = config.include_return_message_types.values
        if config.HasField("include_return_message_types") and not types:
            return (), None
        wanted = Wanted(
            of=of,
            config=config,
            types=types,
            newer_than=bounds[0],
            older_than=bounds[1],
            newest_first=_is_backwards(request),
        )
        found = await read_page(self._store, wanted, page.after[0] if page.after else None, page.limit)
        return found.messages, found.goes_on_after

    async def _waiting(
        self, tenant: str, run: v1.Run, request: v1.ListRunMessagesRequest, page: Page
    ) -> tuple[Sequence[v1.Message], int | None]:
        """The input of a run that has not started, which has no place in the conversation yet."""
        stored = await self._store.run_request(tenant, run.id)
        entries = input_messages(run, v1.CreateMessageAsyncRequest.FromString(stored or b""), 0)
        places = {entry.id: place_of(entry) for entry in entries}
        newer_than = _bound(places, request.newer_than_message_id, run.id, -1)
        older_than = _bound(places, request.older_than_message_id, run.id, 1 << 30)
        if page.after is not None:
            seen = page.after[0]
            newer_than, older_than = (newer_than, seen) if _is_backwards(request) else (seen, older_than)
        shown = [each for each in entries if newer_than < place_of(each) < older_than and returned_by(run, each)]
        ordered = shown[::-1] if _is_backwards(request) else shown
        told, token = page.of([(_without_position(each), (place_of(each), "")) for each in ordered])
        return told, place_of(ordered[len(told) - 1]) if token else None


def _is_backwards(request: v1.ListRunMessagesRequest) -> bool:
    return request.order_by == "position desc"


def _bound(places: dict[str, int], message_id: str, run_id: str, otherwise: int) -> int:
    if not message_id:
        return otherwise
    if message_id not in places:
        raise MessageNotFound(message_id, run_id)
    return places[message_id]


def _without_position(message: v1.Message) -> v1.Message:
    told = v1.Message()
    told.CopyFrom(message)
    told.ClearField("position")
    return told
