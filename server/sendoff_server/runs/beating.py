"""Keeps this replica alive, frees what dead ones held, and tells whether the store works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from sendoff_server.clock import Clock
from sendoff_server.meter import UNMETERED, UNMETERED_WORK, StoreMeter, WorkMeter
from sendoff_server.runs.presence import Presence
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Store, StoreFailed

log = structlog.get_logger(__name__)


class Beating:
    """Beats every `beat_s`, and reaps whoever did not for `lease_s`."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        presence: Presence,
        tell: Callable[[bool], Awaitable[None]],
        on_freed: Callable[[], None],
        clock: Clock,
        *,
        beat_s: float,
        lease_s: float,
        work: WorkMeter = UNMETERED_WORK,
        meter: StoreMeter = UNMETERED,
    ) -> None:
        """`tell` is told after every beat whether the store works, and also when a beat goes unanswered for `beat_s`:
        whoever asks for health should not have to wait until it is certain that no answer comes. `on_freed` is called
        when the lanes of dead replicas were freed: they wait for somebody to go on with them."""
        self._store = store
        self._commits = commits
        self._presence = presence
        self._tell = tell
        self._on_freed = on_freed
        self._clock = clock
        self._work = work
        self._meter = meter
        self._beat_s = beat_s
        self._lease_s = lease_s
        self._reap_from = clock.monotonic()
        self._came_through = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Beat inside the block, which ends with Fenced if this replica was declared dead, and with NewerSchema if the
        database is not for its version any more."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._beat_forever(), name="beat"),
                group.create_task(self._reap_forever(), name="reap"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _beat_forever(self) -> None:
        while True:
            begun_at = self._clock.monotonic()
            alive = False
            try:
                await self._beat()
                self._presence.heard(begun_at)
                self._came_through.set()
                alive = not self._commits.failing
            except StoreFailed as failure:
                # Others may not have reached the store either; they get a lease's time to show that they are alive.
                self._reap_from = self._clock.monotonic() + self._lease_s
                self._meter.failed("beat")
                log.warning("a beat failed", error=str(failure), calls_are_held=not self._presence.is_sure)
            await self._tell(alive)
            # One that took long to fail is followed by the next at once.
            await self._clock.sleep(self._beat_s - (self._clock.monotonic() - begun_at if not alive else 0.0))

    async def _beat(self) -> None:
        beat = asyncio.ensure_future(self._store.beat())
        try:
            if not await self._clock.wait(beat, self._beat_s):
                await self._tell(False)
            await beat
        finally:
            beat.cancel()

    async def _reap_forever(self) -> None:
        """After beats only, and beside them: whoever has died with many lanes must not take others along."""
        while True:
            await self._came_through.wait()
            self._came_through.clear()
            if self._clock.monotonic() >= self._reap_from:
                try:
                    if dead := await self._store.reap(self._lease_s):
                        log.warning("other servers are gone; what they held is freed", replicas=dead)
                        self._work.freed(dead)
                        self._on_freed()
                except StoreFailed as failure:
                    log.warning("dead replicas can not be looked for", error=str(failure))
