"""The ceiling of the REST door: the same HTTP stack, which parses and answers as much JSON and keeps nothing.

A stream gets a word every 10 ms, each the time at which it was made.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.bare import TOKEN_PAUSE_S, a_run
from bench.processes import tell_ready
from sendoff_server.gateway.nouns.runs import run_json

WORDS = 50


async def create_async(request: Request) -> Response:
    json.loads(await request.body())
    return _answer(f"run-{uuid.uuid4()}", request.path_params["agent_id"])


async def retrieve(request: Request) -> Response:
    return _answer(request.path_params["run_id"], "agent-00000000-0000-4000-8000-000000000000")


def _answer(run_id: str, agent_id: str) -> Response:
    told = json.dumps(run_json(a_run(run_id, agent_id)), separators=(",", ":"))
    return Response(told, media_type="application/json")


async def stream(request: Request) -> Response:
    json.loads(await request.body())
    return EventSourceResponse(_words(), sep="\n")


async def _words() -> AsyncIterator[ServerSentEvent]:
    for _ in range(WORDS):
        await asyncio.sleep(TOKEN_PAUSE_S)
        told = {"message_type": "assistant_message", "content": f"{time.monotonic_ns()} "}
        yield ServerSentEvent(json.dumps(told), sep="\n")
    yield ServerSentEvent("[DONE]", sep="\n")


def main() -> None:
    """Serve until terminated."""
    routes = [
        Route("/v1/agents/{agent_id}/messages/async", create_async, methods=["POST"]),
        Route("/v1/agents/{agent_id}/messages", stream, methods=["POST"]),
        Route("/v1/runs/{run_id}", retrieve),
    ]
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    config = uvicorn.Config(Starlette(routes=routes), lifespan="off", log_config=None, access_log=False, ws="none")
    tell_ready(f"127.0.0.1:{listening.getsockname()[1]}")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
