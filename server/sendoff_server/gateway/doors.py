"""The routes of the REST door and what each request goes through: the table of errors, a trace id, one log line."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sendoff import v1
from sendoff_server.agents.conversation_service import ConversationService
from sendoff_server.agents.service import AgentService
from sendoff_server.gateway.refusals import refusal
from sendoff_server.models.port import Catalogue
from sendoff_server.runs.service import RunService
from sendoff_server.store.port import DEFAULT_TENANT

TENANT = DEFAULT_TENANT
"""Whose request it is, until there are credentials."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases behind the door."""

    runs: RunService
    agents: AgentService
    conversations: ConversationService
    models: Catalogue
    info: v1.GetServerInfoResponse
    max_body_bytes: int


Endpoint = Callable[[Services, Request], Awaitable[Response]]
Table = Sequence[tuple[str, str, Endpoint]]
"""(method, path, endpoint); a path that ends in a slash is a collection's root."""


def routes(services: Services, *tables: Table) -> list[Route]:
    """Starlette's routes. Both forms of a path are answered, with a slash at the end and without."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for table in tables:
        for method, path, endpoint in table:
            by_path.setdefault(path.rstrip("/"), {})[method] = endpoint
    made: list[Route] = []
    for path, endpoints in by_path.items():
        handle = _handler(services, endpoints)
        made += [Route(form, handle, methods=list(endpoints)) for form in (path, f"{path}/")]
    # Literal paths first: /v1/runs/active is no run.
    return sorted(made, key=lambda route: len(re.findall(r"{", route.path)))


def _handler(services: Services, endpoints: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        started = perf_counter()
        trace_id = uuid.uuid4().hex
        endpoint = endpoints.get(request.method) or endpoints["GET"]
        try:
            response = await endpoint(services, request)
        except Exception as error:
            response = refusal(error, trace_id)
        _log.debug(
            "request",
            method=request.method,
            path=request.url.path,
            status=response.status_code,
            milliseconds=round((perf_counter() - started) * 1_000, 2),
        )
        return response

    return handle
