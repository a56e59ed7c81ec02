"""The routes of the REST door and what each request goes through: the table of errors, a trace id, one log line."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sendoff_server.gateway.refusals import refusal
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.use_cases import UseCases

TENANT = DEFAULT_TENANT
"""Whose request it is, until there are credentials."""

_log = structlog.get_logger(__name__)


Endpoint = Callable[[UseCases, Request], Awaitable[Response]]
Table = Sequence[tuple[str, str, Endpoint]]
"""(method, path, endpoint); a path that ends in a slash is a collection's root."""


def routes(use_cases: UseCases, *tables: Table) -> list[Route]:
    """Starlette's routes. Both forms of a path are answered, with a slash at the end and without."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for table in tables:
        for method, path, endpoint in table:
            by_path.setdefault(path.rstrip("/"), {})[method] = endpoint
    made: list[Route] = []
    for path, endpoints in by_path.items():
        handle = _handler(use_cases, endpoints)
        made += [Route(form, handle, methods=list(endpoints)) for form in (path, f"{path}/")]
    # Literal paths first: /v1/runs/active is no run, and neither is /v1/runs/{run_id}:wait.
    return sorted(made, key=lambda route: (route.path.count("{"), ":" not in route.path))


def _handler(use_cases: UseCases, endpoints: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        started = perf_counter()
        trace_id = uuid.uuid4().hex
        endpoint = endpoints.get(request.method) or endpoints["GET"]
        try:
            response = await endpoint(use_cases, request)
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
