"""All figures of one server, in a registry of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sendoff_server.clock import Clock
from sendoff_server.meter import Meters
from sendoff_server.sight.acts import ActFigures
from sendoff_server.sight.calls import CallFigures
from sendoff_server.sight.deliveries import DeliveryFigures
from sendoff_server.sight.labels import Few, Named
from sendoff_server.sight.process import Facts, ProcessFigures
from sendoff_server.sight.queues import Depths, QueueFigures
from sendoff_server.sight.runs import RunFigures
from sendoff_server.sight.steps import MOST_MODELS, StepFigures
from sendoff_server.sight.store import StoreFigures
from sendoff_server.sight.streams import StreamFigures
from sendoff_server.sight.work import WorkFigures
from sendoff_server.store.items import Item, Result

CONTENT_TYPE = CONTENT_TYPE_LATEST

# They would double the lines, and tell nothing that resets do not.
disable_created_metrics()  # type: ignore[no-untyped-call]  # as the library has it


class Figures:
    """Counts from the moment that it is made."""

    def __init__(self, store: Depths, tenants: Sequence[str], clock: Clock) -> None:
        """`tenants` have lines of their own, all others share theirs."""
        self.registry = registry = CollectorRegistry(auto_describe=True)
        model, tenant = Few(MOST_MODELS), Named(frozenset(tenants))
        calls = CallFigures(registry)
        self.meters = Meters(
            grpc=calls.grpc,
            rest=calls.rest,
            store=StoreFigures(registry),
            work=WorkFigures(registry, model, tenant),
            streams=StreamFigures(registry),
        )
        self._runs = RunFigures(registry, StepFigures(registry, model), tenant)
        self._deliveries = DeliveryFigures(registry)
        self._acts = ActFigures(registry)
        self._queues = QueueFigures(registry, store, tenants, self.meters.store, clock)
        self._process = ProcessFigures(registry)

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable."""
        self._runs.on_result(item, result)
        self._deliveries.on_result(item, result)
        self._acts.on_result(item, result)

    @asynccontextmanager
    async def running(self, facts: Facts) -> AsyncIterator[None]:
        """Inside the block these are told as well, and the loop is looked at."""
        self._process.read(facts)
        async with self._process.running():
            try:
                yield
            finally:
                self._queues.close()

    async def exposition(self) -> bytes:
        """All of them in Prometheus' text format. Made in a thread, because there may be thousands of lines."""
        await self._queues.refresh()
        return await asyncio.to_thread(generate_latest, self.registry)
