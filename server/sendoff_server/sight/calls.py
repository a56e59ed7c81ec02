"""Figures of calls, the same for both doors."""

from __future__ import annotations

from functools import cached_property

from prometheus_client import CollectorRegistry, Counter, Histogram

from sendoff_server.meter import CallMeter

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class CallFigures:
    """The families; `at` gives those of one door."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.started = Counter(
            "sendoff_calls_started",
            "Calls that began, by door (grpc, rest) and by RPC or route.",
            ("door", "call"),
            registry=registry,
        )
        self.ended = Counter(
            "sendoff_calls",
            "Calls that ended, by door, RPC or route, and code: a gRPC status' name or an HTTP status.",
            ("door", "call", "code"),
            registry=registry,
        )
        self.seconds = Histogram(
            "sendoff_call_seconds",
            "How long calls took; streams over gRPC until their end, answers over REST until they begin to be sent.",
            ("door", "call"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "sendoff_refusals",
            "Calls that ended with an error of the service, by door and by the error's reason.",
            ("door", "reason"),
            registry=registry,
        )

    @cached_property
    def grpc(self) -> CallMeter:
        return DoorFigures(self, "grpc")

    @cached_property
    def rest(self) -> CallMeter:
        return DoorFigures(self, "rest")


class DoorFigures(CallMeter):
    """Of one door. The lines of a family are looked up once for each name: that costs more than counting."""

    def __init__(self, figures: CallFigures, door: str) -> None:
        self._figures = figures
        self._door = door
        self._started: dict[str, Counter] = {}
        self._ended: dict[tuple[str, str], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def began(self, name: str) -> None:
        line = self._started.get(name)
        if line is None:
            line = self._started[name] = self._figures.started.labels(self._door, name)
            self._seconds[name] = self._figures.seconds.labels(self._door, name)
        line.inc()

    def ended(self, name: str, code: str, seconds: float) -> None:
        line = self._ended.get((name, code))
        if line is None:
            line = self._ended[name, code] = self._figures.ended.labels(self._door, name, code)
        line.inc()
        self._seconds[name].observe(seconds)

    def refused(self, reason: str) -> None:
        self._figures.refused.labels(self._door, reason).inc()
