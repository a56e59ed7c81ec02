"""Streams of runs that were begun elsewhere: taken up where they were cut, or followed by another caller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import InvalidRequest, RunNotFound, Violation
from sendoff_server.gateway.asked import body_of, flag, path_id
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.gateway.routes.conversation_address import Address, addressed
from sendoff_server.gateway.routes.sending import PIECES
from sendoff_server.gateway.streams.following import told
from sendoff_server.gateway.streams.sse import streamed
from sendoff_server.gateway.streams.telling import Wanted
from sendoff_server.lifecycle import is_terminal
from sendoff_server.use_cases import UseCases

OTID_PATIENCE_S = 2.0
"""How long a stream is looked for by an OTID whose request may still be on its way."""
_OTID_PAUSE_S = 0.1
_LAST_EVENT = "last-event-id"


class NoActiveRun(RefusedHere):
    reason = "NO_ACTIVE_RUN"
    http_status = 400


async def resume(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/runs/{run_id}/stream: what comes after a number, for every run, also one that has ended."""
    run_id = path_id(request, "run_id", "run")
    body = await body_of(request)
    run = await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=run_id))
    return resumed(use_cases, request, body, run)


async def resume_in_browser(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/stream: the same for browsers, which ask with GET and again whenever a stream has ended.

    One that tells with its last number that it has all of a run is answered 204, and asks no more.
    """
    run_id = path_id(request, "run_id", "run")
    run = await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=run_id))
    query = dict(request.query_params)
    if (last := request.headers.get(_LAST_EVENT)) is not None:
        query["starting_after"] = last
        if is_terminal(run) and not await _more(use_cases, run, _wanted(request, query, run)):
            return Response(status_code=204)
    return resumed(use_cases, request, query, run)


async def _more(use_cases: UseCases, run: v1.Run, wanted: Wanted) -> bool:
    """Whether anything of a run that has ended comes behind that number; why it failed is told with its end."""
    async with aclosing(told(use_cases, run, wanted)) as events:
        async for event in events:
            return event.seq_id is not None
    return False


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
        run = await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=run_id))
        if run.agent_id != address.agent_id or (run.conversation_id or "default") != address.conversation_id:
            raise RunNotFound(run_id)
        return run
    wanted = v1.ListRunsRequest(agent_id=address.agent_id, conversation_id=address.conversation_id, page_size=1)
    if otid is not None:
        wanted.otid = otid
        return await _of_otid(use_cases, wanted)
    wanted.active = True
    wanted.order_by = "create_time asc"
    runs = (await use_cases.runs.list(acting().tenant, wanted)).runs
    if not runs:
        raise NoActiveRun("No active runs found for this conversation")
    return runs[0]


async def _of_otid(use_cases: UseCases, wanted: v1.ListRunsRequest) -> v1.Run:
    """The run of a request that may still be on its way. Raises RunNotFound if it does not come."""
    for attempt in range(round(OTID_PATIENCE_S / _OTID_PAUSE_S)):
        if attempt:
            await asyncio.sleep(_OTID_PAUSE_S)
        if runs := (await use_cases.runs.list(acting().tenant, wanted)).runs:
            return runs[0]
    raise RunNotFound(wanted.otid)


def resumed(use_cases: UseCases, request: Request, body: Mapping[str, Any], run: v1.Run) -> Response:
    return streamed(told(use_cases, run, _wanted(request, body, run)))


def _wanted(request: Request, body: Mapping[str, Any], run: v1.Run) -> Wanted:
    after = body.get("starting_after")
    if after is None:
        after = request.headers.get(_LAST_EVENT) or 0
    if isinstance(after, bool) or not str(after).isascii() or not str(after).isdecimal() or len(str(after)) > 18:
        raise InvalidRequest([Violation("starting_after", "must be a whole number from 0")])
    return Wanted(pieces=PIECES in run.labels, pings=flag(body, "include_pings", default=True), after=int(after))


TABLE: Table = (
    ("GET", "/v1/runs/{run_id}/stream", resume_in_browser),
    ("POST", "/v1/conversations/{conversation_id}/stream", resume_in_conversation),
    ("POST", "/v1/runs/{run_id}/stream", resume),
)
