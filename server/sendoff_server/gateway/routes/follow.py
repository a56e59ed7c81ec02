"""What this server offers beyond the API: waits for runs, their logs by the page and as they grow, pending actions.

Requests and answers are those of the contract, with its names; only runs look as everywhere at this door.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import InvalidRequest, ServiceError, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, message_of, path_id, queried
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.queues import explanation_json
from sendoff_server.gateway.nouns.runs import run_json
from sendoff_server.gateway.presence import while_present
from sendoff_server.gateway.streams.sse import streamed
from sendoff_server.gateway.streams.telling import Told
from sendoff_server.lifecycle import is_terminal
from sendoff_server.use_cases import UseCases

M = TypeVar("M", bound=Message)


def _at_run(kind: type[M], request: Request) -> M:
    return queried(kind, request, run_id=path_id(request, "run_id", "run"))


# ---- runs ----


async def wait(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}:wait"""
    waiting = use_cases.runs.wait(acting().tenant, _at_run(v1.WaitRunRequest, request))
    return answer(run_json(await while_present(request, waiting)))


async def explain(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}:explain"""
    wanted = v1.ExplainRunRequest(run_id=path_id(request, "run_id", "run"))
    return answer(explanation_json(await use_cases.runs.explain(acting().tenant, wanted)))


async def cancel(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/runs/{run_id}:cancel"""
    told = {**await body_of(request), "run_id": path_id(request, "run_id", "run")}
    return answer(run_json(await use_cases.runs.cancel(acting().tenant, message_of(v1.CancelRunRequest, told))))


async def events(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}/events"""
    return answer(written(await use_cases.runs.list_events(acting().tenant, _at_run(v1.ListRunEventsRequest, request))))


async def watch(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/runs/{run_id}:watch: the events of the log unnamed, with their sequences as ids; other frames named."""
    wanted = _watch_request(request)
    run = await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=wanted.run_id))
    if "last-event-id" in request.headers and _is_over(run, wanted):
        return Response(status_code=204)  # else a browser would ask again, for ever
    return streamed(_frames(use_cases, wanted))


def _is_over(run: v1.Run, wanted: v1.WatchRunRequest) -> bool:
    """Whether nothing comes any more."""
    return is_terminal(run) and wanted.after_sequence >= run.last_sequence and not wanted.follow_continuations


def _watch_request(request: Request) -> v1.WatchRunRequest:
    """A browser that connects again tells the last id that it has, and its first query again."""
    places = [name for name in ("after_sequence", "latest", "snapshot") if name in request.query_params]
    if len(places) > 1:
        raise InvalidRequest([Violation(places[1], f"excludes {places[0]}")])
    wanted = _at_run(v1.WatchRunRequest, request)
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdecimal() and len(last) <= 18:
        wanted.after_sequence = int(last)
    return wanted


async def _frames(use_cases: UseCases, wanted: v1.WatchRunRequest) -> AsyncGenerator[Told]:
    try:
        async with aclosing(use_cases.runs.watch(acting().tenant, wanted)) as frames:
            async for frame in frames:
                name = frame.WhichOneof("frame")
                if name == "event":
                    yield Told(written(frame.event), seq_id=frame.event.sequence)
                elif name is not None:
                    yield Told(written(getattr(frame, name)), name=name)
    except ServiceError as error:
        yield Told({"reason": error.reason, "message": error.message}, name="error")


# ---- actions ----


async def list_actions(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/actions"""
    return answer(
        written(await use_cases.actions.list(acting().tenant, queried(v1.ListPendingActionsRequest, request)))
    )


async def respond(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/conversations/{conversation_id}/actions:respond"""
    told = {**await body_of(request), "conversation_id": str(request.path_params["conversation_id"])}
    wanted = message_of(v1.RespondToActionsRequest, told)
    if (key := request.headers.get("idempotency-key")) is not None and not wanted.HasField("request_id"):
        wanted.request_id = key
    given = await use_cases.actions.respond(acting().tenant, wanted)
    return answer(_responded(given))


def _responded(given: v1.RespondToActionsResponse) -> Mapping[str, Any]:
    return {
        "run": run_json(given.run) if given.HasField("run") else None,
        "still_pending": [written(action) for action in given.still_pending],
    }


TABLE: Table = (
    ("GET", "/v1/actions", list_actions),
    ("POST", "/v1/conversations/{conversation_id}/actions:respond", respond),
    ("GET", "/v1/runs/{run_id}/events", events),
    ("POST", "/v1/runs/{run_id}:cancel", cancel),
    ("GET", "/v1/runs/{run_id}:explain", explain),
    ("GET", "/v1/runs/{run_id}:wait", wait),
    ("GET", "/v1/runs/{run_id}:watch", watch),
)
