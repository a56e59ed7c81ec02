"""One attempt at a delivery: what is sent, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from sendoff_server.callbacks import schedule
from sendoff_server.callbacks.port import Payload
from sendoff_server.callbacks.signing import Signer
from sendoff_server.clock import SECOND_NS, Clock
from sendoff_server.errors import NotFound
from sendoff_server.outgoing.port import Answer, NotAnswered, Sender
from sendoff_server.store.items import NoteAttempt
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.questions import Delivery

log = structlog.get_logger(__name__)


class Courier:
    """Goes to receivers."""

    def __init__(
        self,
        open_sender: Callable[[], Awaitable[Sender]],
        signer: Signer,
        clock: Clock,
        *,
        give_up_s: float,
        chance: Callable[[], float],
    ) -> None:
        """`open_sender` is called before the first attempt; `chance` gives numbers from 0 to 1."""
        self._open_sender = open_sender
        self._signer = signer
        self._clock = clock
        self._give_up_s = give_up_s
        self._chance = chance
        self._sender: Sender | None = None
        self._opening = asyncio.Lock()

    async def attempt(self, delivery: Delivery, payload: Payload) -> NoteAttempt:
        """Send it once; what is to be noted. Whatever goes wrong is that, and no exception."""
        begun_ns = self._clock.now_ns()
        try:
            body = await payload(delivery.run)
            sender = await self._opened()
            answer = await sender.send(delivery.url, self._headers(delivery, begun_ns, body), body)
            return self._answered(delivery, begun_ns, answer)
        except NotAnswered as failure:
            return self._failed(delivery, begun_ns, str(failure))
        except Exception as error:  # one callback that can not be sent must not keep the others from being sent
            if not isinstance(error, StoreFailed | NotFound):  # its agent may just be deleted
                log.exception("a callback can not be sent", run_id=delivery.run.id)
            return self._failed(delivery, begun_ns, "the server could not send it")

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender.close()

    async def _opened(self) -> Sender:
        async with self._opening:
            if self._sender is None:
                self._sender = await self._open_sender()
            return self._sender

    def _headers(self, delivery: Delivery, begun_ns: int, body: str) -> Mapping[str, str]:
        attempt = {"sendoff-attempt": str(delivery.attempts + 1)}
        return {**self._signer.headers(delivery.id, begun_ns, body), **attempt}

    def _answered(self, delivery: Delivery, begun_ns: int, answer: Answer) -> NoteAttempt:
        if schedule.is_delivered(answer.status):
            return NoteAttempt(delivery_id=delivery.id, attempt_ns=begun_ns, status_code=answer.status)
        told = f"the receiver answered {answer.status}"
        if schedule.is_final(answer.status):
            return NoteAttempt(delivery_id=delivery.id, attempt_ns=begun_ns, status_code=answer.status, error=told)
        retry_after_s = schedule.retry_after_s(answer.retry_after, self._clock.now_ns())
        return self._failed(delivery, begun_ns, told, answer.status, retry_after_s)

    def _failed(
        self, delivery: Delivery, begun_ns: int, error: str, status: int | None = None, retry_after_s: float = 0.0
    ) -> NoteAttempt:
        pause_s = schedule.pause_s(delivery.attempts + 1, self._chance(), retry_after_s)
        last_ns = delivery.create_ns + int(self._give_up_s * SECOND_NS)
        return NoteAttempt(
            delivery_id=delivery.id,
            attempt_ns=begun_ns,
            status_code=status,
            error=error,
            next_attempt_ns=schedule.next_attempt_ns(self._clock.now_ns(), pause_s, last_ns),
        )
