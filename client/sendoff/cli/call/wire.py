"""Makes one call of any kind: of one request or a stream of them, with one answer or a stream of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from sendoff import errors
from sendoff.cli.call.contract import Rpc
from sendoff.connection import Connection
from sendoff.retry import UNARY, Attempts, Timing
from sendoff.tracing import trace_metadata

Headers: TypeAlias = Sequence[tuple[str, str]]
Heard: TypeAlias = Callable[[Headers], None]
"""Told the headers of the answer, before the answer."""


class Wire:
    """A connection to the server for calls that are known by their descriptors."""

    def __init__(self, connection: Connection, channel: grpc.Channel, sent: Headers, heard: Heard) -> None:
        self._address = connection.address
        self._channel = channel
        self._metadata = (*connection.metadata, *trace_metadata(), *sent)
        self._heard = heard

    def ask(self, rpc: Rpc, request: Message, timeout_s: float) -> Message:
        """One request, one answer; repeated where the contract allows, within that time."""
        call = self._channel.unary_unary(rpc.path, rpc.request.SerializeToString, rpc.response.FromString)
        attempts = Attempts(timeout_s, UNARY, Timing(), repeatable=rpc.is_repeatable(request))
        while True:
            try:
                with self._mapped():
                    answer, made = call.with_call(request, timeout=attempts.remaining_s(), metadata=self._metadata)
                    self._tell(made.initial_metadata())
                    return answer
            except errors.SendoffError as error:
                pause_s = attempts.pause_s(error)
            time.sleep(pause_s)

    def stream(self, rpc: Rpc, requests: Iterable[Message]) -> Generator[Message, None, None]:
        """Answers as they come, with no limit of time. Ends the call when it is closed.

        Of an RPC that takes one request, the first is it. What goes wrong in `requests` comes out here.
        """
        said = _Said(requests)
        call = self._open(rpc, said)
        try:
            with self._mapped():
                for number, answer in enumerate(call):
                    if number == 0:
                        self._tell(call.initial_metadata())
                    yield answer
        except errors.SendoffError:
            if said.failure is None:
                raise
        finally:
            call.cancel()
        if said.failure is not None:
            raise said.failure

    def _open(self, rpc: Rpc, said: _Said) -> Any:
        """The call; its answers are read as a stream, also where there is but one, which is the same to HTTP/2."""
        to_bytes, from_bytes = rpc.request.SerializeToString, rpc.response.FromString
        if rpc.method.client_streaming:
            return self._channel.stream_stream(rpc.path, to_bytes, from_bytes)(said, metadata=self._metadata)
        return self._channel.unary_stream(rpc.path, to_bytes, from_bytes)(next(said), metadata=self._metadata)

    def _tell(self, headers: Any) -> None:
        self._heard([(key, str(value)) for key, value in headers or ()])

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise errors.from_rpc(error, self._address) from error


class _Said:
    """Requests on their way. gRPC takes them in a thread of its own, where nobody sees what goes wrong with them."""

    def __init__(self, requests: Iterable[Message]) -> None:
        self.failure: Exception | None = None
        self._requests = iter(requests)

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            return next(self._requests)
        except StopIteration:
            raise
        except Exception as failure:
            self.failure = failure
            raise StopIteration from failure
