"""Everything that waits to be written goes into one transaction; while that commits, the next one gathers.

A lone item is written at once. Once items come together, the next batch waits a moment for its like: a transaction
costs much the same for one item as for ten, and every one of them takes the interpreter from the event loop a dozen
times. (To see what that is worth, set GATHER_S to 0 and compare `python -m bench --only accepts`.)

Each item's result is told first to `on_result`, in the order of the batch, then to whoever waits for it. So what
follows from a commit (launching a run, waking watchers) happens even when the caller that asked for it has gone away.

When the store fails, nothing of the batch is written. Accepts are refused at once, because their callers can decide
what to do; what belongs to runs under way is kept and tried again until the store is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import NamedTuple

import structlog

from sendoff_server.clock import Clock
from sendoff_server.errors import QueueFull, StoreUnavailable
from sendoff_server.meter import UNMETERED, StoreMeter
from sendoff_server.store.items import Accept, Item, MarkCancel, NoteAct, NoteAnswers, Result
from sendoff_server.store.port import Fenced, Poisoned, Store, StoreFailed

MAX_BATCH_ITEMS = 512
MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_WAITING = 20_000
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
GATHER_S = 0.003
ENOUGH_ITEMS = 32
"""A batch that has so many waits for no more."""

log = structlog.get_logger(__name__)

Witness = Callable[[Item, Result], None]
"""Called for every item that is durable, in the context of whoever submitted it: what it logs tells who that was."""


class Waiting(NamedTuple):
    item: Item
    future: asyncio.Future[Result]
    context: Context
    """Of who submitted it."""


def unwitnessed(item: Item, result: Result) -> None:
    """Nobody looks on."""


class GroupCommit:
    """The only writer of items into a store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        on_result: Callable[[Item, Result], None],
        meter: StoreMeter = UNMETERED,
        witness: Witness = unwitnessed,
        noting: Callable[[Item], Item] = lambda item: item,
    ) -> None:
        """`noting` is given each item where it is submitted, and adds for whom that is."""
        self._noting = noting
        self._store = store
        self._meter = meter
        self._witness = witness
        self._clock = clock
        self._on_result = on_result
        self._waiting: deque[Waiting] = deque()
        self._gathered = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._failed = False
        self._enough: asyncio.Future[None] | None = None
        """Done when a gathering batch need not wait any longer."""
        self._fenced: Fenced | None = None

    @property
    def failing(self) -> bool:
        """Whether the last transaction failed and something waits for the next. With nothing waiting there is no next
        one to tell, so whether the store is back must be asked in another way."""
        return self._failed and bool(self._waiting)

    @property
    def waiting(self) -> int:
        """Items that wait to be written."""
        return len(self._waiting)

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
                self._stop_gathering()
                await asyncio.wait((writing,), timeout=10 * LONGEST_PAUSE_S)
                writing.cancel()

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Have an item written. The future is done once the item is durable; cancelling it does not take the item back.

        It raises StoreUnavailable for an accept, a cancel or answers that could not be written, Poisoned for an item
        that never can be, and Fenced for what belongs to a run under way when this replica was declared dead.
        Raises QueueFull at once when too many accepts wait.
        """
        if isinstance(item, Accept) and len(self._waiting) >= MAX_WAITING:
            raise QueueFull("the store's queue", MAX_WAITING)
        future: asyncio.Future[Result] = self._loop.create_future()
        if self._fenced is not None:
            _refuse([Waiting(item, future, copy_context())], self._fenced)
            return future
        self._waiting.append(Waiting(self._noting(item), future, copy_context()))
        self._gathered.set()
        if len(self._waiting) >= ENOUGH_ITEMS:
            self._stop_gathering()
        return future

    async def _write_forever(self) -> None:
        pause_s = FIRST_PAUSE_S
        together = False
        while not (self._closing and not self._waiting):
            if not self._waiting:
                self._gathered.clear()
                await self._gathered.wait()
                continue
            if together:
                await self._gather()
            batch = self._take()
            together = len(batch) > 1
            began_s = self._clock.monotonic()
            try:
                results = await self._store.flush([waiting.item for waiting in batch])
            except StoreFailed as failure:
                self._put_back(batch, failure)
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                together = False  # those that wait have waited long enough
                continue
            except Fenced as fenced:
                self._fenced = fenced
                _refuse([*batch, *self._waiting], fenced)
                raise
            self._meter.written(len(batch), self._clock.monotonic() - began_s)
            pause_s = FIRST_PAUSE_S
            self._failed = False
            for waiting, result in zip(batch, results, strict=True):
                self._tell(waiting, result)

    async def _gather(self) -> None:
        """Let some more items come."""
        if len(self._waiting) < ENOUGH_ITEMS and not self._closing:
            self._enough = self._loop.create_future()
            await self._clock.wait(self._enough, GATHER_S)
            self._enough = None

    def _stop_gathering(self) -> None:
        if self._enough is not None and not self._enough.done():
            self._enough.set_result(None)

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH_ITEMS and size < MAX_BATCH_BYTES:
            waiting = self._waiting.popleft()
            size += len(waiting.item.request) if isinstance(waiting.item, Accept) else 0
            batch.append(waiting)
        return batch

    def _put_back(self, batch: list[Waiting], failure: StoreFailed) -> None:
        self._failed = True
        self._meter.failed("write")
        log.error("store failed", error=str(failure), items=len(batch))
        if self._closing:
            _refuse(batch, failure)
            return
        _refuse([waiting for waiting in batch if _is_request(waiting.item)], failure)
        self._waiting.extendleft(waiting for waiting in reversed(batch) if not _is_request(waiting.item))

    def _tell(self, waiting: Waiting, result: Result | Poisoned) -> None:
        item, future, context = waiting
        if isinstance(result, Poisoned):
            log.error("item can not be written", kind=type(item).__name__, error=str(result))
            _fail([waiting], result)
            return
        context.run(self._witness, item, result)
        self._on_result(item, result)
        if not future.done():
            future.set_result(result)


def _is_request(item: Item) -> bool:
    """Whether a caller waits who can decide what to do; else it belongs to a run under way."""
    return isinstance(item, Accept | MarkCancel | NoteAnswers | NoteAct)


def _refuse(batch: list[Waiting], error: Exception) -> None:
    """Nothing of the batch was written. Callers are told in their words, runs under way in the store's."""
    _fail([waiting for waiting in batch if _is_request(waiting.item)], StoreUnavailable())
    _fail([waiting for waiting in batch if not _is_request(waiting.item)], error)


def _fail(batch: list[Waiting], error: Exception) -> None:
    for _, future, _ in batch:
        if not future.done():
            future.set_exception(error)
            future.exception()  # a caller that went away must not be reported as an exception never retrieved
