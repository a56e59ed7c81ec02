"""A collector of traces: what OTLP exporters send to over gRPC, kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp

from tests.tracing.kept import Kept

PATIENCE_S = 30.0


@dataclass
class Collector(TraceServiceServicer):
    """All spans that it was sent."""

    address: str = ""
    spans: list[Kept] = field(default_factory=list)
    text: str = ""
    """All that it was sent, to be searched."""
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def Export(self, request: Any, context: Any) -> Any:
        async with self._more:
            self.spans += _spans(request.resource_spans)
            self.text += str(request)
            self._more.notify_all()
        return service.ExportTraceServiceResponse()

    async def has(self, is_enough: Callable[[list[Kept]], bool]) -> list[Kept]:
        """All spans, once there are enough."""
        async with asyncio.timeout(PATIENCE_S), self._more:
            await self._more.wait_for(lambda: is_enough(self.spans))
        return list(self.spans)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    server = grpc.aio.server()
    collector = Collector()
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated
    collector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)


def _spans(told: Iterable[otlp.ResourceSpans]) -> list[Kept]:
    return [
        _kept(span, str(_values(group.resource.attributes)["service.name"]))
        for group in told
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _kept(span: otlp.Span, service_name: str) -> Kept:
    return Kept(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=otlp.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        attributes=_values(span.attributes),
        links=frozenset(link.span_id.hex() for link in span.links),
        events=tuple(event.name for event in span.events),
        failed=span.status.code == otlp.Status.STATUS_CODE_ERROR,
        service=service_name,
    )


def _values(attributes: Iterable[common.KeyValue]) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in attributes}
