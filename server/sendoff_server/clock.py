"""Time, as a thing that tests can move."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

SECOND_NS = 1_000_000_000


class Clock(Protocol):
    """Wall clock, stopwatch and alarm of one process."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for measuring spans."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that time; at once for zero or less."""
        ...

    async def wait(self, future: asyncio.Future[Any], seconds: float) -> bool:
        """Wait for `future`, at most so long. True if it is done. The future is never cancelled."""
        ...


class SystemClock(Clock):
    """The computer's own clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    async def wait(self, future: asyncio.Future[Any], seconds: float) -> bool:
        if future.done() or seconds <= 0:
            return future.done()
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        future.add_done_callback(wake)
        alarm = loop.call_later(seconds, wake)
        try:
            await woken
        finally:
            alarm.cancel()
            future.remove_done_callback(wake)
        return future.done()


def timestamp(now_ns: int) -> Timestamp:
    """Nanoseconds since 1970 as a protobuf Timestamp, cut to microseconds, which is what the JSON door can show."""
    seconds, nanos = divmod(now_ns, SECOND_NS)
    return Timestamp(seconds=seconds, nanos=nanos - nanos % 1000)


def nanoseconds(moment: Timestamp) -> int:
    """A protobuf Timestamp as nanoseconds since 1970."""
    return moment.seconds * SECOND_NS + moment.nanos
