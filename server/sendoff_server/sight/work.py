"""Figures of runs at work in this process, and of what they call."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from sendoff_server.meter import WorkMeter
from sendoff_server.sight.labels import Few, Named

MOST_REASONS = 50
_WAIT_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600)
_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOOL_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class WorkFigures(WorkMeter):
    """Of claims and leases, models and tools."""

    def __init__(self, registry: CollectorRegistry, model: Few, tenant: Named) -> None:
        """`tenant` says as whom a tenant is told."""
        self._model = model
        self._tenant = tenant
        self._reason = Few(MOST_REASONS)
        self._claims = Counter(
            "sendoff_claims", "Runs that waited for a slot and were claimed by this process.", registry=registry
        )
        self._waits = Histogram(
            "sendoff_run_wait_seconds",
            "From accept, or from the time that a run is to start at, to its start, by tenant.",
            ("tenant",),
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self._lost = Counter(
            "sendoff_leases_lost",
            "Runs at work in this process that turned out to be somebody else's, or ended.",
            registry=registry,
        )
        self._freed = Counter(
            "sendoff_replicas_reaped",
            "Other replicas that this one found dead, whose runs were freed.",
            registry=registry,
        )
        self._first_token = Histogram(
            "sendoff_model_first_token_seconds",
            "From the call of a model to its first token.",
            ("model",),
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        self._repeats = Counter(
            "sendoff_model_repeats",
            "Calls of models that were made again, by model and by the reason that the one before failed for.",
            ("model", "reason"),
            registry=registry,
        )
        self._tools = Counter(
            "sendoff_tool_calls",
            "Calls of tools that ended, by kind of tool (built_in, mcp, python) and outcome (success, error).",
            ("kind", "outcome"),
            registry=registry,
        )
        self._tool_seconds = Histogram(
            "sendoff_tool_seconds",
            "How long calls of tools took, by kind.",
            ("kind",),
            buckets=_TOOL_SECONDS,
            registry=registry,
        )

    def claimed(self, runs: int) -> None:
        self._claims.inc(runs)

    def began(self, tenant: str, waited_s: float) -> None:
        self._waits.labels(self._tenant(tenant)).observe(waited_s)

    def lost(self) -> None:
        self._lost.inc()

    def freed(self, replicas: int) -> None:
        self._freed.inc(replicas)

    def first_token(self, model: str, seconds: float) -> None:
        self._first_token.labels(self._model(model)).observe(seconds)

    def model_repeated(self, model: str, reason: str) -> None:
        self._repeats.labels(self._model(model), self._reason(reason)).inc()

    def tool_called(self, kind: str, outcome: str, seconds: float) -> None:
        self._tools.labels(kind, outcome).inc()
        self._tool_seconds.labels(kind).observe(seconds)
