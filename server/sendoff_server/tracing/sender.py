"""Callbacks, as spans: each attempt is one, and the receiver is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from sendoff_server.outgoing.port import Answer, NotAnswered, Sender
from sendoff_server.tracing import names
from sendoff_server.tracing.contexts import injected
from sendoff_server.tracing.otel import OtelTracer, fail


class TracedSender(Sender):
    """Sends by another one."""

    def __init__(self, sender: Sender, tracer: OtelTracer) -> None:
        self._sender = sender
        self._tracer = tracer

    async def send(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        with self._tracer.below_current("POST", SpanKind.CLIENT, _of_url(url)) as span:
            try:
                answer = await self._sender.send(url, {**headers, **injected()}, body)
            except NotAnswered:
                fail(span, "not_answered")
                raise
            span.set_attribute(names.HTTP_STATUS_CODE, answer.status)
            if answer.status >= 400:
                span.set_attribute(names.ERROR_TYPE, str(answer.status))
                span.set_status(StatusCode.ERROR)
            return answer

    async def close(self) -> None:
        await self._sender.close()


def _of_url(url: str) -> dict[str, AttributeValue]:
    """Of the URL only where it leads to: the rest may hold a secret."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return {
        names.HTTP_METHOD: "POST",
        names.URL_SCHEME: parts.scheme,
        names.SERVER_ADDRESS: parts.hostname or "",
        names.SERVER_PORT: port,
    }
