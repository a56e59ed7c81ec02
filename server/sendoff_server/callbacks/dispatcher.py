"""Brings callbacks to their receivers, at least once each.

The outbox is the store's: a delivery is written in the commit that starts or ends its run, taken by one replica, and
let go with a note of what came of the attempt. So a process that dies at any point leaves a delivery that is due. Such
a commit wakes the dispatcher, the end of an attempt does, and a slow poll stands behind, which finds what is due again.

A receiver that is slow or dead keeps no other one waiting (`breaker.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from sendoff_server.callbacks.breaker import PER_RECEIVER, Breaker
from sendoff_server.callbacks.courier import Courier, Outcome
from sendoff_server.callbacks.doorbell import Doorbell
from sendoff_server.callbacks.port import Payload
from sendoff_server.clock import Clock
from sendoff_server.errors import OutboxFull
from sendoff_server.lifecycle import is_terminal, starts
from sendoff_server.outgoing.guard import Guard
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Item, Progress, Recorded, Result
from sendoff_server.store.port import Fenced, Poisoned, Store, StoreFailed
from sendoff_server.store.questions import Delivery, Outbox

POLL_S = 1.0
COUNT_S = 5.0
GATHER_S = 0.002
STOP_S = 2.0
"""How long a stopping server waits for attempts under way. Those that are cut are made again by the next process."""

log = structlog.get_logger(__name__)


class Dispatcher:
    """Takes what is due from the outbox, and has it tried."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        courier: Courier,
        breaker: Breaker,
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
        self._breaker = breaker
        self._guard = guard
        self._clock = clock
        self._at_once = at_once
        self._most_open = most_open
        self._outbox = Outbox(open=0, has_endpoints=False)
        self._under_way: set[asyncio.Task[None]] = set()
        self._bell = Doorbell()
        self.doorbell = Doorbell(self._bell)
        """Rung when there may be deliveries for endpoints; whoever brings some about rings it too."""

    def fault_of(self, url: str) -> str | None:
        """Why no callback may go to an absolute URL, as far as it tells by itself; None for no reason."""
        return self._guard.fault_of(url)

    def check_room(self) -> None:
        """Raise OutboxFull if too many deliveries are not done, as counted every few seconds."""
        if self._outbox.open >= self._most_open:
            raise OutboxFull(self._most_open, COUNT_S)

    @property
    def open(self) -> int:
        """Deliveries that are not done, to URLs that requests name; of all replicas, as counted every few seconds."""
        return self._outbox.open

    @property
    def under_way(self) -> int:
        """Attempts of this process."""
        return len(self._under_way)

    def expect_endpoints(self) -> None:
        """To be called when one has been made: from now on runs may bring deliveries for it."""
        self._outbox = Outbox(self._outbox.open, has_endpoints=True)

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable: a run that starts or ends may have put deliveries into the outbox."""
        if not isinstance(result, Recorded) or not isinstance(item, Progress):
            return
        ends = is_terminal(item.run)
        if not ends and not starts(item.run, item.events):
            return
        if self._outbox.has_endpoints:
            self.doorbell.ring()
        elif item.run.callback.HasField("url") and (ends or item.run.callback.event_types):
            self._bell.ring()

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
            ring = self._bell.next_ring()
            for delivery in await self._due():
                self._breaker.begin(delivery.receiver)
                task = group.create_task(self._deliver(delivery, payload))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            if await self._clock.wait(ring, POLL_S):
                # Runs that began together end together; one claim is for all of them.
                await self._clock.sleep(GATHER_S)

    async def _due(self) -> list[Delivery]:
        limit = self._at_once - len(self._under_way)
        if limit <= 0:
            return []
        room = self._breaker.room(self._clock.monotonic())
        try:
            return await self._store.claim_deliveries(self._clock.now_ns(), limit, PER_RECEIVER, room)
        except StoreFailed as failure:
            log.warning("the store can not be asked for callbacks that are due", error=str(failure))
            return []

    async def _count_forever(self) -> None:
        while True:
            try:
                self._outbox = await self._store.outbox()
            except StoreFailed as failure:
                log.warning("the store can not count the callbacks", error=str(failure))
            await self._clock.sleep(COUNT_S)

    # ---- one delivery ----

    async def _deliver(self, delivery: Delivery, payload: Payload) -> None:
        try:
            outcome = await self._courier.attempt(delivery, payload)
            self._learn(delivery.receiver, outcome)
            _log(delivery, outcome)
            await self._commits.submit(outcome.note)
        except (Fenced, Poisoned, StoreFailed) as failure:
            log.warning("an attempt can not be noted, and is made again", delivery=delivery.id, error=str(failure))
        finally:
            self._breaker.end(delivery.receiver)
            self._bell.ring()

    def _learn(self, receiver: str, outcome: Outcome) -> None:
        if outcome.receiver_is_well:
            self._breaker.succeeded(receiver)
        elif outcome.receiver_is_well is False:
            pause_s = self._breaker.failed(receiver, self._clock.monotonic())
            if pause_s is not None:
                log.warning("a receiver of callbacks fails and is left alone", receiver=receiver, pause_s=pause_s)


def _log(delivery: Delivery, outcome: Outcome) -> None:
    """A line for each attempt. It tells the host and not the URL, which may hold a secret."""
    note = outcome.note
    told = {
        "run_id": delivery.run.id,
        "agent_id": delivery.run.agent_id,
        "event_type": delivery.kind,
        "receiver": delivery.receiver,
        "attempt": delivery.attempts + 1,
    }
    error = note.attempt.error if note.attempt is not None else note.error
    if error:
        log.warning("callback not delivered", **told, error=error, given_up=note.next_attempt_ns is None)
    else:
        log.debug("callback delivered", **told)
