"""One stream of ReceiveDeliveries: takes what is due, hands it out, hears what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import structlog

from sendoff import v1
from sendoff_server import validation
from sendoff_server.callbacks.doorbell import Doorbell
from sendoff_server.callbacks.endpoint_queue import EndpointQueue
from sendoff_server.callbacks.on_the_way import OnTheWay
from sendoff_server.clock import Clock
from sendoff_server.errors import Draining, NotNow, Overloaded, StreamTooOld
from sendoff_server.store.items import NoteAttempt, Result
from sendoff_server.store.questions import Delivery

POLL_S = 1.0
GATHER_S = 0.01
"""How long a stream that was rung for waits for more, because the bell rings for all endpoints."""
PAGE = 16
"""Most deliveries that a stream takes at once, and so most runs that it holds."""
LINGER_S = 2.0
"""How long a server that drains waits for acknowledgements."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Life:
    """How long streams last."""

    max_age_s: float
    drained_at: float | None = None
    """By the stopwatch; None until the server drains."""
    sheds: int = 0
    """How often all streams that there were had to end, because memory ran out."""


class PullStream:
    """`responses` is what it hands out, while `listen` and `keep_time` run beside it."""

    def __init__(
        self, queue: EndpointQueue, on_the_way: OnTheWay, doorbell: Doorbell, clock: Clock, life: Life, most: int
    ) -> None:
        """`most` may be on the way at once."""
        self._queue = queue
        self._on_the_way = on_the_way
        self._doorbell = doorbell
        self._clock = clock
        self._life = life
        self._most = most
        self._born = clock.monotonic()
        self._sheds = life.sheds
        self._noting: set[asyncio.Future[Result]] = set()
        self._stirred: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended = False
        """Nobody acknowledges anything any more."""
        self._failure: BaseException | None = None

    # ---- hearing ----

    async def listen(self, frames: AsyncIterator[v1.ReceiveDeliveriesRequest]) -> None:
        """Take what the receiver says, until it says no more. Raises InvalidRequest."""
        async for frame in frames:
            validation.check_receipt(frame)
            if frame.WhichOneof("frame") == "nack":
                note = self._on_the_way.given_back(frame.nack.delivery_id, frame.nack.error)
            else:
                note = self._on_the_way.acknowledged(frame.ack_delivery_id)
            self._note([note] if note is not None else [])

    async def keep_time(self) -> None:
        """Take back what is not acknowledged in time, for ever."""
        while True:
            await self._clock.sleep(self._on_the_way.overdue_in_s())
            self._note(self._on_the_way.give_up_overdue())

    def end(self, helper: asyncio.Task[None]) -> None:
        """`listen` or `keep_time` has ended."""
        if not helper.cancelled():
            self._ended, self._failure = True, self._failure or helper.exception()
            self._stir()

    # ---- handing out ----

    async def responses(self) -> AsyncGenerator[v1.ReceiveDeliveriesResponse]:
        """Each made when the one before was taken. At the end all is put back, and all that was noted is durable.

        Raises what `listen` raised, what the queue does, and Draining and StreamTooOld.
        """
        await self._queue.check()
        while not self._is_over():
            ring, self._stirred = self._doorbell.next_ring(), asyncio.get_running_loop().create_future()
            await self._queue.check_now_and_then()
            claimed = await self._claim()
            for delivery, shown in zip(claimed, await self._queue.shown(claimed), strict=True):
                if shown is None:
                    self._on_the_way.forget(delivery.id)
                elif not self._ended and self._on_the_way.hand_out(delivery.id):
                    yield v1.ReceiveDeliveriesResponse(delivery=shown, run=delivery.run)
            if not claimed:
                await self._rest(ring)
        self.put_back()
        if self._noting:
            await asyncio.wait(self._noting)
        if failure := self._failure or (None if self._ended else self._reason_to_leave()):
            raise failure

    def put_back(self) -> None:
        """Have all that is on the way handed out again, by whoever asks."""
        for noting in self._note(self._on_the_way.give_up_all()):
            noting.add_done_callback(lambda _: self._doorbell.ring())

    async def _claim(self) -> list[Delivery]:
        room = min(PAGE, self._most - len(self._on_the_way) - len(self._noting))
        if room <= 0 or self._reason_to_leave() is not None:
            return []
        # What is taken must be put back, also if that turns out only when nobody waits for it any more.
        claiming = asyncio.create_task(self._queue.claim(room))
        try:
            claimed = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(self._came_too_late)
            raise
        for delivery in claimed:
            self._on_the_way.take(delivery)
        for delivery in claimed:
            self._queue.check_state(delivery.endpoint)
        return claimed

    def _came_too_late(self, claiming: asyncio.Task[list[Delivery]]) -> None:
        if not claiming.cancelled() and claiming.exception() is None:
            for delivery in claiming.result():
                self._on_the_way.take(delivery)
            self.put_back()

    async def _rest(self, ring: asyncio.Future[None]) -> None:
        """Wait until there may be something to do."""
        ring.add_done_callback(self._stir)
        try:
            await self._clock.wait(self._stirred, min(POLL_S, self._linger_left_s()))
        finally:
            ring.remove_done_callback(self._stir)
        if ring.done():
            await self._clock.sleep(GATHER_S)

    # ---- the end ----

    def _is_over(self) -> bool:
        if self._ended:
            return True
        return self._reason_to_leave() is not None and (not self._on_the_way or self._linger_left_s() <= 0)

    def _reason_to_leave(self) -> NotNow | None:
        """Why nothing more is handed out here."""
        if self._life.drained_at is not None:
            return Draining()
        if self._life.sheds != self._sheds:
            return Overloaded("its memory is nearly used up")
        return StreamTooOld() if self._clock.monotonic() - self._born >= self._life.max_age_s else None

    def _linger_left_s(self) -> float:
        """How long there may be acknowledgements. An old stream waits until all is overdue."""
        drained_at = self._life.drained_at
        return POLL_S if drained_at is None else drained_at + LINGER_S - self._clock.monotonic()

    # ---- notes ----

    def _note(self, notes: Iterable[NoteAttempt]) -> Sequence[asyncio.Future[Result]]:
        notes = list(notes)
        for note in notes:
            _log(note)
        written = [self._queue.note(note) for note in notes]
        for noting in written:
            self._noting.add(noting)
            noting.add_done_callback(self._noted)
        return written

    def _noted(self, noting: asyncio.Future[Result]) -> None:
        self._noting.discard(noting)
        self._stir()

    def _stir(self, _: object = None) -> None:
        if not self._stirred.done():
            self._stirred.set_result(None)


def _log(note: NoteAttempt) -> None:
    """A line for each delivery that was handed out. Why it came back is the receiver's own word, and is not told."""
    if note.attempt is None:
        return
    if note.attempt.error:
        log.info("callback came back", delivery_id=note.delivery_id, given_up=note.next_attempt_ns is None)
    else:
        log.debug("callback acknowledged", delivery_id=note.delivery_id)
