"""The official client of the API, as tests use it: blocking or not, lenient or strict, with one way to call it."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, get_args

import httpx
from letta_client import AsyncLetta, Letta
from letta_client.types import AgentState

from sendoff import v1
from sendoff_server.app import Server
from sendoff_server.store.port import DEFAULT_TENANT

PATIENCE_S = 30.0
"""Nothing that a test waits for takes longer."""
_EMBEDDING = {"embedding_model": "small", "embedding_dim": 8, "embedding_endpoint_type": "openai"}
_CAN_BE_NULL = type(None) in get_args(AgentState.model_fields["embedding_config"].annotation)
_NEEDED = {} if _CAN_BE_NULL else {"embedding_config": _EMBEDDING}
"""Older clients, if they are strict, know no agent without one; it is kept and told back."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which client."""

    blocking: bool
    strict: bool

    def __str__(self) -> str:
        return f"{'sync' if self.blocking else 'async'}-{'strict' if self.strict else 'lenient'}"


_WANTED = os.environ.get("SUBJECT_SDK_KINDS", "").split()
KINDS = [
    kind
    for kind in (Kind(blocking, strict) for blocking in (True, False) for strict in (True, False))
    if not _WANTED or str(kind) in _WANTED
]
EACH_WAY = [kind for kind in KINDS if kind.strict is not kind.blocking]
"""Blocking and lenient, asynchronous and strict: each way once, where the four would show no more than two."""


class Sdk:
    """Calls of one client: `await sdk("runs.retrieve", run_id)`. A blocking client works in threads."""

    def __init__(self, client: Letta | AsyncLetta) -> None:
        self.client = client
        self.blocking = isinstance(client, Letta)

    async def __call__(self, call: str, /, *args: Any, **fields: Any) -> Any:
        method = attrgetter(call)(self.client)
        fields = _known(method, fields)
        async with asyncio.timeout(PATIENCE_S):
            if self.blocking:
                return await asyncio.to_thread(method, *args, **fields)
            return await method(*args, **fields)

    async def all(self, call: str, /, *args: Any, **fields: Any) -> list[Any]:
        """Everything that iteration over a list gives, page after page."""
        method = attrgetter(call)(self.client)
        async with asyncio.timeout(PATIENCE_S):
            if self.blocking:
                return await asyncio.to_thread(lambda: list(method(*args, **fields)))
            return [each async for each in method(*args, **fields)]

    async def events(self, call: str, /, *args: Any, most: int | None = None, **fields: Any) -> list[Any]:
        """The events of a stream to its end, or so many of them, after which the connection is dropped."""
        stream = await self(call, *args, **fields)
        async with asyncio.timeout(PATIENCE_S):
            if self.blocking:
                return await asyncio.to_thread(_taken, stream, most)
            async with stream:
                events: list[Any] = []
                async for event in stream:
                    events.append(event)
                    if len(events) == most:
                        break
                return events

    async def agent(self, model: str = "scripted/script", **fields: Any) -> str:
        """A new agent's id."""
        fields = {"model": model, "include_base_tools": False, **_NEEDED, **fields}
        made = await self("agents.create", name="subject", **fields)
        return str(made.id)

    async def run(self, server: Server, agent_id: str, text: str, **fields: Any) -> Any:
        """A run by the asynchronous call, once it has ended."""
        made = await self("agents.messages.create_async", agent_id, input=text, **fields)
        return await self.ended(server, made.id)

    async def ended(self, server: Server, run_id: str) -> Any:
        """The run as the client sees it once it has ended."""
        await ended(server, run_id)
        return await self("runs.retrieve", run_id)


def _known(method: Callable[..., Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as this version of the client takes them: members that it does not know yet go in `extra_body`."""
    parameters = inspect.signature(method).parameters
    told = {name: value for name, value in fields.items() if name in parameters}
    more = {name: value for name, value in fields.items() if name not in parameters}
    return {**told, "extra_body": more} if more else told


def _taken(stream: Any, most: int | None) -> list[Any]:
    with stream:
        events = []
        for event in stream:
            events.append(event)
            if len(events) == most:
                break
        return events


async def ended(server: Server, run_id: str) -> v1.Run:
    """Wait for a run's end, inside the server."""
    wait = v1.WaitRunRequest(run_id=run_id)
    wait.timeout.FromSeconds(int(PATIENCE_S))
    run = await server.use_cases.runs.wait(DEFAULT_TENANT, wait)
    assert run.HasField("complete_time"), f"has not ended: {run}"
    return run


def url(server: Server) -> str:
    assert server.http is not None
    return f"http://{server.http.address}"


@asynccontextmanager
async def connected(base_url: str, kind: Kind, **options: Any) -> AsyncIterator[Sdk]:
    """A client of that kind."""
    options = {"api_key": "any", "_strict_response_validation": kind.strict, **options}
    if kind.blocking:
        client = Letta(base_url=base_url, **options)
        try:
            yield Sdk(client)
        finally:
            await asyncio.to_thread(client.close)
    else:
        async with AsyncLetta(base_url=base_url, **options) as own:
            yield Sdk(own)


class Forgetful(httpx.HTTPTransport):
    """Loses the first answer: the request has arrived, and its caller does not know."""

    lost = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if not self.lost and request.method == "POST":
            self.lost = True
            response.read()
            raise httpx.ReadTimeout("lost", request=request)
        return response


class AsyncForgetful(httpx.AsyncHTTPTransport):
    """The same for the client that does not block."""

    lost = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if not self.lost and request.method == "POST":
            self.lost = True
            await response.aread()
            raise httpx.ReadTimeout("lost", request=request)
        return response


def forgetful(kind: Kind) -> httpx.Client | httpx.AsyncClient:
    if kind.blocking:
        return httpx.Client(transport=Forgetful())
    return httpx.AsyncClient(transport=AsyncForgetful())
