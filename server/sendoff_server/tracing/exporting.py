"""Where spans go: set by OpenTelemetry's own variables, as for any program.

Traces are kept if OTEL_TRACES_EXPORTER is `otlp`, or an endpoint is set and the exporter is not `none`;
OTEL_SDK_DISABLED keeps all off. Sampling, batches and headers are the SDK's variables and defaults. Spans wait in a
bounded queue, which a thread of the SDK sends off; a collector that is away costs spans and nothing else.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from sendoff_server.tracer import NO_TRACER, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

FLUSH_S = 3.0
"""How long a server that stops waits for a collector that is slow."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}

log = structlog.get_logger(__name__)


class BadTracing(Exception):
    """Traces are asked for in a way that there is not; the message is for the operator."""


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Raises BadTracing."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter not in ("", "otlp", "none"):
        raise BadTracing(f"OTEL_TRACES_EXPORTER: expected otlp or none; it is {exporter!r}")
    return exporter == "otlp" or (not exporter and any(environment.get(name) for name in _ENDPOINTS))


@asynccontextmanager
async def tracer_of(environment: Mapping[str, str], *, tells_content: bool) -> AsyncIterator[Tracer]:
    """What keeps traces inside the block, if that is wanted; what is left of them is sent when it is left, for a moment
    at most. Raises BadTracing."""
    if not is_wanted(environment):
        yield NO_TRACER
        return
    made = await asyncio.to_thread(_exporter, _protocol(environment))
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from sendoff_server.tracing.otel import OtelTracer, provider_of

    provider, ids = provider_of(_resource(environment))
    provider.add_span_processor(BatchSpanProcessor(made))
    log.info("traces are kept", protocol=_protocol(environment), content=tells_content)
    try:
        yield OtelTracer(provider, ids, tells_content=tells_content)
    finally:
        await _shut_down(provider)


def _protocol(environment: Mapping[str, str]) -> str:
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "grpc")
    if protocol not in _EXPORTERS:
        raise BadTracing(f"{_PROTOCOLS[1]}: expected {' or '.join(_EXPORTERS)}; it is {protocol!r}")
    return protocol


def _exporter(protocol: str) -> SpanExporter:
    try:
        exporter: SpanExporter = importlib.import_module(_EXPORTERS[protocol]).OTLPSpanExporter()
    except ImportError as error:
        told = "install sendoff[otel] for traces, or set OTEL_SDK_DISABLED=true to do without"
        raise BadTracing(f"OTEL_TRACES_EXPORTER: {told} ({error.name} is missing)") from None
    return exporter


def _resource(environment: Mapping[str, str]) -> dict[str, str]:
    """What the server tells of itself beside what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES tell."""
    told = {"service.version": version("sendoff"), "service.instance.id": str(uuid.uuid4())}
    named = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in named:
        told["service.name"] = "sendoff-server"
    return {key: value for key, value in told.items() if f"{key}=" not in named}


async def _shut_down(provider: TracerProvider) -> None:
    """In a thread that nobody has to wait for: a collector that hangs must not keep the process."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def shut_down() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop is closed by now
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="send what is left of traces", daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH_S):
            await done.wait()
    except TimeoutError:
        log.warning("the collector of traces does not answer; the last of them are lost", waited_s=FLUSH_S)
