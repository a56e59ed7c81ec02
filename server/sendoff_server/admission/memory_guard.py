"""The last resort: as memory runs out, watchers are sent away, then new runs; runs under way go on.

What a process holds for watchers comes back as soon as they go, and they lose nothing, because each stream ends with
the place to go on from. Who is sent away is told when to come back. What is let in again waits for a level below the
one at which it was refused, so that a process at the brink does not flap.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum

import structlog

from sendoff_server.clock import Clock

LOOK_S = 0.25
TRIM_S = 5.0
"""Under pressure memory is given back to the system so often: what is free inside of the process counts as used."""
_log = structlog.get_logger(__name__)


class Pressure(IntEnum):
    """What is refused."""

    NONE = 0
    NO_WATCHERS = 1
    NO_ACCEPTS = 2
    """Nor watchers."""


RISES = {Pressure.NO_WATCHERS: 0.85, Pressure.NO_ACCEPTS: 0.95}
"""From this share of the limit on."""
FALLS = {Pressure.NO_WATCHERS: 0.75, Pressure.NO_ACCEPTS: 0.88}
"""Below this share no longer."""


def pressure_at(share: float, now: Pressure) -> Pressure:
    """What follows from a share of the limit that is used, after what was so until now."""
    for level in (Pressure.NO_ACCEPTS, Pressure.NO_WATCHERS):
        if share >= (FALLS if now >= level else RISES)[level]:
            return level
    return Pressure.NONE


class MemoryGuard:
    """Looks at the memory of the process four times a second."""

    def __init__(self, limit_bytes: int | None, used_bytes: Callable[[], int | None], clock: Clock) -> None:
        """Without a limit, or where nobody knows what is used, there is no pressure."""
        self._limit_bytes = limit_bytes
        self._used_bytes = used_bytes
        self._clock = clock
        self._trimmed_at_s = float("-inf")
        self.pressure = Pressure.NONE
        self.used_bytes = 0

    @property
    def limit_bytes(self) -> int | None:
        return self._limit_bytes

    @asynccontextmanager
    async def running(self, shed: Callable[[], None]) -> AsyncIterator[None]:
        """Inside the block it looks; `shed` sends watchers away."""
        if self._limit_bytes is None or self._used_bytes() is None:
            _log.info("memory is not guarded: its limit, or what is used of it, cannot be found out")
            yield
            return
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_forever(shed), name="guard memory")
            try:
                yield
            finally:
                looking.cancel()

    async def _look_forever(self, shed: Callable[[], None]) -> None:
        while True:
            self.look()
            if self.pressure > Pressure.NONE:
                shed()
                self._trim()
            await self._clock.sleep(LOOK_S)

    def look(self) -> None:
        """Find out what follows from the memory that is used now."""
        used = self._used_bytes()
        if used is None or self._limit_bytes is None:
            return
        self.used_bytes = used
        before, self.pressure = self.pressure, pressure_at(used / self._limit_bytes, self.pressure)
        if self.pressure is not before:
            tell = _log.warning if self.pressure > before else _log.info
            tell("memory pressure", pressure=self.pressure.name, used_bytes=used, limit_bytes=self._limit_bytes)

    def _trim(self) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._trimmed_at_s >= TRIM_S:
            self._trimmed_at_s = now_s
            gc.collect()
            _give_back()


def _give_back() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
