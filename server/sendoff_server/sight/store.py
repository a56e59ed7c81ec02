"""Figures of the store."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from sendoff_server.meter import StoreMeter

_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class StoreFigures(StoreMeter):
    """Of the writing of batches, and of what fails."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._items = Histogram(
            "sendoff_store_batch_items", "Items of each batch that was written.", buckets=_ITEMS, registry=registry
        )
        self._seconds = Histogram(
            "sendoff_store_commit_seconds",
            "How long writing a batch took, from the begin of its transaction to the end of its commit.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._failed = Counter(
            "sendoff_store_failures",
            "How often the store failed, by what it was asked to do.",
            ("doing",),
            registry=registry,
        )

    def written(self, items: int, seconds: float) -> None:
        self._items.observe(items)
        self._seconds.observe(seconds)

    def failed(self, doing: str) -> None:
        self._failed.labels(doing).inc()
