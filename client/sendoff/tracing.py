"""The trace of the calling program, for the server to go on with: where OpenTelemetry is installed and used."""

from __future__ import annotations

from collections.abc import Callable

Metadata = tuple[tuple[str, str], ...]


def trace_metadata() -> Metadata:
    """`traceparent` and `tracestate` of the current span; nothing without one. Baggage is not passed on."""
    return () if _inject is None else _inject()


def _injector() -> Callable[[], Metadata] | None:
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return None
    propagator = TraceContextTextMapPropagator()

    def inject() -> Metadata:
        headers: dict[str, str] = {}
        propagator.inject(headers)
        return tuple(headers.items())

    return inject


_inject = _injector()
