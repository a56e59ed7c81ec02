"""What every call goes through, put around each method once, when the server is built.

One function instead of a chain of interceptors, because each of those costs more than all that is done here: size
limit, parsing, the table of errors, log lines that name the call, a count. Requests arrive as bytes, so that a damaged
one has an answer of ours.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from sendoff_server.access.doorway import Doorway
from sendoff_server.access.principal import Principal, act_for
from sendoff_server.access.rpcs import RPCS
from sendoff_server.api import status
from sendoff_server.api.acts import address, stream_noted, unary_noted
from sendoff_server.api.caller import credentials, proven_credentials, request_id
from sendoff_server.api.status import Context
from sendoff_server.api.traced import traced
from sendoff_server.audit.methods import is_act
from sendoff_server.audit.trail import Trail
from sendoff_server.errors import MalformedRequest, PermissionDenied, RequestTooLarge, ServiceError, StoreUnavailable
from sendoff_server.store.port import Fenced, StoreFailed

Unary = Callable[[Any, Context], Awaitable[Message]]
Streaming = Callable[[Any, Context], AsyncGenerator[Message]]
Admit = Callable[[Context], Awaitable[Principal]]
Parse = Callable[[bytes], Message]

_log = structlog.get_logger(__name__)


class Calls:
    """Makes gRPC handlers of servicers, and counts their calls. Calls with one answer have one request."""

    def __init__(
        self,
        doorway: Doorway,
        *,
        log_each: bool,
        trail: Trail | None = None,
    ) -> None:
        """`trail`: None, nobody keeps who did what."""
        self._gate = doorway.gate
        self._trail = trail
        self._meter = doorway.meter
        self._tracer = doorway.tracer
        self.credentials = proven_credentials if doorway.asks_for_certificates else credentials
        """What a call brought to tell who makes it."""
        self._most_request_bytes = doorway.most_request_bytes
        self._log_each = log_each
        self.ended: Counter[tuple[str, str]] = Counter()
        """How many calls ended, by method ("RunService/GetRun") and by name of the gRPC status or INTERNAL."""

    def handler(self, service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
        """The handler of a whole service.

        `servicer` has a method for every one of the contract, of the same name; those that stream are async generators.
        """
        methods = {method.name: self._method(method, getattr(servicer, method.name)) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _method(self, method: MethodDescriptor, behaviour: Any) -> grpc.RpcMethodHandler[bytes, Message]:
        name = f"{method.containing_service.name}/{method.name}"
        path = f"{method.containing_service.full_name}/{method.name}"
        parse = self._parser(method)
        admit = self._admission(method)
        if self._trail is not None and is_act(RPCS[name]):
            noted = stream_noted if method.server_streaming else unary_noted
            behaviour = noted(self._trail, name, behaviour)
        write = GetMessageClass(method.output_type).SerializeToString
        if method.client_streaming:
            stream = traced(self._tracer, path, self._streaming(name, admit, partial(_each, parse), behaviour))
            return grpc.stream_stream_rpc_method_handler(stream, response_serializer=write)
        if method.server_streaming:
            stream = traced(self._tracer, path, self._streaming(name, admit, parse, behaviour))
            return grpc.unary_stream_rpc_method_handler(stream, response_serializer=write)
        unary = traced(self._tracer, path, self._unary(name, admit, parse, behaviour))
        return grpc.unary_unary_rpc_method_handler(unary, response_serializer=write)

    def _admission(self, method: MethodDescriptor) -> Admit:
        """Lets callers in who may call the method. Raises Unauthenticated, PermissionDenied."""
        name = f"{method.containing_service.name}/{method.name}"
        needed = RPCS[name]

        async def admit(context: Context) -> Principal:
            try:
                principal = await self._gate.admit(self.credentials(context), *needed)
            except PermissionDenied:
                if self._trail is not None:
                    await self._trail.denied(name, address(context))
                raise
            act_for(principal)
            return principal

        return admit

    def _parser(self, method: MethodDescriptor) -> Parse:
        parse = GetMessageClass(method.input_type).FromString

        def checked(data: bytes) -> Message:
            if len(data) > (limit := self._most_request_bytes()):
                raise RequestTooLarge(len(data), limit)
            try:
                return parse(data)
            except DecodeError:
                raise MalformedRequest(method.input_type.full_name) from None

        return checked

    def _unary(
        self, name: str, admit: Admit, parse: Parse, behaviour: Unary
    ) -> Callable[[bytes, Context], Awaitable[Message]]:
        async def call(data: bytes, context: Context) -> Message:
            started = self._begin(name, context)
            try:
                await admit(context)
                reply = await behaviour(parse(data), context)
            except (Exception, asyncio.CancelledError) as error:
                await self._refuse(name, error, context, started)
            self._count(name, "OK", started)
            return reply

        return call

    def _streaming(
        self, name: str, admit: Admit, parse: Callable[[Any], object], behaviour: Streaming
    ) -> Callable[[Any, Context], Awaitable[None]]:
        """`parse` is given the request, or the iterator of those that come."""

        async def call(asked: Any, context: Context) -> None:
            started = self._begin(name, context)
            try:
                principal = await admit(context)
                # Closed here and now: left to the garbage collector, what the generator holds would outlive the call.
                async with aclosing(behaviour(parse(asked), context)) as frames:
                    async for frame in frames:
                        await self._gate.recheck(principal)
                        await context.write(frame)
            except (Exception, asyncio.CancelledError) as error:
                await self._refuse(name, error, context, started)
            self._count(name, "OK", started)

        return call

    async def _refuse(self, name: str, error: BaseException, context: Context, started: float) -> NoReturn:
        """End a call with an error: ours with all it tells, gRPC's own as it is, and of any other nothing but that."""
        if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
            self._count(name, "CANCELLED", started)
            raise error
        if isinstance(error, grpc.aio.InternalError):
            # What a write says when the caller went away while it hung: the call is cancelled, and nobody listens.
            self._count(name, "CANCELLED", started)
            raise asyncio.CancelledError from error
        if isinstance(error, grpc.aio.BaseError):
            self._count(name, "ENDED_BY_GRPC", started)
            raise error
        if isinstance(error, StoreFailed | Fenced):
            _log.error("a call failed because the store did", error=str(error))
            error = StoreUnavailable()
        if isinstance(error, ServiceError):
            self._count(name, error.grpc_code, started)
            self._meter.refused(error.reason)
            await status.abort(context, status.pack(error))
        _log.error("a call failed unexpectedly", exc_info=error)
        self._count(name, status.INTERNAL_REASON, started)
        self._meter.refused(status.INTERNAL_REASON)
        await status.abort(context, status.internal())

    def _begin(self, name: str, context: Context) -> float:
        """When, by the computer's stopwatch. From now on log lines name the call."""
        self._meter.began(name)
        structlog.contextvars.bind_contextvars(rpc=name)
        if told := request_id(context):
            structlog.contextvars.bind_contextvars(request_id=told)
        return perf_counter()

    def _count(self, name: str, outcome: str, started: float) -> None:
        took_s = perf_counter() - started
        self.ended[name, outcome] += 1
        self._meter.ended(name, outcome, took_s)
        if self._log_each:
            _log.debug("call", outcome=outcome, milliseconds=round(took_s * 1_000, 2))


async def _each(parse: Parse, requests: AsyncIterator[bytes]) -> AsyncGenerator[Message]:
    async for data in requests:
        yield parse(data)


def _is_being_cancelled() -> bool:
    """Whether this call was cancelled, by its caller or because the server stops.

    If not, a CancelledError comes from something that it waited for, and gRPC would leave the caller without an answer.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
