"""How the asyncio client calls; `caller.py` has the same for threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, Unpack

import grpc.aio

from sendoff import errors, methods
from sendoff.connection import ConnectionOptions, resolve
from sendoff.methods import Call, Req, Resp
from sendoff.paging import Item, Paging
from sendoff.receiving import Receiving
from sendoff.receiving_streams import AsyncSaid, AsyncStream
from sendoff.retry import RECONNECT, UNARY, Attempts, RetryPolicy, Timing
from sendoff.streams import AsyncWatchStream
from sendoff.tracing import trace_metadata
from sendoff.watching import Watch


class AsyncCaller:
    """A connection, and how calls are made on it: what the rooms of the asyncio client share."""

    def __init__(
        self,
        address: str | Sequence[str] | None = None,
        *,
        timeout_s: float = 10.0,
        retry: RetryPolicy = UNARY,
        reconnect: RetryPolicy = RECONNECT,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        """`address` is host:port, or whatever gRPC resolves. Unset: SENDOFF_ADDRESS, or 127.0.0.1:50051.

        All servers that a name resolves to are called in turn. So are several that are given as IP addresses and
        ports, in a sequence or with commas between; those are asked for their health too, see `health_checks`.
        """
        self.connection = resolve(address, connection)
        self._opened: grpc.aio.Channel | None = None
        self._timeout_s = timeout_s
        self._retry = retry
        self._reconnect = reconnect
        self._timing = timing
        self._sleep = sleep

    async def close(self) -> None:
        """End all calls and the connection. May be called more than once."""
        if self._opened is not None:
            await self._opened.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _channel(self) -> grpc.aio.Channel:
        if self._opened is None:
            self._opened = self.connection.open_aio()
        return self._opened

    async def _call(self, call: Call[Req, Resp], timeout_s: float | None) -> Resp:
        whole_s = self._timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(whole_s, self._retry, self._timing, repeatable=call.is_repeatable)
        while True:
            try:
                return await self._attempt(call, attempts.remaining_s())
            except errors.SendoffError as error:
                pause = attempts.pause_s(error)
            await self._sleep(pause)

    async def _attempt(self, call: Call[Req, Resp], timeout_s: float) -> Resp:
        rpc = self._channel.unary_unary(
            call.method.path, call.method.request.SerializeToString, call.method.response.FromString
        )
        try:
            return await rpc(call.request, timeout=timeout_s, metadata=self.connection.metadata + trace_metadata())
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error, self.connection.address) from error

    async def _pages(self, pages: Paging[Req, Resp, Item]) -> AsyncIterator[Item]:
        call: Call[Req, Resp] | None = pages.call()
        while call is not None:
            page = await self._call(call, None)
            for item in pages.items(page):
                yield item
            call = pages.following(call, page)

    def _subscribe(self, receiving: Receiving) -> AsyncStream:
        method, said = methods.RECEIVE_DELIVERIES, AsyncSaid()
        rpc = self._channel.stream_stream(method.path, method.request.SerializeToString, method.response.FromString)
        call = rpc(aiter(said), metadata=self.connection.metadata + trace_metadata())
        return AsyncStream(call, said, receiving, self.connection.address)

    def _open(self, watch: Watch) -> AsyncWatchStream:
        method = methods.WATCH_RUN
        rpc = self._channel.unary_stream(method.path, method.request.SerializeToString, method.response.FromString)
        metadata = self.connection.metadata + trace_metadata()
        call = rpc(watch.request(), timeout=watch.remaining_s, metadata=metadata)
        return AsyncWatchStream(call, watch, self.connection.address)
