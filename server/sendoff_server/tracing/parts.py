"""Puts spans around models, tools and callbacks; they are what they were where no traces are kept."""

from __future__ import annotations

from collections.abc import Mapping

from sendoff import v1
from sendoff_server.models.port import Catalogue
from sendoff_server.outgoing.port import Sender
from sendoff_server.tools.port import Tools
from sendoff_server.tracer import Tracer

Kinds = Mapping[v1.ToolType.ValueType, Tools]


def traced_models(models: Catalogue, tracer: Tracer) -> Catalogue:
    if not tracer.is_on:
        return models
    from sendoff_server.tracing.models import TracedCatalogue
    from sendoff_server.tracing.otel import OtelTracer

    assert isinstance(tracer, OtelTracer)
    return TracedCatalogue(models, tracer)


def traced_tools(kinds: Kinds, tracer: Tracer) -> Kinds:
    if not tracer.is_on:
        return kinds
    from sendoff_server.tracing.otel import OtelTracer
    from sendoff_server.tracing.tools import TracedTools

    assert isinstance(tracer, OtelTracer)
    return {kind: TracedTools(tools, tracer) for kind, tools in kinds.items()}


def traced_sender(sender: Sender, tracer: Tracer) -> Sender:
    if not tracer.is_on:
        return sender
    from sendoff_server.tracing.otel import OtelTracer
    from sendoff_server.tracing.sender import TracedSender

    assert isinstance(tracer, OtelTracer)
    return TracedSender(sender, tracer)
