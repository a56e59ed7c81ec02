"""Figures of steps: calls of models, what they took and what they used."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from sendoff import v1
from sendoff_server.clock import SECOND_NS
from sendoff_server.sight.labels import Few
from sendoff_server.sight.names import name_of

MOST_MODELS = 100
"""That have lines of their own; those that are seen later share one."""
MICRO = 1_000_000
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_KINDS = {
    "input": "prompt_tokens",
    "output": "completion_tokens",
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}
"""Of tokens, each with its field of `Usage`."""


class StepFigures:
    """By model, told as provider/name."""

    def __init__(self, registry: CollectorRegistry, model: Few) -> None:
        self._model = model
        self._calls = Counter(
            "sendoff_model_calls", "Calls of models that began, repeated ones included.", ("model",), registry=registry
        )
        self._ended = Counter(
            "sendoff_steps",
            "Steps that ended, by model and status (success, failed, cancelled).",
            ("model", "status"),
            registry=registry,
        )
        self._model_seconds = Histogram(
            "sendoff_model_seconds",
            "How long the model took in a step that it answered, without pauses between repeats.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._step_seconds = Histogram(
            "sendoff_step_seconds",
            "How long steps took, tools and pauses included.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "sendoff_tokens",
            "Tokens of steps, by model, kind (input, output; among them cached_input, cache_write, reasoning), tenant.",
            ("model", "kind", "tenant"),
            registry=registry,
        )
        self._cost = Counter(
            "sendoff_cost_usd",
            "Cost of steps in US dollars, of models whose price is known, by model and tenant.",
            ("model", "tenant"),
            registry=registry,
        )

    def called(self, started: v1.StepStarted) -> None:
        self._calls.labels(self._model(started.model_handle)).inc()

    def ended(self, step: v1.Step, tenant: str) -> None:
        model = self._model(step.model_handle)
        self._ended.labels(model, name_of(v1.StepStatus, step.status)).inc()
        took_ns = step.end_time.ToNanoseconds() - step.start_time.ToNanoseconds()
        self._step_seconds.labels(model).observe(max(0, took_ns) / SECOND_NS)
        if step.HasField("model_duration_ns"):
            self._model_seconds.labels(model).observe(step.model_duration_ns / SECOND_NS)
        for kind, field in _KINDS.items():
            if tokens := getattr(step.usage, field):
                self._tokens.labels(model, kind, tenant).inc(tokens)
        if step.usage.cost_microusd:
            self._cost.labels(model, tenant).inc(step.usage.cost_microusd / MICRO)
