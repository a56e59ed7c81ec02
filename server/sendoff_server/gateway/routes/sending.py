"""Sending messages and waiting for the answer: in one piece, as a stream, or as a stream that can be resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.errors import Draining, InvalidRequest, RunNotFound, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, flag, path_id
from sendoff_server.gateway.doors import TENANT, Table
from sendoff_server.gateway.nouns.results import blocking_answer
from sendoff_server.gateway.nouns.runs import RUN_TYPE
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.gateway.routes.conversation_address import Address, addressed
from sendoff_server.gateway.routes.sending_async import accepted, message_request
from sendoff_server.gateway.streams.following import ended, told
from sendoff_server.gateway.streams.sse import streamed
from sendoff_server.gateway.streams.telling import Wanted
from sendoff_server.lifecycle import is_terminal
from sendoff_server.use_cases import UseCases

PIECES = "sendoff.dev/stream-tokens"
"""The label of a run whose stream is one of pieces, so that a resumed one is too."""
OTID_PATIENCE_S = 2.0
"""How long a stream is looked for by an OTID whose request may still be on its way."""
_OTID_PAUSE_S = 0.1
_ONLY_STREAMING = ("stream_tokens", "include_pings", "background")
_CLIENT_GONE = 499


class NoActiveRun(RefusedHere):
    reason = "NO_ACTIVE_RUN"
    http_status = 400


# ---- sending ----


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
    """Without what these calls do not know: nobody is called back who waits."""
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
    run, headers = await accepted(use_cases, request, wanted, background=background)
    if not streaming:
        return await _blocking(use_cases, request, run)
    return streamed(told(use_cases, run, Wanted(pieces=pieces, pings=pings, numbered=background)), headers)


async def _blocking(use_cases: UseCases, request: Request, run: v1.Run) -> Response:
    """The run's result, or nothing as soon as nobody waits for it any more."""
    if not is_terminal(run):
        waiting = asyncio.create_task(ended(use_cases, run), name="wait for a run")
        gone = asyncio.create_task(_gone(request), name="wait for a caller to go")
        try:
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            gone.cancel()
            await asyncio.gather(waiting, gone, return_exceptions=True)
        if waiting.cancelled():
            return answer(None, _CLIENT_GONE)
        result = waiting.result()
        if result is None:
            raise Draining
        run = result
    return await blocking_answer(use_cases, run)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# ---- resuming ----


async def resume(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/runs/{run_id}/stream: what comes after a number, for every run, also one that has ended."""
    run_id = path_id(request, "run_id", "run")
    body = await body_of(request)
    run = await use_cases.runs.get(TENANT, v1.GetRunRequest(run_id=run_id))
    return resumed(use_cases, request, body, run)


async def resume_in_conversation(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/stream: the run of that id, else of that OTID, else the one at work."""
    body = await body_of(request)
    agent_id = body.get("agent_id") or request.query_params.get("agent_id")
    address = await addressed(use_cases, request, agent_id)
    return resumed(use_cases, request, body, await _meant(use_cases, body, address))


async def _meant(use_cases: UseCases, body: Mapping[str, Any], address: Address) -> v1.Run:
    run_id, otid = body.get("run_id"), body.get("otid")
    for name, value in (("run_id", run_id), ("otid", otid)):
        if value is not None and not isinstance(value, str):
            raise InvalidRequest([Violation(name, "must be a string")])
    if run_id is not None:
        run = await use_cases.runs.get(TENANT, v1.GetRunRequest(run_id=run_id))
        if run.agent_id != address.agent_id or (run.conversation_id or "default") != address.conversation_id:
            raise RunNotFound(run_id)
        return run
    wanted = v1.ListRunsRequest(agent_id=address.agent_id, conversation_id=address.conversation_id, page_size=1)
    if otid is not None:
        wanted.otid = otid
        return await _of_otid(use_cases, wanted)
    wanted.active = True
    wanted.order_by = "create_time asc"
    runs = (await use_cases.runs.list(TENANT, wanted)).runs
    if not runs:
        raise NoActiveRun("No active runs found for this conversation")
    return runs[0]


async def _of_otid(use_cases: UseCases, wanted: v1.ListRunsRequest) -> v1.Run:
    """The run of a request that may still be on its way. Raises RunNotFound if it does not come."""
    for attempt in range(round(OTID_PATIENCE_S / _OTID_PAUSE_S)):
        if attempt:
            await asyncio.sleep(_OTID_PAUSE_S)
        if runs := (await use_cases.runs.list(TENANT, wanted)).runs:
            return runs[0]
    raise RunNotFound(wanted.otid)


def resumed(use_cases: UseCases, request: Request, body: Mapping[str, Any], run: v1.Run) -> Response:
    after = body.get("starting_after")
    if after is None:
        after = request.headers.get("last-event-id") or 0
    if isinstance(after, bool) or not str(after).isascii() or not str(after).isdecimal() or len(str(after)) > 18:
        raise InvalidRequest([Violation("starting_after", "must be a whole number from 0")])
    pings = flag(body, "include_pings", default=True)
    return streamed(told(use_cases, run, Wanted(pieces=PIECES in run.labels, pings=pings, after=int(after))))


TABLE: Table = (
    ("POST", "/v1/agents/{agent_id}/messages", create),
    ("POST", "/v1/agents/{agent_id}/messages/stream", create_stream),
    ("POST", "/v1/conversations/{conversation_id}/messages", create_in_conversation),
    ("POST", "/v1/conversations/{conversation_id}/stream", resume_in_conversation),
    ("POST", "/v1/runs/{run_id}/stream", resume),
)
