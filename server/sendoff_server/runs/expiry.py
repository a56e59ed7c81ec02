"""What time brings about by itself: actions that nobody answers, and runs that are not started in time.

Once a second the store is asked for both. Any number of replicas may ask at once: what one has dealt with is not as
the other one's write supposes, and then nothing is written. After a restart it goes on with what is due by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.errors import NotFound, NotNow
from sendoff_server.runs.answering import Answering
from sendoff_server.runs.draft import run_error
from sendoff_server.store.port import Poisoned, Store, StoreFailed

PERIOD_S = 1.0
AT_ONCE = 500
"""So many of each kind are dealt with in one second."""

_ONE_OF_MANY = (NotFound, NotNow, Poisoned, StoreFailed)
"""Concerns one run or one moment; all else ends the process."""

log = structlog.get_logger(__name__)


class Queue(Protocol):
    """Where queued runs are ended."""

    async def end_queued(
        self, tenant: str, run: v1.Run, reason: v1.StopReason.ValueType, error: v1.RunError | None = None
    ) -> v1.Run | None:
        """End a run that nobody executes; None if somebody began to, meanwhile."""
        ...


class Expiry:
    """Settles what is overdue."""

    def __init__(self, store: Store, answering: Answering, queue: Queue, clock: Clock, *, may_approve: bool) -> None:
        self._store = store
        self._answering = answering
        self._queue = queue
        self._clock = clock
        self._may_approve = may_approve

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look once a second inside the block."""
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_forever(), name="expiry")
            try:
                yield
            finally:
                looking.cancel()

    async def _look_forever(self) -> None:
        while True:
            try:
                await self.look()
            except StoreFailed as failure:
                log.warning("the store can not be asked for what is overdue", error=str(failure))
            await self._clock.sleep(PERIOD_S)

    async def look(self) -> None:
        """Settle what is overdue now."""
        now_ns = self._clock.now_ns()
        actions = await self._store.expired_actions(now_ns, AT_ONCE)
        runs = await self._store.overdue_runs(now_ns, AT_ONCE)
        settling = [self._expire_actions(*each) for each in actions]
        ending = [self._expire_run(*each) for each in runs]
        for outcome in await asyncio.gather(*settling, *ending, return_exceptions=True):
            if isinstance(outcome, _ONE_OF_MANY):
                log.warning("something overdue can not be settled now", error=str(outcome))
            elif outcome is not None:
                raise outcome

    async def _expire_actions(self, tenant: str, lane: str, run_id: str) -> None:
        await self._answering.expire(tenant, lane, run_id, may_approve=self._may_approve)

    async def _expire_run(self, tenant: str, run_id: str) -> None:
        run = (await self._store.runs(tenant, [run_id])).get(run_id)
        if run is None or run.status != v1.RUN_STATUS_CREATED:
            return
        told = "the run was not started within its limit of queue_ttl; nothing of it was done"
        error = run_error("EXPIRED_IN_QUEUE", told, retryable=True)
        await self._queue.end_queued(tenant, run, v1.STOP_REASON_EXPIRED_IN_QUEUE, error)
