"""Everything that waits to be written goes into one transaction; while that commits, the next one gathers.

No timer: an idle store writes a lone item at once, a busy one writes larger batches. Each item's result is told first
to `on_result`, in the order of the batch, then to whoever waits for it. So what follows from a commit (launching a
run, waking watchers) happens even when the caller that asked for it has gone away.

When the store fails, nothing of the batch is written. Accepts are refused at once, because their callers can decide
what to do; what belongs to runs under way is kept and tried again until the store is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from sendoff_server.clock import Clock
from sendoff_server.errors import QueueFull, StoreUnavailable
from sendoff_server.store.port import Accept, Fenced, Item, MarkCancel, Poisoned, Result, Store, StoreFailed

MAX_BATCH_ITEMS = 512
MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_WAITING = 20_000
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

log = structlog.get_logger(__name__)

Waiting = tuple[Item, asyncio.Future[Result]]


class GroupCommit:
    """The only writer of items into a store."""

    def __init__(self, store: Store, clock: Clock, on_result: Callable[[Item, Result], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_result = on_result
        self._waiting: deque[Waiting] = deque()
        self._gathered = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self.failing = False
        """Whether the last transaction failed."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write inside the block; on leaving it, write what still waits, then stop."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write_forever(), name="group commit")
            try:
                yield
            finally:
                self._closing = True
                self._gathered.set()
                await asyncio.wait((writing,), timeout=10 * LONGEST_PAUSE_S)
                writing.cancel()

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Have an item written. The future is done once the item is durable; cancelling it does not take the item back.

        It raises StoreUnavailable for an accept that could not be written, and Poisoned for an item that never can be.
        Raises QueueFull at once when too many accepts wait.
        """
        if isinstance(item, Accept) and len(self._waiting) >= MAX_WAITING:
            raise QueueFull("the store's queue", MAX_WAITING)
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waiting.append((item, future))
        self._gathered.set()
        return future

    async def _write_forever(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not (self._closing and not self._waiting):
            if not self._waiting:
                self._gathered.clear()
                await self._gathered.wait()
                continue
            batch = self._take()
            try:
                results = await self._store.flush([item for item, _ in batch])
            except StoreFailed as failure:
                self._put_back(batch, failure)
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            except Fenced as fenced:
                _fail(batch, fenced)
                raise
            pause_s = FIRST_PAUSE_S
            self.failing = False
            for (item, future), result in zip(batch, results, strict=True):
                self._tell(item, future, result)

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH_ITEMS and size < MAX_BATCH_BYTES:
            waiting = self._waiting.popleft()
            size += len(waiting[0].request) if isinstance(waiting[0], Accept) else 0
            batch.append(waiting)
        return batch

    def _put_back(self, batch: list[Waiting], failure: StoreFailed) -> None:
        self.failing = True
        log.error("store failed", error=str(failure), items=len(batch))
        refused = [waiting for waiting in batch if isinstance(waiting[0], Accept | MarkCancel)]
        kept = [waiting for waiting in batch if not isinstance(waiting[0], Accept | MarkCancel)]
        _fail(refused, StoreUnavailable())
        if self._closing:
            _fail(kept, failure)
        else:
            self._waiting.extendleft(reversed(kept))

    def _tell(self, item: Item, future: asyncio.Future[Result], result: Result | Poisoned) -> None:
        if isinstance(result, Poisoned):
            log.error("item can not be written", kind=type(item).__name__, error=str(result))
            _fail([(item, future)], result)
            return
        self._on_result(item, result)
        if not future.done():
            future.set_result(result)


def _fail(batch: list[Waiting], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
            future.exception()  # a caller that went away must not be reported as an exception never retrieved
