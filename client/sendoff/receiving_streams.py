"""One stream of ReceiveDeliveries, for each of the two clients.

Both end in the same way: nothing more is said, then the server, once all that was said is durable, ends the stream. Who
would wait longer than CLOSE_S for that cancels it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import grpc
import grpc.aio

from sendoff import errors, v1
from sendoff.receiving import Receiving

CLOSE_S = 5.0
_LOOK_S = 0.2


class StreamingCall(Protocol):
    """A call that streams its answers; the type stubs have no public name for it."""

    def __iter__(self) -> Iterator[v1.ReceiveDeliveriesResponse]: ...
    def cancel(self) -> object: ...


class Said:
    """What a blocking call is to send, for gRPC's thread to take."""

    def __init__(self) -> None:
        self._frames: SimpleQueue[v1.ReceiveDeliveriesRequest | None] = SimpleQueue()

    def say(self, frame: v1.ReceiveDeliveriesRequest) -> None:
        self._frames.put(frame)

    def end(self) -> None:
        self._frames.put(None)

    def __iter__(self) -> Iterator[v1.ReceiveDeliveriesRequest]:
        return iter(self._frames.get, None)


class BlockingStream:
    """A stream that ends where it is cut. Close it in any case."""

    def __init__(self, call: StreamingCall, said: Said, receiving: Receiving, address: str) -> None:
        self.error: errors.SendoffError | None = None
        """What it ended with; None as long as it goes on, and after a clean end."""
        self._call = call
        self._said = said
        self._address = address
        self._arrived: SimpleQueue[v1.ReceiveDeliveriesResponse | None] = SimpleQueue()
        """As many as may be unacknowledged, then None at the end."""
        self._ended = False
        receiving.begin(said.say)
        threading.Thread(target=self._take, name="receive deliveries", daemon=True).start()

    def _take(self) -> None:
        """In a thread of its own: Ctrl-C in the midst of gRPC's reading could leave its locks taken for ever."""
        try:
            for response in self._call:
                self._arrived.put(response)
        except grpc.RpcError as failed:
            self.error = errors.from_rpc(failed, self._address)
        finally:
            self._arrived.put(None)

    def read(self) -> v1.ReceiveDeliveriesResponse | None:
        """The next response; None when there is none any more."""
        response = None if self._ended else self._next()
        self._ended = response is None
        return response

    def _next(self) -> v1.ReceiveDeliveriesResponse | None:
        while True:  # a signal that another thread was given is noticed by this one when it wakes
            with suppress(Empty):
                return self._arrived.get(timeout=_LOOK_S)

    def close(self) -> None:
        """End it, if it still goes on."""
        self._said.end()
        too_long = threading.Timer(CLOSE_S, self._call.cancel)
        too_long.daemon = True
        too_long.start()
        try:
            while not self._ended:
                self.read()
        finally:
            too_long.cancel()
            self._call.cancel()


class AsyncSaid:
    """What a call of asyncio is to send."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[v1.ReceiveDeliveriesRequest | None] = asyncio.Queue()

    def say(self, frame: v1.ReceiveDeliveriesRequest) -> None:
        self._frames.put_nowait(frame)

    def end(self) -> None:
        self._frames.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[v1.ReceiveDeliveriesRequest]:
        while (frame := await self._frames.get()) is not None:
            yield frame


class AsyncStream:
    """As BlockingStream."""

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[Any, v1.ReceiveDeliveriesResponse],  # the stubs lose the request's type
        said: AsyncSaid,
        receiving: Receiving,
        address: str,
    ) -> None:
        self.error: errors.SendoffError | None = None
        self._call = call
        self._said = said
        self._address = address
        self._ended = False
        self._reading: asyncio.Future[Any] | None = None
        receiving.begin(said.say)

    async def read(self) -> v1.ReceiveDeliveriesResponse | None:
        """The next response; None when there is none any more."""
        # gRPC cancels a call whose reader is cancelled, and what was said last would be lost with it.
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        await asyncio.wait((self._reading,))
        reading, self._reading = self._reading, None
        try:
            response = reading.result()
        except grpc.aio.AioRpcError as failed:
            self.error = errors.from_rpc(failed, self._address)
            response = None
        if isinstance(response, v1.ReceiveDeliveriesResponse):
            return response
        self._ended = True  # else it is gRPC's mark of the end
        return None

    async def close(self) -> None:
        """End it, if it still goes on."""
        self._said.end()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    while not self._ended:
                        await self.read()
        finally:
            self._call.cancel()
            if self._reading is not None:  # it ends with the call
                await asyncio.gather(self._reading, return_exceptions=True)
