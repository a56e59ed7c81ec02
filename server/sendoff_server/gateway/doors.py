"""The routes of the REST door and what each request goes through: the table of errors, a trace id, one log line."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Any

import structlog
from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from sendoff_server.access.doorway import Doorway
from sendoff_server.access.gate import Credentials, Gate
from sendoff_server.access.principal import Permission, Principal, act_for
from sendoff_server.access.routes import ROUTES
from sendoff_server.audit.methods import is_act
from sendoff_server.errors import PermissionDenied, Unauthenticated
from sendoff_server.gateway.acts import address, named, noted
from sendoff_server.gateway.connection import CALLER_NAMES
from sendoff_server.gateway.refusals import reason_of, refusal
from sendoff_server.meter import CallMeter
from sendoff_server.request_ids import REQUEST_ID, request_id_of
from sendoff_server.use_cases import UseCases

_log = structlog.get_logger(__name__)


Endpoint = Callable[[UseCases, Request], Awaitable[Response]]
Table = Sequence[tuple[str, str, Endpoint]]
"""(method, path, endpoint); a path that ends in a slash is a collection's root."""


def routes(use_cases: UseCases, doorway: Doorway, *tables: Table) -> list[BaseRoute]:
    """The routes of these tables. Both forms of a path are answered, with a slash at the end and without."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for table in tables:
        for method, path, endpoint in table:
            by_path.setdefault(path.rstrip("/"), {})[method] = endpoint
    made = [
        Route(path, _handler(use_cases, doorway.gate, path, told, Watched(path, doorway.meter)), methods=list(told))
        for path, told in by_path.items()
    ]
    # Literal paths first: /v1/runs/active is no run, and neither is /v1/runs/{run_id}:wait.
    made.sort(key=lambda route: (route.path.count("{"), ":" not in route.path))
    return [ByNoun(made)]


class ByNoun(BaseRoute):
    """Routes by the noun and the depth of their paths, so that a request is compared with those of its own noun and
    depth only: comparing it with all of them took more time than answering it."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_noun: dict[tuple[str, int], list[Route]] = {}
        for route in routes:
            self._by_noun.setdefault(_noun(route.path), []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"].rstrip("/")
        other_method: tuple[Match, Scope] = (Match.NONE, {})
        for route in self._by_noun.get(_noun(path), ()):
            match, found = route.matches({**scope, "path": path})
            if match is Match.FULL:
                return match, {**found, _ROUTE: route}
            if match is Match.PARTIAL:
                other_method = match, {**found, _ROUTE: route}
        return other_method

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope[_ROUTE].handle(scope, receive, send)


_ROUTE = "sendoff.route"


def _noun(path: str) -> tuple[str, int]:
    """`runs` of /v1/runs and all below it, other paths have none; and how many slashes it has."""
    return path.split("/", 3)[2] if path.startswith("/v1/") else "", path.count("/")


class Watched:
    """Counts and logs the requests of one route."""

    def __init__(self, path: str, meter: CallMeter) -> None:
        self._path = path
        self._meter = meter

    def began(self, request: Request) -> float:
        """When, by the computer's stopwatch. From now on log lines name the request."""
        name = f"{request.method} {self._path}"
        self._meter.began(name)
        structlog.contextvars.bind_contextvars(rpc=name)
        if told := request_id_of(request.headers.get(REQUEST_ID)):
            structlog.contextvars.bind_contextvars(request_id=told)
        return perf_counter()

    def cancelled(self, request: Request, started: float) -> None:
        """It ends without an answer, because the server does."""
        self._meter.ended(f"{request.method} {self._path}", "CANCELLED", perf_counter() - started)

    def ended(self, request: Request, response: Response, error: Exception | None, started: float) -> None:
        took_s = perf_counter() - started
        self._meter.ended(f"{request.method} {self._path}", str(response.status_code), took_s)
        if told := request_id_of(request.headers.get(REQUEST_ID)):
            response.headers[REQUEST_ID] = told
        if error is not None:
            self._meter.refused(reason_of(error))
        _log.debug(
            "request",
            method=request.method,
            path=request.scope["path"],
            status=response.status_code,
            milliseconds=round(took_s * 1_000, 2),
        )


def _handler(
    use_cases: UseCases, gate: Gate, path: str, endpoints: dict[str, Endpoint], watched: Watched
) -> Callable[[Request], Awaitable[Response]]:
    needed = {method: ROUTES[method, path] for method in endpoints}
    if "GET" in needed:
        needed["HEAD"] = needed["GET"]
    trail = use_cases.trail
    if trail is not None:
        endpoints = {
            method: noted(trail, f"{method} {path}", endpoint) if is_act(needed[method]) else endpoint
            for method, endpoint in endpoints.items()
        }

    async def admitted(request: Request, wanted: Sequence[Permission]) -> Principal | None:
        try:
            return await _admitted(gate, request, wanted)
        except PermissionDenied:
            if trail is not None:
                await trail.denied(f"{request.method} {path}", address(request), named(request))
            raise

    async def handle(request: Request) -> Response:
        started = watched.began(request)
        refused: Exception | None = None
        endpoint = endpoints.get(request.method) or endpoints["GET"]
        try:
            principal = await admitted(request, needed[request.method])
            response = await endpoint(use_cases, request)
            if principal is not None and isinstance(response, EventSourceResponse):
                response.body_iterator = _rechecked(gate, principal, response.body_iterator)
        except asyncio.CancelledError:
            watched.cancelled(request, started)
            raise
        except Exception as error:
            refused = error
            response = refusal(error, uuid.uuid4().hex)
        watched.ended(request, response, refused, started)
        return response

    return handle


async def _admitted(gate: Gate, request: Request, needed: Sequence[Permission]) -> Principal | None:
    """Who calls; None where everybody may, and nobody is asked. Raises Unauthenticated, PermissionDenied."""
    if not needed:
        return None
    principal = await gate.admit(_credentials(request), *needed)
    act_for(principal)
    return principal


async def _rechecked(gate: Gate, principal: Principal, told: AsyncIterable[Any]) -> AsyncIterator[Any]:
    """The stream, to its end or until the caller's key counts no more; then it breaks off, and cannot be resumed."""
    async with aclosing(aiter(told)) as events:  # type: ignore[type-var]  # a generator
        async for event in events:
            try:
                await gate.recheck(principal)
            except Unauthenticated:
                return
            yield event


def _credentials(request: Request) -> Credentials:
    found = request.headers.getlist("authorization")
    names = request.scope.get(CALLER_NAMES, ())
    return Credentials(",".join(found) if found else None, names) if found or names else _NO_CREDENTIALS


_NO_CREDENTIALS = Credentials()
