"""An outbox in memory, and a receiver that pulls from it: for tests that hold time in their hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import cast

from sendoff import v1
from sendoff_server import ids
from sendoff_server.callbacks.doorbell import Doorbell
from sendoff_server.callbacks.pulling import Pulling
from sendoff_server.clock import SECOND_NS
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import AttemptNoted, NoteAttempt, Result
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import RUN_FINISHED, Delivery, Endpoint
from tests.fixtures.admission import AllAdmitted
from tests.fixtures.clock import ManualClock

ENDPOINT_ID = "endpoint-0199c3f0-0000-4000-8000-000000000001"
GIVE_UP_S = 72 * 3_600.0
MAX_AGE_S = 3_600.0
PATIENCE_S = 10.0


class Outbox:
    """What a store does with pulled deliveries, and the group commit with their notes."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.endpoint_now: v1.CallbackEndpoint | None = v1.CallbackEndpoint(id=ENDPOINT_ID)
        self.due: dict[str, tuple[Delivery, int]] = {}
        """With the time from which on."""
        self.held: dict[str, Delivery] = {}
        self.most_held = 0
        self.claims = 0
        self.notes: list[NoteAttempt] = []
        self.claiming: asyncio.Event | None = None
        """Claims wait for it, if set, after they have taken."""
        self.writing: asyncio.Event | None = None
        """Notes wait for it, if set."""

    def put(self, count: int = 1, **fields: int) -> list[str]:
        """So many new ones, due now."""
        made = [self._new(**fields) for _ in range(count)]
        self.due.update((each.id, (each, self.clock.now_ns())) for each in made)
        return [each.id for each in made]

    def _new(self, **fields: int) -> Delivery:
        run = v1.Run(id=ids.new("run"))
        plain = Delivery(
            id=ids.new("delivery"),
            tenant=DEFAULT_TENANT,
            kind=RUN_FINISHED,
            sequence=7,
            run=run,
            url="",
            receiver="",
            endpoint=None,
            signed_by=None,
            create_ns=self.clock.now_ns(),
            attempts=0,
        )
        return replace(plain, **fields)  # type: ignore[arg-type]  # numbers only

    # ---- the store ----

    async def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        assert (tenant, endpoint_id) == (DEFAULT_TENANT, ENDPOINT_ID)
        return None if self.endpoint_now is None else Endpoint(self.endpoint_now, ())

    async def claim_pulled(self, tenant: str, endpoint_id: str, now_ns: int, limit: int) -> list[Delivery]:
        assert (tenant, endpoint_id) == (DEFAULT_TENANT, ENDPOINT_ID)
        self.claims += 1
        taken = [delivery for delivery, due_ns in self.due.values() if due_ns <= now_ns][:limit]
        seen = None if self.endpoint_now is None else Endpoint(self.endpoint_now, ())
        taken = [replace(delivery, endpoint=seen) for delivery in taken]
        for delivery in taken:
            del self.due[delivery.id]
            self.held[delivery.id] = delivery
        self.most_held = max(self.most_held, len(self.held))
        if self.claiming is not None:
            await self.claiming.wait()
        return taken

    async def delivery(self, tenant: str, delivery_id: str) -> v1.Delivery | None:
        held = self.held.get(delivery_id)
        return None if held is None else v1.Delivery(id=held.id, run_id=held.run.id, attempt_count=held.attempts)

    # ---- the group commit ----

    def submit(self, note: NoteAttempt) -> asyncio.Future[Result]:
        return asyncio.ensure_future(self._write(note))

    async def _write(self, note: NoteAttempt) -> Result:
        if self.writing is not None:
            await self.writing.wait()
        self.notes.append(note)
        held = self.held.pop(note.delivery_id, None)
        if held is not None and note.next_attempt_ns is not None:
            again = replace(held, attempts=held.attempts + (note.attempt is not None))
            self.due[held.id] = (again, note.next_attempt_ns)
        return AttemptNoted(held is not None)

    def noted(self) -> list[tuple[str, str, float | None]]:
        """Id, error, and after how many seconds from now it is due again, of each note."""
        now_ns = self.clock.now_ns()
        return [
            (
                each.delivery_id,
                each.attempt.error if each.attempt is not None else each.error,
                None if each.next_attempt_ns is None else (each.next_attempt_ns - now_ns) / SECOND_NS,
            )
            for each in self.notes
        ]


class Desk:
    """An outbox and who hands out of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.outbox = Outbox(self.clock)
        self.doorbell = Doorbell()
        self.pulling = Pulling(
            cast(Store, self.outbox),
            cast(GroupCommit, self.outbox),
            self.doorbell,
            AllAdmitted(),
            self.clock,
            give_up_s=GIVE_UP_S,
            max_stream_age_s=MAX_AGE_S,
            chance=lambda: 0.5,
        )
        self.receivers: list[Receiver] = []

    async def close(self) -> None:
        """Have every receiver go away."""
        for receiver in self.receivers:
            await receiver.gone()

    def put(self, count: int = 1, **fields: int) -> list[str]:
        """So many new deliveries, and a ring."""
        made = self.outbox.put(count, **fields)
        self.doorbell.ring()
        return made


class Receiver:
    """One stream. What it was handed is in `got`, how it ended in `ended`."""

    def __init__(self, desk: Desk, *frames: v1.ReceiveDeliveriesRequest) -> None:
        self.said: asyncio.Queue[v1.ReceiveDeliveriesRequest | None] = asyncio.Queue()
        self.got: list[v1.ReceiveDeliveriesResponse] = []
        for frame in frames:
            self.said.put_nowait(frame)
        self.responses = desk.pulling.receive(DEFAULT_TENANT, self._frames())
        self.ended = asyncio.ensure_future(self._read())
        desk.receivers.append(self)

    async def _frames(self) -> AsyncGenerator[v1.ReceiveDeliveriesRequest]:
        while (frame := await self.said.get()) is not None:
            yield frame

    async def _read(self) -> None:
        try:
            async for response in self.responses:
                self.got.append(response)
        finally:
            await self.responses.aclose()

    @property
    def ids(self) -> list[str]:
        return [each.delivery.id for each in self.got]

    def ack(self, delivery_id: str) -> None:
        self.said.put_nowait(v1.ReceiveDeliveriesRequest(ack_delivery_id=delivery_id))

    def nack(self, delivery_id: str, error: str = "") -> None:
        nack = v1.ReceiveDeliveriesRequest.Nack(delivery_id=delivery_id, error=error)
        self.said.put_nowait(v1.ReceiveDeliveriesRequest(nack=nack))

    def say_no_more(self) -> None:
        self.said.put_nowait(None)

    async def gone(self) -> None:
        """Go away without a word."""
        self.ended.cancel()
        await asyncio.wait((self.ended,))


def subscribe(max_unacked: int = 0, ack_timeout_s: int | None = None) -> v1.ReceiveDeliveriesRequest:
    asked = v1.ReceiveDeliveriesRequest.Subscribe(endpoint_id=ENDPOINT_ID, max_unacked=max_unacked)
    if ack_timeout_s is not None:
        asked.ack_timeout.FromSeconds(ack_timeout_s)
    return v1.ReceiveDeliveriesRequest(subscribe=asked)


async def settled() -> None:
    """Return when nothing goes on that waits for neither time nor the test."""
    for _ in range(100):
        await asyncio.sleep(0)


async def frames_of(*frames: v1.ReceiveDeliveriesRequest) -> AsyncIterator[v1.ReceiveDeliveriesRequest]:
    """These, and then a caller that stays."""
    for frame in frames:
        yield frame
    await asyncio.Event().wait()
