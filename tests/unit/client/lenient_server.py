"""A server that answers every RPC there is, or will be: with nothing in particular unless it is told what to say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from sendoff import methods
from sendoff.cli.call.contract import Rpc, rpcs

_KINDS: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class LenientServer:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[tuple[str, Message]] = []
        """Service/Method, and a request; of a stream of requests each is kept."""
        self.metadata: list[dict[str, Any]] = []
        self.headers: tuple[tuple[str, str], ...] = ()
        """What stands before its answers."""
        self._answers: dict[str, list[Message]] = {}

    def answer(self, rpc: str, *answers: Message) -> None:
        """What is answered to Service/Method, always; several only to an RPC that streams."""
        self._answers[rpc] = list(answers)

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        served: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {"grpc.health.v1.Health": {"Check": _health()}}
        for rpc in rpcs().values():
            _, service, name = rpc.path.split("/")
            served.setdefault(service, {})[name] = self._handler(rpc)
        return [grpc.method_handlers_generic_handler(name, handlers) for name, handlers in served.items()]

    def _handler(self, rpc: Rpc) -> grpc.RpcMethodHandler[Any, Any]:
        async def unary(request: Message, context: Any) -> Message:
            await self._note(rpc, context)
            self.asked.append((rpc.name, request))
            return self._planned(rpc)[0]

        async def stream(request: Message, context: Any) -> AsyncIterator[Message]:
            await self._note(rpc, context)
            self.asked.append((rpc.name, request))
            for answer in self._planned(rpc):
                yield answer

        async def both(requests: AsyncIterator[Message], context: Any) -> AsyncIterator[Message]:
            await self._note(rpc, context)
            async for request in requests:
                self.asked.append((rpc.name, request))
                for answer in self._planned(rpc):
                    yield answer

        behaviour: Any = both if rpc.method.client_streaming else stream if rpc.method.server_streaming else unary
        return _KINDS[rpc.method.client_streaming, rpc.method.server_streaming](
            behaviour, rpc.request.FromString, rpc.response.SerializeToString
        )

    def _planned(self, rpc: Rpc) -> list[Message]:
        return self._answers.get(rpc.name) or [something(rpc)]

    async def _note(self, rpc: Rpc, context: Any) -> None:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.headers:
            await context.send_initial_metadata(self.headers)


def something(rpc: Rpc) -> Message:
    """An answer that says nothing; where it is a list, one that has one thing in it."""
    answer = rpc.response()
    for field in rpc.method.output_type.fields:
        if field.is_repeated and field.message_type is not None and not field.message_type.GetOptions().map_entry:
            getattr(answer, field.name).add()
    return answer


def _health() -> grpc.RpcMethodHandler[Any, Any]:
    async def check(_request: Any, _context: Any) -> Any:
        return methods.CHECK_HEALTH.response(value=methods.HEALTH_SERVING)

    kind = methods.CHECK_HEALTH
    return grpc.unary_unary_rpc_method_handler(check, kind.request.FromString, kind.response.SerializeToString)


@asynccontextmanager
async def lenient() -> AsyncIterator[LenientServer]:
    """One on a port of its own."""
    made = LenientServer()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(made.handlers()))
    made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield made
    finally:
        await server.stop(None)
