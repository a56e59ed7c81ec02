"""How many runs of a tenant have not ended: asked of the store now and then, and counted on from there.

What is known is never less than what is so, as far as this process knows: it was read, and all that was accepted since
was added; what has ended since is missing, and is only looked for once the quota seems to be used up. Where several
processes share the store it is read again after a second, because others accept as well: so much, and no more, can get
past the quota.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from sendoff_server.clock import Clock
from sendoff_server.errors import QuotaExceeded

AGAIN_S = 0.25
"""So long what is known counts though the quota seems to be used up."""
SHARED_S = 1.0
"""So long it counts in any case, where other processes accept too."""
_MANY = 10_000
"""Tenants of which something is known; then the one that was read longest ago is forgotten."""


class Counted(Protocol):
    """Where runs are counted."""

    async def count_open(self, tenant: str, most: int) -> int:
        """See `Store.count_open`."""
        ...


@dataclass(slots=True)
class _Known:
    runs: int
    read_at_s: float
    on_their_way: int = 0
    """That were let through and are not yet sure to be in what is read."""


class OpenRuns:
    """Lets requests through while there are fewer than the quota."""

    def __init__(self, store: Counted, clock: Clock, *, shared: bool) -> None:
        """`shared`: other processes use the store too."""
        self._store = store
        self._clock = clock
        self._lasts_s = SHARED_S if shared else float("inf")
        self._known: dict[str, _Known] = {}
        self._reading: dict[str, asyncio.Task[_Known]] = {}

    @asynccontextmanager
    async def one_more(self, tenant: str, most: int) -> AsyncIterator[None]:
        """Inside the block one is accepted, or refused. Entering it raises QuotaExceeded."""
        known = self._known.get(tenant)
        if known is None or self._is_old(known, most):
            known = await self._read(tenant, most)
        if known.runs >= most:
            raise QuotaExceeded("open_runs", f"tenant:{tenant}", most)
        known.runs += 1
        known.on_their_way += 1
        try:
            yield
        finally:
            known.on_their_way -= 1

    async def used(self, tenant: str, most: int) -> int:
        """As of now; not counted further than a little over `most`."""
        return await self._store.count_open(tenant, most + 1)

    def _is_old(self, known: _Known, most: int) -> bool:
        return self._clock.monotonic() - known.read_at_s >= (AGAIN_S if known.runs >= most else self._lasts_s)

    async def _read(self, tenant: str, most: int) -> _Known:
        """One reads for all who want to know; it reads on when who began it goes away."""
        reading = self._reading.get(tenant)
        if reading is None:
            reading = self._reading[tenant] = asyncio.create_task(self._count(tenant, most), name="count open runs")
            reading.add_done_callback(lambda done: self._has_read(tenant, done))
        return await asyncio.shield(reading)

    def _has_read(self, tenant: str, reading: asyncio.Task[_Known]) -> None:
        del self._reading[tenant]
        if not reading.cancelled():
            reading.exception()  # whoever wanted to know may have gone away

    async def _count(self, tenant: str, most: int) -> _Known:
        """What is on its way as it begins, or comes while it reads, may be missing in what is read."""
        if tenant not in self._known:
            self._forget_one()
        known = self._known.setdefault(tenant, _Known(0, float("-inf")))
        begun_s, on_their_way, before = self._clock.monotonic(), known.on_their_way, known.runs
        try:
            read = await self._store.count_open(tenant, most + 1)
        except BaseException:
            known.read_at_s = float("-inf")
            raise
        known.runs = read + on_their_way + (known.runs - before)
        known.read_at_s = begun_s
        return known

    def _forget_one(self) -> None:
        if len(self._known) >= _MANY:
            idle = (name for name, each in self._known.items() if not each.on_their_way and name not in self._reading)
            if (oldest := min(idle, key=lambda name: self._known[name].read_at_s, default=None)) is not None:
                del self._known[oldest]
