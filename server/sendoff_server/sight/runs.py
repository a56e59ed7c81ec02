"""Figures of runs, as the store has written them: each change is counted once, by the replica that wrote it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from sendoff import v1
from sendoff_server.clock import SECOND_NS
from sendoff_server.lifecycle import is_terminal, starts
from sendoff_server.sight.labels import Named
from sendoff_server.sight.names import name_of
from sendoff_server.sight.steps import StepFigures
from sendoff_server.store.items import Accept, Item, Outdated, Placed, Progress, Recorded, Repeated, Result

_RUN_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400)
_OUTPUT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class RunFigures:
    """Of accepts, starts and ends, and of what happened between."""

    def __init__(self, registry: CollectorRegistry, steps: StepFigures, tenant: Named) -> None:
        """`tenant` says as whom a tenant is told."""
        self._steps = steps
        self._tenant = tenant
        self._accepted = Counter(
            "sendoff_runs_accepted", "Runs that were accepted, by tenant.", ("tenant",), registry=registry
        )
        self._repeats = Counter(
            "sendoff_accept_repeats",
            "Requests that were known to be repeats of an accepted one, and made no run.",
            registry=registry,
        )
        self._started = Counter("sendoff_runs_started", "Runs that were started for the first time.", registry=registry)
        self._recovered = Counter(
            "sendoff_runs_recovered", "Runs that were taken up again after a crash or a drain.", registry=registry
        )
        self._ended = Counter(
            "sendoff_runs_ended",
            "Runs that ended, by status, stop reason and tenant.",
            ("status", "stop_reason", "tenant"),
            registry=registry,
        )
        self._seconds = Histogram(
            "sendoff_run_seconds",
            "From accept to end, by status.",
            ("status",),
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self._first_output = Histogram(
            "sendoff_run_first_output_seconds",
            "From accept to the first output of a model.",
            buckets=_OUTPUT_SECONDS,
            registry=registry,
        )
        self._actions = Counter(
            "sendoff_actions_opened",
            "What runs have stopped for, by kind of action.",
            ("kind",),
            registry=registry,
        )
        self._resolved = Counter(
            "sendoff_actions_resolved",
            "Actions that were answered, or settled because nobody did in time.",
            registry=registry,
        )
        self._outdated = Counter(
            "sendoff_store_outdated",
            "Steps of runs that were not written, because the run had moved on.",
            registry=registry,
        )

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable."""
        match item, result:
            case Accept(), Placed():
                self._accepted.labels(self._tenant(item.tenant)).inc()
            case Accept(), Repeated():
                self._repeats.inc()
            case Progress(), Recorded():
                self._progress(item)
            case Progress(), Outdated():
                self._outdated.inc()

    def _progress(self, item: Progress) -> None:
        if starts(item.run, item.events):
            self._started.inc()
        for event in item.events:
            match event.WhichOneof("event"):
                case "state_changed" if event.state_changed.phase == v1.RUN_PHASE_RECOVERING:
                    self._recovered.inc()
                case "step_started":
                    self._steps.called(event.step_started)
                case "action_required":
                    self._actions.labels(name_of(v1.ActionKind, event.action_required.kind)).inc()
                case "action_resolved":
                    self._resolved.inc()
                case "step_finished" if item.step is not None:
                    self._steps.ended(item.step, self._tenant(item.tenant))
        if is_terminal(item.run):
            self._end(item.run, self._tenant(item.tenant))

    def _end(self, run: v1.Run, tenant: str) -> None:
        status = name_of(v1.RunStatus, run.status)
        self._ended.labels(status, name_of(v1.StopReason, run.stop_reason), tenant).inc()
        self._seconds.labels(status).observe(run.total_duration_ns / SECOND_NS)
        if run.HasField("ttft_ns"):
            self._first_output.observe(run.ttft_ns / SECOND_NS)
