"""A server that answers as an older one did, with the bytes that were recorded of it.

It reads requests by the contract that it knew, and so does not see what a newer caller says beyond that. A method that
was not there then is refused by gRPC itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from tests.evolution.exchanges import DETAILS, Exchange
from tests.evolution.recordings import Recording

_FREE = frozenset({"request_id", "timeout", "heartbeat_interval", "page_size", "max_unacked", "ack_timeout"})
"""What callers choose otherwise each time, without asking for something else."""
_SAME = {"until": 1, "after_sequence": 0, "conversation_id": "default"}
"""What means the same as nothing."""


class OlderServer:
    """Answers a request with what was answered to it then; the same again with the next answer, and then the last."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.address = ""
        self.unexpected: list[str] = []
        """Requests that nobody has made when it was recorded."""
        self._left = list(recording.exchanges)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = details.method.lstrip("/")
        if method not in self.recording.contract.methods:
            return None
        described = self.recording.contract.methods[method]
        if described.client_streaming:
            return grpc.stream_stream_rpc_method_handler(self._conversing(method))
        if described.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._telling(method))
        return grpc.unary_unary_rpc_method_handler(self._answering(method))

    def _answering(self, method: str) -> Callable[[bytes, Any], Any]:
        async def answer(request: bytes, context: Any) -> bytes:
            made = await self._recorded(method, request, context)
            return made.responses[0]

        return answer

    def _telling(self, method: str) -> Callable[[bytes, Any], Any]:
        async def tell(request: bytes, context: Any) -> AsyncIterator[bytes]:
            made = await self._recorded(method, request, context)
            for response in made.responses:
                yield response

        return tell

    def _conversing(self, method: str) -> Callable[[AsyncIterator[bytes], Any], Any]:
        async def converse(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            made = await self._recorded(method, await anext(requests), context)
            for response, recorded in zip(made.responses, made.requests[1:], strict=True):
                yield response
                if not self._is_same(method, await anext(requests), recorded):
                    self.unexpected.append(method)

        return converse

    async def _recorded(self, method: str, request: bytes, context: Any) -> Exchange:
        """What was answered; does not return for a refusal."""
        made = self._find(method, request)
        if made is None:
            self.unexpected.append(f"{method} {self.recording.contract.parse_request(method, request)}")
            await context.abort(grpc.StatusCode.INTERNAL, f"nobody has asked this: {self.unexpected[-1]}")
        assert made is not None  # abort does not return
        await context.send_initial_metadata(tuple(made.headers.items()))
        if not made.ok:
            await context.abort(grpc.StatusCode[made.code], "as recorded", ((DETAILS, made.details),))
        return made

    def _find(self, method: str, request: bytes) -> Exchange | None:
        for exchanges in (self._left, self.recording.exchanges[::-1]):
            for made in exchanges:
                if made.method == method and self._is_same(method, request, made.requests[0]):
                    self._left = [each for each in self._left if each is not made]
                    return made
        return None

    def _is_same(self, method: str, request: bytes, recorded: bytes) -> bool:
        parse = self.recording.contract.parse_request
        return _essence(parse(method, request)) == _essence(parse(method, recorded))


def _essence(request: Message) -> Message:
    """The request without what says nothing: it is ours to change."""
    request.DiscardUnknownFields()
    for field, value in request.ListFields():
        is_empty = isinstance(value, Message) and not _essence(value).ListFields() and not field.containing_oneof
        if is_empty or field.name in _FREE or _SAME.get(field.name) == value:
            request.ClearField(field.name)
    return request


@asynccontextmanager
async def older_server(recording: Recording) -> AsyncIterator[OlderServer]:
    """It serves inside the block, and was asked only what it was asked then."""
    older = OlderServer(recording)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([older])  # type: ignore[list-item]  # the declared type is for messages
    older.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield older
        assert not older.unexpected
    finally:
        await server.stop(None)
