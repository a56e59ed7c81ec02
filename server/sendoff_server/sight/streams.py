"""Figures of streams of runs' logs."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sendoff_server.meter import StreamMeter

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class StreamFigures(StreamMeter):
    """Of those who watch."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("sendoff_streams_open", "Streams of runs' logs that are open now.", registry=registry)
        self._ended = Counter(
            "sendoff_streams",
            "Streams that ended, by reason: run_finished, server_draining, max_stream_age, slow_consumer, left (the "
            "caller went, or the run is gone).",
            ("reason",),
            registry=registry,
        )
        self._lag = Histogram(
            "sendoff_stream_lag_seconds",
            "From an event to when a watcher who was there already had taken it.",
            buckets=_SECONDS,
            registry=registry,
        )

    def opened(self) -> None:
        self._open.inc()

    def closed(self, reason: str) -> None:
        self._open.dec()
        self._ended.labels(reason).inc()

    def told(self, lag_s: float) -> None:
        self._lag.observe(lag_s)
