"""One stream of WatchRun, for each of the two clients, read with a limit to its silence."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc
import grpc.aio

from sendoff import errors, v1
from sendoff.watching import Watch


class Watchdog:
    """Cancels a call that has kept its reader waiting for too long; blocking gRPC has no time limit for one read.

    A thread of its own looks four times per limit, so it acts after one to one and a quarter of it. The time that
    the reader spends elsewhere does not count.
    """

    def __init__(self, limit_s: float, cancel: Callable[[], object]) -> None:
        self.has_cancelled = False
        self._limit_s = limit_s
        self._cancel = cancel
        self._waiting_since: float | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._look, name="sendoff watchdog", daemon=True).start()

    def reading(self) -> None:
        """The reader begins to wait."""
        self._waiting_since = time.monotonic()

    def read(self) -> None:
        """The reader has got something."""
        self._waiting_since = None

    def stop(self) -> None:
        """Do nothing any more."""
        self._stopped.set()

    def _look(self) -> None:
        while not self._stopped.wait(self._limit_s / 4):
            since = self._waiting_since
            if since is not None and time.monotonic() - since >= self._limit_s:
                self.has_cancelled = True
                self._cancel()
                return


class StreamingCall(Protocol):
    """A call that streams its answers; the type stubs have no public name for it."""

    def __iter__(self) -> Iterator[v1.WatchRunResponse]: ...
    def cancel(self) -> object: ...


class WatchStream:
    """A stream that ends where it is cut. Close it in any case."""

    def __init__(self, call: StreamingCall, watch: Watch, address: str) -> None:
        self.error: errors.SendoffError | None = None
        """What it ended with; None as long as it goes on, and after a clean end."""
        self._call = call
        self._frames: Iterator[v1.WatchRunResponse] = iter(call)
        self._watch = watch
        self._address = address
        self._watchdog = Watchdog(watch.silence_s, call.cancel)

    def read(self) -> v1.WatchRunResponse | None:
        """The next frame; None when there is none any more."""
        self._watchdog.reading()
        try:
            return next(self._frames, None)
        except grpc.RpcError as failed:
            silent = self._watchdog.has_cancelled
            self.error = self._watch.silent() if silent else errors.from_rpc(failed, self._address)
            return None
        finally:
            self._watchdog.read()

    def close(self) -> None:
        """Cancel it, if it still goes on."""
        self._watchdog.stop()
        self._call.cancel()


class AsyncWatchStream:
    """As WatchStream, for asyncio."""

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[Any, v1.WatchRunResponse],  # the stubs lose the request's type
        watch: Watch,
        address: str,
    ) -> None:
        self.error: errors.SendoffError | None = None
        """What it ended with; None as long as it goes on, and after a clean end."""
        self._call = call
        self._watch = watch
        self._address = address

    async def read(self) -> v1.WatchRunResponse | None:
        """The next frame; None when there is none any more."""
        try:
            frame = await asyncio.wait_for(self._call.read(), self._watch.silence_s)
        except TimeoutError:
            self.error = self._watch.silent()
        except grpc.aio.AioRpcError as failed:
            self.error = errors.from_rpc(failed, self._address)
        else:
            return frame if isinstance(frame, v1.WatchRunResponse) else None  # else it is gRPC's mark of the end
        return None

    def close(self) -> None:
        """Cancel it, if it still goes on."""
        self._call.cancel()
