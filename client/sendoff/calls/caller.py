"""How the blocking client calls; `async_caller.py` has the same for asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self, Unpack

import grpc

from sendoff import errors, methods
from sendoff.connection import ConnectionOptions, resolve
from sendoff.methods import Call, Req, Resp
from sendoff.paging import Item, Paging
from sendoff.receiving import Receiving
from sendoff.receiving_streams import BlockingStream, Said
from sendoff.retry import RECONNECT, UNARY, Attempts, RetryPolicy, Timing
from sendoff.streams import WatchStream
from sendoff.tracing import trace_metadata
from sendoff.watching import Watch


class Caller:
    """A connection, and how calls are made on it: what the rooms of the blocking client share."""

    def __init__(
        self,
        address: str | Sequence[str] | None = None,
        *,
        timeout_s: float = 10.0,
        retry: RetryPolicy = UNARY,
        reconnect: RetryPolicy = RECONNECT,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        sleep: Callable[[float], None] = time.sleep,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        """`address` is host:port, or whatever gRPC resolves. Unset: SENDOFF_ADDRESS, or 127.0.0.1:50051.

        All servers that a name resolves to are called in turn. So are several that are given as IP addresses and
        ports, in a sequence or with commas between; those are asked for their health too, see `health_checks`.
        """
        self.connection = resolve(address, connection)
        self._channel = self.connection.open()
        self._timeout_s = timeout_s
        self._retry = retry
        self._reconnect = reconnect
        self._timing = timing
        self._sleep = sleep

    def close(self) -> None:
        """End all calls and the connection. May be called more than once."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, call: Call[Req, Resp], timeout_s: float | None) -> Resp:
        whole_s = self._timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(whole_s, self._retry, self._timing, repeatable=call.is_repeatable)
        while True:
            try:
                return self._attempt(call, attempts.remaining_s())
            except errors.SendoffError as error:
                pause = attempts.pause_s(error)
            self._sleep(pause)

    def _attempt(self, call: Call[Req, Resp], timeout_s: float) -> Resp:
        rpc = self._channel.unary_unary(
            call.method.path, call.method.request.SerializeToString, call.method.response.FromString
        )
        try:
            return rpc(call.request, timeout=timeout_s, metadata=self.connection.metadata + trace_metadata())
        except grpc.RpcError as error:
            raise errors.from_rpc(error, self.connection.address) from error

    def _pages(self, pages: Paging[Req, Resp, Item]) -> Iterator[Item]:
        call: Call[Req, Resp] | None = pages.call()
        while call is not None:
            page = self._call(call, None)
            yield from pages.items(page)
            call = pages.following(call, page)

    def _subscribe(self, receiving: Receiving) -> BlockingStream:
        method, said = methods.RECEIVE_DELIVERIES, Said()
        rpc = self._channel.stream_stream(method.path, method.request.SerializeToString, method.response.FromString)
        call = rpc(iter(said), metadata=self.connection.metadata + trace_metadata())
        return BlockingStream(call, said, receiving, self.connection.address)

    def _open(self, watch: Watch) -> WatchStream:
        method = methods.WATCH_RUN
        rpc = self._channel.unary_stream(method.path, method.request.SerializeToString, method.response.FromString)
        metadata = self.connection.metadata + trace_metadata()
        call = rpc(watch.request(), timeout=watch.remaining_s, metadata=metadata)
        return WatchStream(call, watch, self.connection.address)
