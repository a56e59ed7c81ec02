"""Notices what other replicas have done: to runs that are watched here, and to runs that are executed here.

Where only this process writes to the store there is nothing to notice. Else the store is asked a few times a second,
once for all runs that are watched here and executed elsewhere, whether something of them was written; their watchers
then read what it is. It is asked as well which of the runs that are executed here somebody has cancelled elsewhere.

Other replicas hint at what they have just written, so that the next look comes at once; looking goes on without hints.
Text that is being written comes in hints alone (`remote_text.py`): without them watchers elsewhere get each message
once it is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice

import structlog

from sendoff_server.clock import Clock
from sendoff_server.runs.herald import Herald
from sendoff_server.runs.hub import Hub, Topic
from sendoff_server.runs.scheduler import Scheduler
from sendoff_server.store.hints import Gone, Hint, LanesWait, Missed, Wrote
from sendoff_server.store.port import Store, StoreFailed

POLL_S = 0.2
ASKED_AT_ONCE = 1_000

log = structlog.get_logger(__name__)


class Lookout:
    """Asks the store on behalf of all watchers, and of the scheduler."""

    def __init__(self, store: Store, hub: Hub, scheduler: Scheduler, herald: Herald, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._scheduler = scheduler
        self._herald = herald
        self._clock = clock
        self._hint: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look out inside the block."""
        if self._store.is_alone:
            yield
            return
        async with self._store.hints(self._on_hint), asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_forever(), name="look out")
            try:
                yield
            finally:
                looking.cancel()

    def _on_hint(self, replica_id: str, hint: Hint) -> None:
        match hint:
            case Wrote(run_ids):
                elsewhere = self._hub.elsewhere()
                if any(run_id in elsewhere or self._scheduler.executes(run_id) for run_id in run_ids):
                    self._look_now()
            case Gone():
                self._look_now()
            case LanesWait():
                self._scheduler.lanes_wait_elsewhere()
            case Missed():
                self._look_now()
                self._herald.heard(replica_id, hint)
            case _:
                self._herald.heard(replica_id, hint)

    def _look_now(self) -> None:
        if not self._hint.done():
            self._hint.set_result(None)

    async def _look_forever(self) -> None:
        while True:
            self._hint = asyncio.get_running_loop().create_future()
            try:
                await self._look()
            except StoreFailed as failure:
                log.warning("the store can not be asked what others have done", error=str(failure))
            await self._clock.wait(self._hint, POLL_S)

    async def _look(self) -> None:
        if self._scheduler.under_way:
            for run_id, cancel in await self._store.wanted_cancels():
                self._scheduler.cancel(run_id, cancel)
        topics = iter(self._hub.elsewhere().items())
        while some := dict(islice(topics, ASKED_AT_ONCE)):
            _tell(some, await self._store.run_marks(list(some)))


def _tell(topics: Mapping[str, Topic], marks: Mapping[str, str]) -> None:
    """Wake the watchers of runs that were written to, or that are seen for the first time: who has looked before that
    may have missed something."""
    for run_id, topic in topics.items():
        mark = marks.get(run_id)
        if mark is None:
            topic.deleted = True
        if mark is None or mark != topic.seen_mark:
            topic.seen_mark = mark
            topic.wake()
