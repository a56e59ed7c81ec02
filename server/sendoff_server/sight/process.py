"""Figures of the process: what it holds open, whether it serves, and how late its loop is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector

PERIOD_S = 0.25
_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

Facts = Mapping[str, Callable[[], float]]
"""Where gauges are read, by their names, from any thread."""

FACTS = {
    "sendoff_ready": "1: the process serves. 0: it drains, or its store fails.",
    "sendoff_runs_under_way": "Runs that the process executes now.",
    "sendoff_slots": "Most runs that it executes at once.",
    "sendoff_store_waiting_items": "Items that wait in the process to be written.",
    "sendoff_deliveries_open": "Callbacks to URLs that requests name that are not delivered. Of all replicas: take the "
    "greatest, not the sum.",
    "sendoff_deliveries_under_way": "Attempts at callbacks that the process makes now.",
    "sendoff_http_connections": "Connections to the REST door.",
    "sendoff_memory_pressure": "0: there is memory enough. 1: watchers are sent away. 2: new runs are refused as well.",
    "sendoff_memory_limit_bytes": "How much memory the process may have before it does so; 0: nobody knows.",
}


class ProcessFigures:
    """Memory, time and files come from the library, under the names that all programs have for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._facts = {name: Gauge(name, meaning, registry=registry) for name, meaning in FACTS.items()}
        ProcessCollector(registry=registry)
        build = Gauge("sendoff_build_info", "1, with the version of the program.", ("version",), registry=registry)
        build.labels(version("sendoff")).set(1)
        self._lag = Histogram(
            "sendoff_loop_lag_seconds",
            "How late the event loop is, looked at four times a second: whoever calls waits as long.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )

    def read(self, facts: Facts) -> None:
        """Tell these from now on; there is one for each of FACTS."""
        for name, gauge in self._facts.items():
            gauge.set_function(facts[name])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at the loop inside the block."""
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_forever(), name="measure the loop's lag")
            try:
                yield
            finally:
                looking.cancel()

    async def _look_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self._lag.observe(max(0.0, loop.time() - due_s))
