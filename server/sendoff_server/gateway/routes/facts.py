"""What the server tells of itself: health, what it is and can, how much waits, models."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.caller import told_to_caller
from sendoff_server.access.principal import acting
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import Query, queried
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.provider_types import endpoint_type, provider_type, window_of
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.use_cases import UseCases

API_VERSION = "0.16.8"
"""The version of the API that the door speaks; ours is told by GetServerInfo."""


class NotReady(RefusedHere):
    reason = "NOT_READY"
    http_status = 503
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("this server stops, or its store does not answer; another one may be ready")


async def health(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/health/: the server answers, whatever it can do."""
    return answer({"version": API_VERSION, "status": "ok"})


async def ready(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/ready/: balancers may send callers here. 503 while the server stops or its store does not answer."""
    if not request.app.state.is_ready():
        raise NotReady
    return await health(use_cases, request)


async def livez(use_cases: UseCases, request: Request) -> Response:
    """GET /livez: the same as /v1/health/, where Kubernetes' own programs have it."""
    return await health(use_cases, request)


async def readyz(use_cases: UseCases, request: Request) -> Response:
    """GET /readyz: the same as /v1/ready/, where Kubernetes' own programs have it."""
    return await ready(use_cases, request)


async def models(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/models/"""
    query = Query(request)
    names, kinds = query.texts("provider_name"), query.texts("provider_type")
    listed = (await use_cases.models.list()).models
    told = [
        model_json(model)
        for model in listed
        if (not names or model.handle.partition("/")[0] in names)
        and (not kinds or provider_type(model.handle) in kinds)
    ]
    return answer(told if query.text("provider_category") in (None, "base") else [])


async def embedding_models(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/models/embedding: there are none, because nothing here needs one."""
    return answer([])


async def server_info(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/server-info"""
    return answer(written(told_to_caller(await use_cases.info.get(acting().tenant))))


async def queue_stats(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/queue-stats"""
    wanted = queried(v1.GetQueueStatsRequest, request)
    return answer(written(await use_cases.queue.get(acting().tenant, wanted)))


def model_json(model: v1.Model) -> dict[str, Any]:
    provider, _, name = model.handle.partition("/")
    window = window_of(model)
    nothing = ("model_endpoint", "model_wrapper", "temperature", "max_tokens", "reasoning_effort", "verbosity", "tier")
    return {
        "handle": model.handle,
        "name": name,
        "display_name": name,
        "model": name,
        "provider_type": provider_type(model.handle),
        "provider_name": provider,
        "provider_category": "base",
        "model_type": "llm",
        "model_endpoint_type": endpoint_type(model.handle),
        "context_window": window,
        "max_context_window": window,
        "enable_reasoner": False,
        "max_reasoning_tokens": 0,
        "parallel_tool_calls": True,
        "put_inner_thoughts_in_kwargs": False,
        **dict.fromkeys(nothing),
    }


TABLE: Table = (
    ("GET", "/v1/health/", health),
    ("GET", "/v1/ready/", ready),
    ("GET", "/livez", livez),
    ("GET", "/readyz", readyz),
    ("GET", "/v1/server-info", server_info),
    ("GET", "/v1/queue-stats", queue_stats),
    ("GET", "/v1/models/", models),
    ("GET", "/v1/models/embedding", embedding_models),
)
