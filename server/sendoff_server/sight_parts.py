"""The parts that tell of the server, put together for `app`. What is not wanted is not imported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from sendoff_server.admission.memory_guard import MemoryGuard
from sendoff_server.api.server import GrpcServer
from sendoff_server.assembly import Parts
from sendoff_server.clock import Clock
from sendoff_server.gateway.metrics_door import MetricsDoor
from sendoff_server.gateway.server import HttpServer
from sendoff_server.meter import Meters
from sendoff_server.settings import Settings
from sendoff_server.sight import lines
from sendoff_server.store.items import Item, Result
from sendoff_server.store.port import Store

if TYPE_CHECKING:
    from sendoff_server.sight.figures import Figures

log = structlog.get_logger(__name__)


class Sight:
    """What is told of one server."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._address = settings.metrics_address
        self._max_running = settings.max_running
        self._figures = _figures(settings, store, clock) if self._address != "off" else None

    @property
    def meters(self) -> Meters:
        return Meters() if self._figures is None else self._figures.meters

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable. Who looks on must not be in the way of what follows."""
        try:
            lines.write(item, result)
            if self._figures is not None:
                self._figures.on_result(item, result)
        except Exception:
            log.exception("what was written can not be told")

    @asynccontextmanager
    async def told(
        self, parts: Parts, grpc: GrpcServer, http: HttpServer | None, memory: MemoryGuard
    ) -> AsyncIterator[MetricsDoor | None]:
        """Inside the block whoever asks is told; None: there is nowhere to ask."""
        if self._figures is None:
            yield None
            return
        from sendoff_server.sight.figures import CONTENT_TYPE

        facts = {
            "sendoff_ready": lambda: float(grpc.is_serving),
            "sendoff_runs_under_way": lambda: parts.scheduler.under_way,
            "sendoff_slots": lambda: self._max_running,
            "sendoff_store_waiting_items": lambda: parts.commits.waiting,
            "sendoff_deliveries_open": lambda: parts.callbacks.open,
            "sendoff_deliveries_under_way": lambda: parts.callbacks.under_way,
            "sendoff_http_connections": lambda: len(http.connections) if http is not None else 0,
            "sendoff_memory_pressure": lambda: memory.pressure,
            "sendoff_memory_limit_bytes": lambda: memory.limit_bytes or 0,
        }
        door = MetricsDoor(self._address, self._figures.exposition, CONTENT_TYPE, lambda: grpc.is_serving)
        async with door, self._figures.running(facts):
            yield door


def _figures(settings: Settings, store: Store, clock: Clock) -> Figures:
    from sendoff_server.sight.figures import Figures

    return Figures(store, settings.metrics_tenants_named, clock)
