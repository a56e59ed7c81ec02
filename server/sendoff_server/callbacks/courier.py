"""One attempt at a delivery: what is sent, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog

from sendoff import v1
from sendoff_server import ids
from sendoff_server.callbacks import schedule
from sendoff_server.callbacks.port import Payload
from sendoff_server.callbacks.secrets import EndpointSecrets
from sendoff_server.callbacks.signing import Signer
from sendoff_server.clock import SECOND_NS, Clock, timestamp
from sendoff_server.errors import NotFound
from sendoff_server.outgoing.port import Answer, NotAnswered, Sender
from sendoff_server.store.items import NoteAttempt
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.questions import Delivery, Endpoint
from sendoff_server.tracer import NO_TRACER, Tracer

DISABLED = "the endpoint is disabled"
UNSIGNED = "the endpoint whose secrets were to sign is deleted"
GONE = "the receiver answered 410"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a delivery that was taken."""

    note: NoteAttempt
    receiver_is_well: bool | None
    """None: nothing was learned about it."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """An attempt, and what its answer asks for."""

    attempt: v1.DeliveryAttempt
    retry_after_s: float = 0.0
    reached: bool = True
    """False: the server itself could not send it."""


class Courier:
    """Goes to receivers."""

    def __init__(
        self,
        open_sender: Callable[[], Awaitable[Sender]],
        signer: Signer,
        clock: Clock,
        *,
        secrets: EndpointSecrets,
        give_up_s: float,
        chance: Callable[[], float],
        tracer: Tracer = NO_TRACER,
    ) -> None:
        """`open_sender` is called before the first attempt; `chance` gives numbers from 0 to 1."""
        self._open_sender = open_sender
        self._signer = signer
        self._secrets = secrets
        self._clock = clock
        self._give_up_s = give_up_s
        self._chance = chance
        self._tracer = tracer
        self._sender: Sender | None = None
        self._opening = asyncio.Lock()

    async def attempt(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Send it once, unless it is to be sent no more. Whatever goes wrong is the outcome, and no exception."""
        if refusal := _refusal(delivery):
            return Outcome(NoteAttempt(delivery_id=delivery.id, attempt=None, error=refusal), None)

        async def body() -> str:
            return await payload(delivery)

        extra = {"sendoff-attempt": str(delivery.attempts + 1)}
        signer = partial(self._signer_of, delivery.tenant, delivery.signed_by)
        with self._tracer.delivering(delivery.run, delivery.id, delivery.attempts + 1):
            tried = await self._try(delivery.url, delivery.id, signer, body, extra)
        note = replace(self._note(delivery, tried), since_ns=delivery.create_ns)
        return Outcome(note, _is_well(tried))

    async def try_endpoint(self, tenant: str, endpoint: Endpoint, body: str) -> v1.DeliveryAttempt:
        """Send something to an endpoint that has a URL, once, whether it is disabled or not. Never raises."""

        async def made() -> str:
            return body

        signer = partial(self._signer_of, tenant, endpoint)
        tried = await self._try(endpoint.told.url, ids.new("delivery"), signer, made, {"sendoff-attempt": "1"})
        return tried.attempt

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender.close()

    # ---- sending ----

    async def _try(
        self,
        url: str,
        delivery_id: str,
        signer_at: Callable[[int], Signer],
        make_body: Callable[[], Awaitable[str]],
        extra: Mapping[str, str],
    ) -> _Tried:
        begun_ns, begun_s = self._clock.now_ns(), self._clock.monotonic()
        attempt = v1.DeliveryAttempt(start_time=timestamp(begun_ns))
        try:
            body = await make_body()
            sender = await self._opened()
            headers = signer_at(begun_ns).headers(delivery_id, begun_ns, body)
            answer = await sender.send(url, {**headers, **extra}, body)
            return _Tried(_answered(attempt, answer), schedule.retry_after_s(answer.retry_after, self._clock.now_ns()))
        except NotAnswered as failure:
            attempt.error = str(failure)
            return _Tried(attempt)
        except Exception as error:  # one callback that can not be sent must not keep the others from being sent
            if not isinstance(error, StoreFailed | NotFound):  # its agent may just be deleted
                log.exception("a callback can not be sent", delivery=delivery_id)
            attempt.error = "the server could not send it"
            return _Tried(attempt, reached=False)
        finally:
            attempt.duration_ns = int((self._clock.monotonic() - begun_s) * SECOND_NS)

    async def _opened(self) -> Sender:
        async with self._opening:
            if self._sender is None:
                self._sender = await self._open_sender()
            return self._sender

    def _signer_of(self, tenant: str, endpoint: Endpoint | None, now_ns: int) -> Signer:
        return self._signer if endpoint is None else Signer(self._secrets.signing(tenant, endpoint, now_ns))

    # ---- what is noted ----

    def _note(self, delivery: Delivery, tried: _Tried) -> NoteAttempt:
        attempt = tried.attempt
        if not attempt.error:
            return NoteAttempt(delivery_id=delivery.id, attempt=attempt)
        if schedule.is_final(attempt.status_code):
            disables = GONE if delivery.endpoint is not None else ""
            return NoteAttempt(delivery_id=delivery.id, attempt=attempt, disables=disables, url=delivery.url)
        pause_s = schedule.pause_s(delivery.attempts + 1, self._chance(), tried.retry_after_s)
        last_ns = delivery.create_ns + int(self._give_up_s * SECOND_NS)
        next_ns = schedule.next_attempt_ns(self._clock.now_ns(), pause_s, last_ns)
        return NoteAttempt(delivery_id=delivery.id, attempt=attempt, next_attempt_ns=next_ns)


def _refusal(delivery: Delivery) -> str:
    """Why nothing may be sent; empty for no reason."""
    if delivery.endpoint is not None:
        return DISABLED if delivery.endpoint.told.disabled else ""
    return UNSIGNED if delivery.run.callback.HasField("secret_id") and delivery.signed_by is None else ""


def _answered(attempt: v1.DeliveryAttempt, answer: Answer) -> v1.DeliveryAttempt:
    attempt.status_code = answer.status
    if not schedule.is_delivered(answer.status):
        attempt.error = f"the receiver answered {answer.status}"
        attempt.response_excerpt = answer.excerpt
    return attempt


def _is_well(tried: _Tried) -> bool | None:
    """One that wants no more is not ill."""
    if not tried.reached or schedule.is_final(tried.attempt.status_code):
        return None
    return not tried.attempt.error
