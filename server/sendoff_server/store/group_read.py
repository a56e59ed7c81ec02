"""Many callers, one hop into the reader thread: what is asked while a read is under way goes into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class GroupRead(Generic[K, V]):
    """Answers `get` by `read`, which is started with all keys that are waiting. A cancelled caller disturbs nobody."""

    def __init__(self, read: Callable[[Iterable[K]], asyncio.Future[Mapping[K, V]]]) -> None:
        self._read = read
        self._waiting: list[tuple[Iterable[K], asyncio.Future[Mapping[K, V]]]] = []
        self._reading = False

    async def get(self, keys: Iterable[K]) -> Mapping[K, V]:
        """Values of at least these keys, as of now or later; a key without a value is missing."""
        future: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, future))
        if not self._reading:
            self._start()
        return await future

    def _start(self) -> None:
        served, self._waiting = self._waiting, []
        self._reading = True
        reading = self._read([key for keys, _ in served for key in keys])
        reading.add_done_callback(lambda done: self._finish(done, [future for _, future in served]))

    def _finish(self, done: asyncio.Future[Mapping[K, V]], futures: Iterable[asyncio.Future[Mapping[K, V]]]) -> None:
        self._reading = False
        error = None if done.cancelled() else done.exception()
        for future in futures:
            if future.done():
                continue
            if done.cancelled():
                future.cancel()
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(done.result())
        if self._waiting:
            self._start()
