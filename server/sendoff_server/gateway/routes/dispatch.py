"""Pauses of dispatch: beyond the API, with the contract's names."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, message_of
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.doors import Table
from sendoff_server.use_cases import UseCases

M = TypeVar("M", bound=Message)


async def _asked(kind: type[M], request: Request) -> M:
    """What a body asks. Members that nobody knows are refused here: a scope that is misspelled would be everything."""
    body = await body_of(request)
    unknown = [Violation(name, "is not known") for name in body if name not in kind.DESCRIPTOR.fields_by_name]
    if unknown:
        raise InvalidRequest(unknown)
    return message_of(kind, body)


async def pause(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/dispatch:pause: no run of `agent_id` or of `fairness_key`, without both no run at all, is begun until it
    is lifted; runs under way go on, and new ones are accepted and wait"""
    wanted = await _asked(v1.PauseDispatchRequest, request)
    return answer(written(await use_cases.dispatch.pause(acting().tenant, wanted)))


async def resume(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/dispatch:resume: lifts the pause of exactly that scope"""
    wanted = await _asked(v1.ResumeDispatchRequest, request)
    return answer(written(await use_cases.dispatch.resume(acting().tenant, wanted)))


async def list_pauses(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/dispatch-pauses: all of them, oldest first"""
    return answer(written(await use_cases.dispatch.list_pauses(acting().tenant)))


TABLE: Table = (
    ("POST", "/v1/dispatch:pause", pause),
    ("POST", "/v1/dispatch:resume", resume),
    ("GET", "/v1/dispatch-pauses", list_pauses),
)
