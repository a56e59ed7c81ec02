"""Decides which runs are executed now.

Who holds the lease of a lane executes its head. On the usual path leases come by themselves: an accept takes the
lease when nobody has it, and the end of a run hands it to the next run of its lane, each in its own transaction, so
nothing is polled. Only when all slots are taken do lanes stay without a holder; then a run that ends gives its lane
back to the tail of those that wait, accepts take no lease either, and a free slot claims the lane whose turn it is
(`Store.claim` says whose). At start the same claim finds what a process that is gone has left. Accepts that were
written together may take more leases than there are slots; those runs keep theirs and begin before other lanes are
claimed. Under a cap on what is under way (`Store.is_capped`) only claims take leases, so that none is ever too many.

Lanes whose heads may not start yet are claimed when the next start time comes, which the store tells. A replica that
has no slot for a lane lets the others know. A slow poll stands behind all of this.

Draining: nothing new is begun; runs under way get a time of grace; what is left is interrupted without a record, its
lease is given back when the store is left, and the next process goes on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from sendoff_server.clock import Clock
from sendoff_server.lifecycle import is_terminal
from sendoff_server.meter import UNMETERED_WORK, WorkMeter
from sendoff_server.runs.executor import Executor, Interruption
from sendoff_server.runs.hub import Hub
from sendoff_server.store.items import Accept, Cancel, Claim, Item, Noted, Placed, Progress, Recorded, Released, Result
from sendoff_server.store.port import Store, StoreFailed

POLL_S = 2.0
CLAIM_LIMIT = 100
GATHER_S = 0.002

log = structlog.get_logger(__name__)


class Scheduler:
    """Launches what is claimed, claims what waits."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        clock: Clock,
        *,
        max_running: int,
        tell_lanes_wait: Callable[[], None],
        meter: WorkMeter = UNMETERED_WORK,
    ) -> None:
        """`tell_lanes_wait`: called when lanes wait that other replicas may have slots for."""
        self._store = store
        self._hub = hub
        self._clock = clock
        self._max_running = max_running
        self._meter = meter
        self._tell_lanes_wait = tell_lanes_wait
        self._running: dict[str, Interruption] = {}
        self._without_slot: dict[str, Claim] = {}
        """Claimed, in this order to be executed."""
        self._waiting_lanes = True
        self._wait_count = 0
        self._free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._group: asyncio.TaskGroup | None = None
        self._executor: Executor | None = None
        self._draining = False

    @asynccontextmanager
    async def running(self, executor: Executor) -> AsyncIterator[None]:
        """Execute runs inside the block. Leaving it interrupts those that still run; call `drain` before. A run whose
        execution breaks, rather than fails, ends the block with its exception."""
        self._executor = executor
        async with asyncio.TaskGroup() as group:
            self._group = group
            claiming = group.create_task(self._claim_forever(), name="claim runs")
            try:
                yield
            finally:
                self._draining = True
                claiming.cancel()
                self._interrupt_all()

    async def drain(self, grace_s: float) -> None:
        """Begin nothing new, and wait for the runs under way, at most so long."""
        self._draining = True
        tasks = [interruption.task for interruption in self._running.values() if interruption.task is not None]
        if tasks:
            log.info("waiting for runs under way", runs=len(tasks), grace_s=grace_s)
            await asyncio.wait(tasks, timeout=grace_s)

    # ---- what others ask ----

    @property
    def under_way(self) -> int:
        return len(self._running)

    def has_room(self) -> bool:
        """Whether an accept may take the lease of its lane. Not in front of lanes that wait: then it waits its turn."""
        return self._has_slot() and not self._waiting_lanes and not self._store.is_capped

    def executes(self, run_id: str) -> bool:
        return run_id in self._running

    def cancel(self, run_id: str, cancel: Cancel) -> bool:
        """Interrupt a run that is executed here; False if it is not."""
        interruption = self._running.get(run_id)
        if interruption is not None:
            interruption.cancel(cancel)
        elif run_id in self._without_slot:
            self._without_slot[run_id] = replace(self._without_slot[run_id], cancel_wanted=cancel)
        return interruption is not None

    # ---- what follows from a commit ----

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable, in order."""
        match result:
            case Recorded(following, continued):
                assert isinstance(item, Progress)
                self._hub.recorded(item.run, item.events, continued)
                if following is not None:
                    self._launch(following)
                elif is_terminal(item.run) and not (item.keep_lease and item.holds_lease):
                    self._lane_waits()
            case Placed():
                assert isinstance(item, Accept)
                self._placed(item, result)
            case Noted(run):
                self._hub.changed(run)
            case Released(following):
                if following is not None:
                    self._launch(following)
                else:
                    self._lane_waits()
            case _:
                pass

    def _placed(self, item: Accept, placed: Placed) -> None:
        if placed.continued is not None:
            self._hub.changed(placed.continued, item.tenant)
        if item.supersedes is not None:
            for run_id in placed.superseded:
                self.cancel(run_id, item.supersedes)
        if placed.claim is not None:
            self._launch_in_slot(placed.claim)
        elif not item.lease or placed.superseded:
            self._lane_waits()
        elif item.start_ns is not None:
            self._start_time_set()

    def _has_slot(self) -> bool:
        return not self._draining and len(self._running) < self._max_running

    def _launch_in_slot(self, claim: Claim) -> None:
        if self._has_slot() or self._draining:
            self._launch(claim)
        else:
            self._without_slot[claim.run.id] = claim

    def _launch(self, claim: Claim) -> None:
        assert self._group is not None
        assert self._executor is not None
        if self._draining:
            return  # we hold the lease until the store is left; then it is free for the next process
        run_id = claim.run.id
        interruption = Interruption()
        self._running[run_id] = interruption
        execution = self._executor.execute(claim, interruption, self._may_keep_lease)
        interruption.task = self._group.create_task(execution)
        interruption.task.add_done_callback(lambda _: self._ended(run_id, interruption))

    def _ended(self, run_id: str, interruption: Interruption) -> None:
        if self._running.get(run_id) is interruption:  # else the run was given back and claimed again
            del self._running[run_id]
        while self._without_slot and self._has_slot():
            self._launch(self._without_slot.pop(next(iter(self._without_slot))))
        if self._waiting_lanes:
            self._wake()

    def _may_keep_lease(self) -> bool:
        return not self._draining and not self._waiting_lanes and not self._store.is_capped

    def _interrupt_all(self) -> None:
        for interruption in self._running.values():
            if interruption.task is not None:
                interruption.task.cancel()

    # ---- lanes without a holder ----

    def lanes_wait_elsewhere(self) -> None:
        """Another replica has no slot for them. They go before what is accepted here."""
        self._waiting_lanes = True
        self._wait_count += 1
        if self._has_slot():
            self._wake()

    def lanes_were_freed(self) -> None:
        """Lanes that could not be had may be had from now on, and nobody else knows."""
        self.lanes_wait_elsewhere()
        self._tell_lanes_wait()

    def _lane_waits(self) -> None:
        self.lanes_wait_elsewhere()
        if not self._has_slot():
            self._tell_lanes_wait()

    def _wake(self) -> None:
        if not self._free.done():
            self._free.set_result(None)

    def _start_time_set(self) -> None:
        """Whoever is to begin with it in time asks for its time now."""
        self._wake()
        if not self._has_slot():
            self._tell_lanes_wait()

    async def _claim_forever(self) -> None:
        while True:
            self._free = asyncio.get_running_loop().create_future()
            start_s = None
            try:
                await self._claim()
                start_s = await self._next_start_s()
            except StoreFailed as failure:
                log.warning("store can not be asked for waiting lanes", error=str(failure))
            if await self._clock.wait(self._free, POLL_S if start_s is None else start_s):
                if self._running:  # runs that began together end together; one claim is for all of their slots
                    await self._clock.sleep(GATHER_S)
            elif start_s is not None:
                self._lane_waits()

    async def _next_start_s(self) -> float | None:
        """When a lane's time comes, if that is soon. Where lanes wait already, whoever gets room claims, and finds
        those as well whose time has come meanwhile."""
        if self._waiting_lanes or self._draining:
            return None
        asked_at = self._clock.monotonic()
        next_s = await self._store.next_start_s()
        if next_s is None or next_s > POLL_S:
            return None
        return max(next_s - (self._clock.monotonic() - asked_at), GATHER_S)

    async def _claim(self) -> None:
        """Fill the free slots with lanes that wait."""
        while not self._draining and (room := self._max_running - len(self._running)) > 0:
            seen = self._wait_count
            limit = min(room, CLAIM_LIMIT)
            claims = await self._store.claim(limit)
            self._meter.claimed(len(claims))
            for claim in claims:
                self._launch_in_slot(claim)
            if len(claims) < limit:
                self._waiting_lanes = self._wait_count != seen
                return
        if self._waiting_lanes:
            self._tell_lanes_wait()
