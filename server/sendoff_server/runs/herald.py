"""Tells other replicas what has happened here, and what is wanted of them: hints, those of a moment together.

The first goes at once, the next a moment later, with all that has come up meanwhile. Where nobody else writes to the
store nothing is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from sendoff_server.clock import Clock
from sendoff_server.runs.audience import Audience
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.remote_text import RemoteText
from sendoff_server.store.hints import Gone, Hint, LanesWait, Missed, Text, Watches, Wrote
from sendoff_server.store.items import Item, MarkCancel, Noted, Placed, Progress, Recorded, Result
from sendoff_server.store.port import Store, StoreFailed

GATHER_S = 0.05
PAUSE_S = 1.0
"""After hints could not be sent."""


class Herald:
    """Sends hints, and knows what text to send to whom and to ask of whom."""

    def __init__(self, store: Store, hub: Hub, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._has_news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written: dict[str, None] = {}
        self._gone: dict[str, None] = {}
        self._lanes_wait = False
        self._is_running = False
        self._audience = Audience(hub, clock, self._ring)
        self._remote_text = RemoteText(hub, clock, self._ring)
        hub.on_forgotten = self._deleted

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send inside the block."""
        if self._store.is_alone:
            yield
            return
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell_forever(), name="tell hints")
            self._is_running = True
            try:
                yield
            finally:
                self._is_running = False
                telling.cancel()

    # ---- what is to be told ----

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable."""
        if self._is_running:
            self._written.update(dict.fromkeys(_runs_of(item, result)))
            if self._written:
                self._ring()

    def lanes_wait(self) -> None:
        """There are lanes that this replica has no slot for."""
        self._lanes_wait = True
        self._ring()

    def heard(self, replica_id: str, hint: Hint) -> None:
        """What another replica tells about text."""
        match hint:
            case Watches():
                self._audience.heard(replica_id, hint)
            case Text():
                self._remote_text.heard(hint)
            case Missed():
                self._begin_anew()
            case Wrote() | Gone() | LanesWait():
                pass

    def _deleted(self, owner_id: str) -> None:
        if self._is_running:
            self._gone[owner_id] = None
            self._ring()

    def _ring(self) -> None:
        if not self._has_news.done():
            self._has_news.set_result(None)

    def _begin_anew(self) -> None:
        self._audience.begin_anew()
        self._remote_text.begin_anew()

    # ---- telling ----

    async def _tell_forever(self) -> None:
        while True:
            await self._clock.wait(self._has_news, self._remote_text.left_s())
            self._has_news = asyncio.get_running_loop().create_future()
            if hints := list(self._due()):
                await self._tell(hints)
                await self._clock.sleep(GATHER_S)

    async def _tell(self, hints: list[Hint]) -> None:
        try:
            await self._store.tell(hints)
        except StoreFailed:
            await self._clock.sleep(PAUSE_S)
            self._begin_anew()

    def _due(self) -> Iterator[Hint]:
        if self._written:
            run_ids, self._written = self._written, {}
            yield Wrote(run_ids)
        if self._gone:
            owner_ids, self._gone = self._gone, {}
            yield Gone(owner_ids)
        if self._lanes_wait:
            self._lanes_wait = False
            yield LanesWait()
        if (watches := self._remote_text.due()) is not None:
            yield watches
        yield from self._audience.due()


def _runs_of(item: Item, result: Result) -> Iterator[str]:
    """Runs that are not as they were. A new one is not among them: nobody elsewhere can know it yet."""
    match item:
        case Progress():
            yield item.run.id
        case MarkCancel():
            yield item.run_id
    match result:
        case Recorded(_, continued) if continued is not None:
            yield continued.id
        case Placed():
            yield from result.superseded
            if result.continued is not None:
                yield result.continued.id
        case Noted(run):
            yield run.id
