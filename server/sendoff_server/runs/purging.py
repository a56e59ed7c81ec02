"""Deleting runs whose time is over, in the background.

Once a minute the store is asked for them, and then bite after bite with a pause behind each, so that accepts hardly
wait for it. Any number of replicas may do so at once. A process that is killed leaves what was to be purged to the
next one, or to its next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from sendoff_server.clock import SECOND_NS, Clock
from sendoff_server.runs.hub import Hub
from sendoff_server.store.port import Store, StoreFailed

PERIOD_S = 60.0
PAUSE_S = 0.05
BITE_RUNS = 20
_DAY_NS = 86_400 * SECOND_NS

log = structlog.get_logger(__name__)


class Purging:
    """Purges, and tells those who watch."""

    def __init__(self, store: Store, hub: Hub, clock: Clock, *, audit_days: int = 0) -> None:
        """`audit_days`: how long entries of the audit are kept; 0: for ever."""
        self._audit_ns = audit_days * _DAY_NS
        self._store = store
        self._hub = hub
        self._clock = clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look once a minute inside the block."""
        async with asyncio.TaskGroup() as group:
            purging = group.create_task(self._purge_forever(), name="purge")
            try:
                yield
            finally:
                purging.cancel()

    async def _purge_forever(self) -> None:
        while True:
            try:
                await self.purge()
                await self.purge_audit()
            except StoreFailed as failure:
                log.warning("the store can not purge what is over", error=str(failure))
            await self._clock.sleep(PERIOD_S)

    async def purge_audit(self) -> None:
        """Purge the entries of the audit that are over."""
        if self._audit_ns:
            gone = await self._store.purge_audit(self._clock.now_ns() - self._audit_ns)
            if gone:
                log.info("purged entries of the audit", entries=gone)

    async def purge(self) -> None:
        """Purge all that is over now."""
        now_ns = self._clock.now_ns()
        runs = entries = 0
        is_done = False
        try:
            while not is_done:
                bite = await self._store.purge(now_ns, BITE_RUNS)
                for run_id in bite.run_ids:
                    self._hub.forget(run_id)
                runs, entries, is_done = runs + len(bite.run_ids), entries + bite.entries, bite.is_done
                if not is_done:
                    await self._clock.sleep(PAUSE_S)
        finally:
            if runs or entries:
                log.info("purged", runs=runs, log_entries=entries, is_done=is_done)
