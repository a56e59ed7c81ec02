"""A server that answers each call with what a test has planned for it, and both clients to ask it with."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

import sendoff
from sendoff import methods, v1
from sendoff.methods import Method

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

RUN_ID = "run-00000000-0000-4000-8000-000000000001"
AGENT_ID = "agent-00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Failure:
    """An RPC error, with details if it has a reason."""

    code: grpc.StatusCode
    message: str = "planned"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: Sequence[tuple[str, str]] = ()
    retry_after_s: float | None = None
    raw_details: bytes | None = None

    def trailer(self) -> tuple[tuple[str, bytes], ...]:
        if self.raw_details is not None:
            return (("grpc-status-details-bin", self.raw_details),)
        if not self.reason:
            return ()
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        info = error_details_pb2.ErrorInfo(domain="sendoff", reason=self.reason, metadata=self.metadata)
        status.details.add().Pack(info)
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for path, description in self.violations:
                bad.field_violations.add(field=path, description=description)
            status.details.add().Pack(bad)
        if self.retry_after_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(round(self.retry_after_s * 1e9))
            status.details.add().Pack(retry)
        return (("grpc-status-details-bin", status.SerializeToString()),)


class Silence:
    """Nothing more comes on this stream, and it does not end."""


@dataclass(frozen=True)
class Hear:
    """The stream goes on once so many frames were said on it, the first one included."""

    frames: int


UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)
RESET = Failure(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2")

Handler: TypeAlias = Callable[[Any, Context], Awaitable[Message]]
Answer: TypeAlias = "Message | Failure | Handler"
Stream: TypeAlias = "Sequence[v1.WatchRunResponse | Failure | Silence]"
PullStream: TypeAlias = "Sequence[v1.ReceiveDeliveriesResponse | Failure | Hear]"


class ScriptedServer:
    """Answers in the planned order, and keeps what it was asked. What nobody planned fails the call."""

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.remaining_s: list[float | None] = []
        self.cancelled = asyncio.Event()
        """A stream was ended by its client."""
        self.said: list[list[v1.ReceiveDeliveriesRequest]] = []
        """What was said on each stream of deliveries."""
        self.heard = asyncio.Event()
        """Set when what a stream had planned to hear was said."""
        self.ended_well = 0
        """How many of these ended because nothing more was said."""
        self._plans: dict[str, deque[Any]] = defaultdict(deque)

    def plan(self, method: Method[Any, Any], *answers: Answer) -> None:
        self._plans[method.path].extend(answers)

    def plan_streams(self, *streams: Stream) -> None:
        self._plans[methods.WATCH_RUN.path].extend(streams)

    def plan_pulls(self, *streams: PullStream) -> None:
        """Each ends when its client says no more, unless it fails before."""
        self._plans[methods.RECEIVE_DELIVERIES.path].extend(streams)

    def asked(self, kind: type[Message]) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = defaultdict(dict)
        for method in (m for m in vars(methods).values() if isinstance(m, Method)):
            _, service, name = method.path.split("/")
            services[service][name] = self._handler(method)
        return [grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items()]

    def _handler(self, method: Method[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        async def unary(request: Any, context: Context) -> Any:
            answer = await self._next(method, request, context)
            if isinstance(answer, Failure):
                await _fail(answer, context)
            return answer if isinstance(answer, Message) else await answer(request, context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            for step in await self._next(method, request, context):
                if isinstance(step, Failure):
                    await _fail(step, context)
                elif isinstance(step, Silence):
                    await self._be_silent()
                else:
                    yield step

        async def pull(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            said: list[v1.ReceiveDeliveriesRequest] = []
            self.said.append(said)
            for step in await self._next(method, said, context):
                if isinstance(step, Failure):
                    await _fail(step, context)
                elif isinstance(step, Hear):
                    while len(said) < step.frames:
                        said.append(await anext(requests))
                    self.heard.set()
                else:
                    yield step
            said.extend([each async for each in requests])
            self.ended_well += 1

        if method is methods.RECEIVE_DELIVERIES:
            return grpc.stream_stream_rpc_method_handler(
                pull,
                method.request.FromString,
                method.response.SerializeToString,
            )
        if method is methods.WATCH_RUN:
            return grpc.unary_stream_rpc_method_handler(
                stream,
                method.request.FromString,
                method.response.SerializeToString,
            )
        return grpc.unary_unary_rpc_method_handler(
            unary,
            method.request.FromString,
            method.response.SerializeToString,
        )

    async def _next(self, method: Method[Any, Any], request: Any, context: Context) -> Any:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        self.remaining_s.append(context.time_remaining())
        if not self._plans[method.path]:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"nobody planned this {method.path}")
        return self._plans[method.path].popleft()

    async def _be_silent(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


async def _fail(failure: Failure, context: Context) -> None:
    await context.abort(failure.code, failure.message, failure.trailer())


@asynccontextmanager
async def serving(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[ScriptedServer]:
    """A server on a port of its own; with credentials it speaks TLS."""
    scripted = ScriptedServer()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(scripted.handlers()))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    scripted.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield scripted
    finally:
        await server.stop(None)


class Sleeps:
    """Notes every pause, and takes none."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []

    def block(self, seconds: float) -> None:
        self.taken_s.append(seconds)

    async def wait(self, seconds: float) -> None:
        self.taken_s.append(seconds)


class Asker:
    """One of the two clients, asked in the same way."""

    def __init__(self, client: sendoff.Client | sendoff.AsyncClient, sleeps: Sleeps) -> None:
        self.client = client
        self.sleeps = sleeps

    async def call(self, name: str, /, *args: Any, **options: Any) -> Any:
        """The outcome of a method that returns one thing."""
        if isinstance(self.client, sendoff.AsyncClient):
            return await getattr(self.client, name)(*args, **options)
        return await asyncio.to_thread(getattr(self.client, name), *args, **options)

    async def every(self, name: str, /, *args: Any, **options: Any) -> list[Any]:
        """All that a method brings that yields many."""
        if isinstance(self.client, sendoff.AsyncClient):
            return [item async for item in getattr(self.client, name)(*args, **options)]
        return await asyncio.to_thread(lambda: list(getattr(self.client, name)(*args, **options)))


@asynccontextmanager
async def asking(kind: str, address: str | Sequence[str], **options: Any) -> AsyncIterator[Asker]:
    """A client of that kind ("blocking" or "asyncio") that never sleeps and always draws 0."""
    sleeps = Sleeps()
    timing = sendoff.Timing(draw=lambda: 0.0)
    if kind == "asyncio":
        async with sendoff.AsyncClient(address, timing=timing, sleep=sleeps.wait, **options) as client:
            yield Asker(client, sleeps)
    else:
        with sendoff.Client(address, timing=timing, sleep=sleeps.block, **options) as blocking:
            yield Asker(blocking, sleeps)
