"""Where spans stand: what callers send, what runs carry, and the ids that follow from those of runs and steps."""

from __future__ import annotations

import hashlib

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sendoff import v1
from sendoff_server.tracer import Headers

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_MOST_STATE_CHARS = 512
_NOWHERE = Context()
_propagator = TraceContextTextMapPropagator()


class Ids(RandomIdGenerator):
    """Random ids, but for a span whose id is given."""

    def __init__(self) -> None:
        self._given: int | None = None

    def give(self, span_id: int) -> None:
        """The next span has this id."""
        self._given = span_id

    def generate_span_id(self) -> int:
        given, self._given = self._given, None
        return super().generate_span_id() if given is None else given


def run_span_id(run_id: str) -> int:
    """The same in every process."""
    return _derived(b"run\0" + run_id.encode())


def step_span_id(step_id: str) -> int:
    return _derived(b"step\0" + step_id.encode())


def _derived(words: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest()) or 1


def extracted(headers: Headers) -> Context:
    """Where the caller's span stands. Nowhere if it sent none, or two, or one that cannot be understood."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in (TRACEPARENT, TRACESTATE):
            if name in found:
                return _NOWHERE
            found[name] = value if isinstance(value, str) else ""
    if TRACEPARENT not in found:
        return _NOWHERE
    if len(found.get(TRACESTATE, "")) > _MOST_STATE_CHARS:
        del found[TRACESTATE]
    return _propagator.extract(found, _NOWHERE)


def injected() -> dict[str, str]:
    """The headers that tell of the current span; none if there is none."""
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return headers


def told(span: SpanContext) -> v1.TraceContext:
    return v1.TraceContext(
        trace_id=f"{span.trace_id:032x}",
        span_id=f"{span.span_id:016x}",
        flags=span.trace_flags,
        state=span.trace_state.to_header(),
    )


def span_of(trace: v1.TraceContext, span_id: int | None = None) -> SpanContext | None:
    """The span that a run carries, or another one of the same trace. None: it carries none."""
    if not trace.trace_id:
        return None
    state = TraceState.from_header([trace.state]) if trace.state else TraceState()
    own = int(trace.span_id, 16) if span_id is None else span_id
    return SpanContext(
        int(trace.trace_id, 16), own, is_remote=True, trace_flags=TraceFlags(trace.flags), trace_state=state
    )


def below(span: SpanContext | None) -> Context:
    """Where spans go below that one."""
    return set_span_in_context(NonRecordingSpan(span), _NOWHERE) if span is not None else _NOWHERE
