"""Entries of the audit for requests over REST."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response

from sendoff_server.audit.trail import Trail
from sendoff_server.use_cases import UseCases

Endpoint = Callable[[UseCases, Request], Awaitable[Response]]
_MOST_READ = 1024 * 1024
"""Bytes of an answer that is looked into."""


def noted(trail: Trail, method: str, endpoint: Endpoint) -> Endpoint:
    """`method`: as "POST /v1/runs/{run_id}:cancel"."""

    async def call(use_cases: UseCases, request: Request) -> Response:
        async with trail.noting(method, address(request), named(request)) as act:
            response = await endpoint(use_cases, request)
            if not act.in_transaction:
                act.names(_made(response))
            return response

    return call


def named(request: Request) -> Iterable[str]:
    """What the path names."""
    return map(str, request.path_params.values())


def address(request: Request) -> str:
    """Where the caller is, as "ipv4:10.0.0.7:52114"."""
    if request.client is None:
        return ""
    host, port = request.client
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _made(response: Response) -> Iterable[str]:
    """The id of what an answer tells."""
    body = getattr(response, "body", b"")
    if response.status_code >= 300 or not body.startswith(b"{") or len(body) > _MOST_READ:
        return ()
    told = json.loads(body).get("id")
    return (told,) if isinstance(told, str) else ()
