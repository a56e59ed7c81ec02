"""Sending messages and waiting for the answer: in one piece, as a stream, or as a stream that can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, path_id
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.message_routes import accepted, message_request
from sendoff_server.gateway.results import blocking_answer
from sendoff_server.gateway.runs import RUN_TYPE
from sendoff_server.gateway.sse import streamed
from sendoff_server.gateway.streams import Wanted, told
from sendoff_server.lifecycle import is_terminal
from sendoff_server.use_cases import UseCases

PIECES = "sendoff.dev/stream-tokens"
"""The label of a run whose stream is one of pieces, so that a resumed one is too."""
_ONLY_STREAMING = ("stream_tokens", "include_pings", "background")
_WAIT_S = 20


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages"""
    agent_id = path_id(request, "agent_id", "agent")
    body = await body_of(request)
    return await sent(use_cases, request, body, agent_id, streaming=_flag(body, "streaming", default=False))


async def create_stream(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages/stream"""
    agent_id = path_id(request, "agent_id", "agent")
    body = await body_of(request)
    return await sent(use_cases, request, body, agent_id, streaming=True)


async def sent(
    use_cases: UseCases, request: Request, body: Mapping[str, Any], agent_id: str, *, streaming: bool
) -> Response:
    """Accept the message and answer as the caller wants it. Whatever becomes of the caller, the run goes on."""
    pieces, background = _flag(body, "stream_tokens", default=False), _flag(body, "background", default=False)
    pings = _flag(body, "include_pings", default=True)
    if not streaming and (set(body) & set(_ONLY_STREAMING)):
        raise InvalidRequest([Violation("streaming", f"must be true for {', '.join(_ONLY_STREAMING)}")])
    wanted = message_request({name: value for name, value in body.items() if name != "callback_url"}, agent_id)
    wanted.labels[RUN_TYPE] = "send_message_streaming" if streaming else "send_message"
    wanted.scheduling.when_pending = v1.WHEN_PENDING_REJECT
    if pieces:
        wanted.labels[PIECES] = "true"
    run, _ = await accepted(use_cases, wanted, None, background=background)
    if not streaming:
        return await _blocking(use_cases, request, run)
    return streamed(told(use_cases, run, Wanted(pieces=pieces, pings=pings, numbered=background)))


async def _blocking(use_cases: UseCases, request: Request, run: v1.Run) -> Response:
    waiting = v1.WaitRunRequest(run_id=run.id)
    waiting.timeout.FromSeconds(_WAIT_S)
    while not is_terminal(run):
        if await request.is_disconnected():
            return answer(None)
        run = await use_cases.runs.wait(TENANT, waiting)
    return await blocking_answer(use_cases, run)


async def resume(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/runs/{run_id}/stream: what comes after a number, for every run, also one that has ended."""
    run_id = path_id(request, "run_id", "run")
    body = await body_of(request)
    run = await use_cases.runs.get(TENANT, v1.GetRunRequest(run_id=run_id))
    return resumed(use_cases, request, body, run)


def resumed(use_cases: UseCases, request: Request, body: Mapping[str, Any], run: v1.Run) -> Response:
    after = body.get("starting_after", request.headers.get("last-event-id")) or 0
    if isinstance(after, bool) or not str(after).isascii() or not str(after).isdecimal():
        raise InvalidRequest([Violation("starting_after", "must be a whole number")])
    pings = _flag(body, "include_pings", default=True)
    return streamed(told(use_cases, run, Wanted(pieces=PIECES in run.labels, pings=pings, after=int(after))))


def _flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    word = str(value).lower()
    if word not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise InvalidRequest([Violation(name, "must be true or false")])
    return word in ("true", "1", "yes", "on")


TABLE: Table = (
    ("POST", "/v1/agents/{agent_id}/messages", create),
    ("POST", "/v1/agents/{agent_id}/messages/stream", create_stream),
    ("POST", "/v1/runs/{run_id}/stream", resume),
)
