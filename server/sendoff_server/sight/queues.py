"""Figures of what waits: asked of the store when somebody looks, so the same whichever replica is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, Gauge

from sendoff_server.clock import SECOND_NS, Clock
from sendoff_server.meter import StoreMeter
from sendoff_server.sight.labels import OTHER
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.standing import QueueDepth

FRESH_S = 5.0
"""For so long what was counted is told again."""
PATIENCE_S = 2.0
"""So long who scrapes waits for the store."""

log = structlog.get_logger(__name__)


class Depths(Protocol):
    """Where open runs are counted."""

    async def queue_depths(self, tenants: Sequence[str]) -> list[QueueDepth]:
        """See `Store.queue_depths`."""
        ...


class QueueFigures:
    """Of all replicas together. While the store does not answer there are no such lines."""

    def __init__(
        self, registry: CollectorRegistry, store: Depths, tenants: Sequence[str], meter: StoreMeter, clock: Clock
    ) -> None:
        """`tenants` have lines of their own."""
        self._store = store
        self._tenants = tenants
        self._meter = meter
        self._clock = clock
        self._asked_s: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._runs = Gauge(
            "sendoff_queue_runs",
            "Open runs by tenant and state: queued (waits for a slot), scheduled (its time has not come), held (waits "
            "for answers, is paused, or at a cap), running, behind (waits for the run in front of it). Of all "
            "replicas: take the greatest, not the sum.",
            ("tenant", "state"),
            registry=registry,
        )
        self._oldest = Gauge(
            "sendoff_queue_oldest_seconds",
            "How long the oldest run that waits for a slot has waited, by tenant. Of all replicas: take the greatest.",
            ("tenant",),
            registry=registry,
        )

    async def refresh(self) -> None:
        """Ask, unless that was done a moment ago; returns within a few seconds whatever the store does."""
        asking = self._asking
        if asking is None and not self._is_fresh():
            asking = self._asking = asyncio.create_task(self._ask(), name="count what waits")
        if asking is not None and not await self._clock.wait(asking, PATIENCE_S):
            self._forget()

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    def _is_fresh(self) -> bool:
        return self._asked_s is not None and self._clock.monotonic() - self._asked_s < FRESH_S

    async def _ask(self) -> None:
        try:
            depths = await self._store.queue_depths(self._tenants)
        except StoreFailed as failure:
            log.warning("the store can not count what waits", error=str(failure))
            self._meter.failed("count_queue")
            self._forget()
        else:
            self._tell(depths)
            self._asked_s = self._clock.monotonic()
        finally:
            self._asking = None

    def _tell(self, depths: Sequence[QueueDepth]) -> None:
        by_tenant = {depth.tenant: depth for depth in depths}
        for tenant in (*self._tenants, ""):
            depth = by_tenant.get(tenant) or QueueDepth(tenant, 0, 0, 0, 0, 0, 0)
            told = tenant or OTHER
            for state in ("queued", "scheduled", "held", "running", "behind"):
                self._runs.labels(told, state).set(getattr(depth, state))
            self._oldest.labels(told).set(depth.oldest_ns / SECOND_NS)

    def _forget(self) -> None:
        self._runs.clear()
        self._oldest.clear()
        self._asked_s = None
