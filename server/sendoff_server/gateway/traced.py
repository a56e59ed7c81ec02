"""Requests as spans."""

from __future__ import annotations

from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from sendoff_server.tracer import Tracer

PROBES = frozenset({"/v1/health", "/v1/ready", "/livez", "/readyz"})
"""Nobody wants to know of each time that a balancer asks."""


class Traced(BaseRoute):
    """Routes as another one does, and answers each request inside of a span, until all of its answer is sent."""

    def __init__(self, route: BaseRoute, tracer: Tracer) -> None:
        self._route = route
        self._tracer = tracer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return self._route.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        template: str = scope["sendoff.route"].path
        if template in PROBES:
            await self._route.handle(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        with self._tracer.request(scope["method"], template, headers) as outcome:

            async def heard(message: Message) -> None:
                if message["type"] == "http.response.start":
                    outcome(str(message["status"]))
                await send(message)

            await self._route.handle(scope, receive, heard)
