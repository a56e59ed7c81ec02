"""Spans that were kept, and how they hang together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sendoff_server.tracing.otel import OtelTracer, provider_of

PATIENCE_S = 30.0
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CALLER_TRACE, CALLER_SPAN = CALLER.split("-")[1:3]


@dataclass(frozen=True)
class Kept:
    """One span."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    attributes: Mapping[str, Any]
    links: frozenset[str]
    """Ids of spans."""
    events: tuple[str, ...]
    failed: bool
    service: str


class _Heard(InMemorySpanExporter):
    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self.more.set()
        return result


class Memory:
    """A tracer whose spans are kept in memory."""

    def __init__(self, *, tells_content: bool = False) -> None:
        self._exporter = _Heard()
        provider, ids = provider_of({"service.name": "test"})
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = OtelTracer(provider, ids, tells_content=tells_content)

    @property
    def spans(self) -> list[Kept]:
        return [_kept(span) for span in self._exporter.get_finished_spans()]

    async def ended(self, name: str, count: int = 1) -> Kept:
        """The newest span of that name, once so many have ended: a call's may do so a little after its caller knows."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [span for span in self.spans if span.name == name]) < count:
                self._exporter.more.clear()
                await self._exporter.more.wait()
        return found[-1]


def _kept(span: ReadableSpan) -> Kept:
    context = span.get_span_context()
    assert context is not None
    return Kept(
        name=span.name,
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else "",
        kind=span.kind.name,
        attributes=dict(span.attributes or {}),
        links=frozenset(f"{link.context.span_id:016x}" for link in span.links),
        events=tuple(event.name for event in span.events),
        failed=not span.status.is_ok,
        service=str(span.resource.attributes["service.name"]),
    )


def of_trace(spans: Iterable[Kept], trace_id: str) -> list[Kept]:
    return [span for span in spans if span.trace_id == trace_id]


def named(spans: Iterable[Kept], name: str) -> Kept:
    """The only one of that name."""
    found = [span for span in spans if span.name == name]
    assert len(found) == 1, (name, [span.name for span in spans])
    return found[0]


def path(spans: Iterable[Kept], span: Kept) -> list[str]:
    """The names of the spans above it, the nearest first, and the id that the uppermost one names as its parent."""
    by_id = {each.span_id: each for each in spans}
    names = []
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    return [*names, span.parent_id]
