"""Sending messages and waiting for the answer: in one piece, as a stream, or as a stream that can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import Draining, InvalidRequest, Unsupported, Violation
from sendoff_server.gateway.asked import body_of, flag, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.results import blocking_answer
from sendoff_server.gateway.nouns.runs import RUN_TYPE
from sendoff_server.gateway.presence import while_present
from sendoff_server.gateway.routes.conversation_address import addressed
from sendoff_server.gateway.routes.sending_async import accepted, message_request
from sendoff_server.gateway.streams.following import ended, told
from sendoff_server.gateway.streams.sse import streamed
from sendoff_server.gateway.streams.telling import Wanted
from sendoff_server.lifecycle import is_terminal
from sendoff_server.use_cases import UseCases

PIECES = "sendoff.dev/stream-tokens"
"""The label of a run whose stream is one of pieces, so that a resumed one is too."""
_ONLY_STREAMING = ("stream_tokens", "include_pings", "background")


async def create(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages"""
    agent_id = path_id(request, "agent_id", "agent")
    body = await body_of(request)
    streaming = flag(body, "streaming", default=False)
    return await sent(use_cases, request, body, _to_agent(body, agent_id), streaming=streaming)


async def create_stream(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages/stream"""
    agent_id = path_id(request, "agent_id", "agent")
    body = await body_of(request)
    return await sent(use_cases, request, body, _to_agent(body, agent_id), streaming=True)


async def create_in_conversation(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/messages: streams unless told not to, and only where nothing is at work
    then."""
    body = await body_of(request)
    streaming = flag(body, "streaming", default=True)
    address = await addressed(use_cases, request, body.get("agent_id"))
    wanted = message_request(_said(body), address.agent_id)
    wanted.conversation_id = address.conversation_id
    wanted.labels[RUN_TYPE] = "send_conversation_message"
    if streaming:
        wanted.scheduling.when_busy = v1.WHEN_BUSY_REJECT
    return await sent(use_cases, request, body, wanted, streaming=streaming)


def _to_agent(body: Mapping[str, Any], agent_id: str) -> v1.CreateMessageAsyncRequest:
    return message_request(_said(body), agent_id)


def _said(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without what these calls do not know: nobody is called back who waits. Raises Unsupported for what no program of
    the API sends."""
    if body.get("callback") is not None:
        raise Unsupported([Violation("callback", "goes with the asynchronous call: nobody is called back who waits")])
    return {name: value for name, value in body.items() if name != "callback_url"}


async def sent(
    use_cases: UseCases,
    request: Request,
    body: Mapping[str, Any],
    wanted: v1.CreateMessageAsyncRequest,
    *,
    streaming: bool,
) -> Response:
    """Accept the message and answer as the caller wants it. Whatever becomes of the caller, the run goes on."""
    pieces, background = flag(body, "stream_tokens", default=False), flag(body, "background", default=False)
    pings = flag(body, "include_pings", default=True)
    if not streaming and (beside := [name for name in _ONLY_STREAMING if body.get(name) is not None]):
        raise InvalidRequest([Violation("streaming", f"must be true for {', '.join(beside)}")])
    if RUN_TYPE not in wanted.labels:
        wanted.labels[RUN_TYPE] = "send_message_streaming" if streaming else "send_message"
    wanted.scheduling.when_pending = v1.WHEN_PENDING_REJECT
    if pieces:
        wanted.labels[PIECES] = "true"
    use_cases.runs.check_watching(acting().tenant)
    run, headers = await accepted(use_cases, request, wanted, background=background)
    if not streaming:
        return await _blocking(use_cases, request, run)
    return streamed(told(use_cases, run, Wanted(pieces=pieces, pings=pings, numbered=background)), headers)


async def _blocking(use_cases: UseCases, request: Request, run: v1.Run) -> Response:
    """The run's result, or nothing as soon as nobody waits for it any more."""
    if not is_terminal(run):
        result = await while_present(request, ended(use_cases, run))
        if result is None:
            raise Draining
        run = result
    return await blocking_answer(use_cases, acting().tenant, run)


TABLE: Table = (
    ("POST", "/v1/agents/{agent_id}/messages", create),
    ("POST", "/v1/agents/{agent_id}/messages/stream", create_stream),
    ("POST", "/v1/conversations/{conversation_id}/messages", create_in_conversation),
)
