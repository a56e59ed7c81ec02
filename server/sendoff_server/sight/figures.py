"""All figures of one server, in a registry of their own."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sendoff_server.meter import Meters
from sendoff_server.sight.calls import CallFigures
from sendoff_server.sight.store import StoreFigures

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Figures:
    """Counts from the moment that it is made."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        calls = CallFigures(self.registry)
        self.meters = Meters(grpc=calls.grpc, rest=calls.rest, store=StoreFigures(self.registry))

    async def exposition(self) -> bytes:
        """All of them in Prometheus' text format. Made in a thread, because there may be thousands of lines."""
        return await asyncio.to_thread(generate_latest, self.registry)
