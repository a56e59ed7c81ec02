"""Brings callbacks to their receivers, at least once each.

The outbox is the store's: a delivery is written in the commit that ends its run, taken by one replica, and let go with
a note of what came of the attempt. So a process that dies at any point leaves a delivery that is due. The end of a run
wakes the dispatcher, the end of an attempt does, and a slow poll stands behind, which finds what is due again.

A receiver that is slow or dead keeps no other one waiting: each has few attempts under way, and one whose last attempt
failed has a single one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from sendoff_server.callbacks.courier import Courier
from sendoff_server.callbacks.port import Payload
from sendoff_server.clock import Clock
from sendoff_server.errors import OutboxFull
from sendoff_server.lifecycle import is_terminal
from sendoff_server.outgoing.guard import Guard
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Item, NoteAttempt, Progress, Recorded, Result
from sendoff_server.store.port import Fenced, Poisoned, Store, StoreFailed
from sendoff_server.store.questions import Delivery

POLL_S = 1.0
COUNT_S = 5.0
GATHER_S = 0.002
PER_RECEIVER = 4
STOP_S = 2.0
"""How long a stopping server waits for attempts under way. Those that are cut are made again by the next process."""
MOST_FAILING = 10_000

log = structlog.get_logger(__name__)


class Dispatcher:
    """Takes what is due from the outbox, and has it tried."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        courier: Courier,
        guard: Guard,
        clock: Clock,
        *,
        at_once: int,
        most_open: int,
    ) -> None:
        """`at_once`: attempts under way here. `most_open`: deliveries that are not done, of all replicas."""
        self._store = store
        self._commits = commits
        self._courier = courier
        self._guard = guard
        self._clock = clock
        self._at_once = at_once
        self._most_open = most_open
        self._open = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._receivers = _Receivers()
        self._wanted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fault_of(self, url: str) -> str | None:
        """Why no callback may go to an absolute URL, as far as it tells by itself; None for no reason."""
        return self._guard.fault_of(url)

    def check_room(self) -> None:
        """Raise OutboxFull if too many deliveries are not done, as counted every few seconds."""
        if self._open >= self._most_open:
            raise OutboxFull(self._most_open, COUNT_S)

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable: the end of a run may have put a delivery into the outbox."""
        if not isinstance(result, Recorded) or not isinstance(item, Progress):
            return
        if item.run.callback.HasField("url") and is_terminal(item.run):
            self._wake()

    @asynccontextmanager
    async def running(self, payload: Payload) -> AsyncIterator[None]:
        """Deliver inside the block. Leaving it waits a moment for attempts under way, then cuts them."""
        try:
            async with asyncio.TaskGroup() as group:
                taking = group.create_task(self._take_forever(group, payload), name="deliver callbacks")
                counting = group.create_task(self._count_forever(), name="count deliveries")
                try:
                    yield
                finally:
                    taking.cancel()
                    counting.cancel()
                    await self._finish()
        finally:
            await self._courier.close()

    async def _finish(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=STOP_S)
        for task in self._under_way:
            task.cancel()

    # ---- what is due ----

    async def _take_forever(self, group: asyncio.TaskGroup, payload: Payload) -> None:
        while True:
            self._wanted = asyncio.get_running_loop().create_future()
            for delivery in await self._due():
                self._receivers.begin(delivery.receiver)
                task = group.create_task(self._deliver(delivery, payload))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            if await self._clock.wait(self._wanted, POLL_S):
                # Runs that began together end together; one claim is for all of them.
                await self._clock.sleep(GATHER_S)

    async def _due(self) -> list[Delivery]:
        room = self._at_once - len(self._under_way)
        if room <= 0:
            return []
        try:
            return await self._store.claim_deliveries(
                self._clock.now_ns(), room, PER_RECEIVER, self._receivers.room(PER_RECEIVER)
            )
        except StoreFailed as failure:
            log.warning("the store can not be asked for callbacks that are due", error=str(failure))
            return []

    async def _count_forever(self) -> None:
        while True:
            try:
                self._open = await self._store.open_deliveries()
            except StoreFailed as failure:
                log.warning("the store can not count the callbacks", error=str(failure))
            await self._clock.sleep(COUNT_S)

    def _wake(self) -> None:
        if not self._wanted.done():
            self._wanted.set_result(None)

    # ---- one delivery ----

    async def _deliver(self, delivery: Delivery, payload: Payload) -> None:
        try:
            note = await self._courier.attempt(delivery, payload)
            self._receivers.note(delivery.receiver, delivered=not note.error)
            _log(delivery, note)
            await self._commits.submit(note)
        except (Fenced, Poisoned, StoreFailed) as failure:
            log.warning("an attempt can not be noted, and is made again", delivery=delivery.id, error=str(failure))
        finally:
            self._receivers.end(delivery.receiver)
            self._wake()


class _Receivers:
    """How many attempts are under way at each, and whose last one failed."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._failing: OrderedDict[str, None] = OrderedDict()

    def begin(self, receiver: str) -> None:
        self._under_way[receiver] += 1

    def end(self, receiver: str) -> None:
        self._under_way[receiver] -= 1
        if not self._under_way[receiver]:
            del self._under_way[receiver]

    def note(self, receiver: str, *, delivered: bool) -> None:
        self._failing.pop(receiver, None)
        if not delivered:
            self._failing[receiver] = None
            if len(self._failing) > MOST_FAILING:
                self._failing.popitem(last=False)

    def room(self, most: int) -> dict[str, int]:
        """How many more each of these may have; all others may have `most`."""
        room = dict.fromkeys(self._failing, 1)
        for receiver, count in self._under_way.items():
            room[receiver] = max(0, room.get(receiver, most) - count)
        return room


def _log(delivery: Delivery, note: NoteAttempt) -> None:
    """A line for each attempt that failed. It tells the host and not the URL, which may hold a secret."""
    if note.error:
        log.warning(
            "callback not delivered",
            run_id=delivery.run.id,
            receiver=delivery.receiver,
            attempt=delivery.attempts + 1,
            error=note.error,
            given_up=note.next_attempt_ns is None,
        )
