"""ReceiveDeliveries: deliveries of an endpoint without a URL, handed out to whoever asks for them.

A stream takes what is due from the outbox, a few at a time and only when the one before was taken, and keeps of each
no more than its id until a note of what became of it is durable: acknowledged, given back, overdue, or put back because
the stream ended. So a process that dies at any point leaves deliveries that are due, and a receiver that does not read
holds few, and those until they are overdue.

The store gives each delivery to one stream at a time, and those of one run in order. Streams are woken by the doorbell,
and look once a second in any case.

A stream that is old, or of a server that drains, hands out nothing more and ends once nothing is on the way: by the
acknowledgements, or because they are overdue. A server that drains does not wait for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from weakref import WeakValueDictionary

from sendoff import v1
from sendoff_server import validation
from sendoff_server.admission_port import Admission
from sendoff_server.callbacks.doorbell import Doorbell
from sendoff_server.callbacks.endpoint_queue import EndpointQueue
from sendoff_server.callbacks.on_the_way import OnTheWay
from sendoff_server.callbacks.pull_stream import Life, PullStream
from sendoff_server.clock import Clock
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Store

DEFAULT_UNACKED = 100
DEFAULT_ACK_TIMEOUT_S = 60.0
SUBSCRIBE_S = 5.0
"""How long a caller may take to say what it wants."""

Frames = AsyncIterator[v1.ReceiveDeliveriesRequest]


class Pulling:
    """Hands out deliveries on streams."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        doorbell: Doorbell,
        admission: Admission,
        clock: Clock,
        *,
        give_up_s: float,
        max_stream_age_s: float,
        chance: Callable[[], float],
    ) -> None:
        """The doorbell rings when something may be due. A delivery that is given back is handed out again for
        `give_up_s`. `chance` gives numbers from 0 to 1."""
        self._store = store
        self._commits = commits
        self._doorbell = doorbell
        self._clock = clock
        self._give_up_s = give_up_s
        self._life = Life(max_stream_age_s)
        self._chance = chance
        self._admission = admission
        self._queues: WeakValueDictionary[tuple[str, str], EndpointQueue] = WeakValueDictionary()

    def drain(self) -> None:
        """Have every stream end."""
        self._life.drained_at = self._clock.monotonic()
        self._doorbell.ring()

    def shed(self) -> None:
        """Have every stream end that there is."""
        self._life.sheds += 1
        self._doorbell.ring()

    async def receive(self, tenant: str, frames: Frames) -> AsyncGenerator[v1.ReceiveDeliveriesResponse]:
        """What is due, each made when the one before was taken; ends when `frames` do. Closing the generator ends it.

        On a clean end everything that was acknowledged is durable, and the rest is put back. Raises InvalidRequest for
        a frame that breaks a rule, EndpointNotFound, EndpointHasUrl, EndpointDisabled, QuotaExceeded, and Overloaded,
        Draining and StreamTooOld, after which the caller is to come again.
        """
        with self._admission.watching(tenant):
            stream = self._stream(tenant, await self._subscribed(frames))
            async with aclosing(self._handed_out(stream, frames)) as responses:
                async for response in responses:
                    yield response

    async def _handed_out(self, stream: PullStream, frames: Frames) -> AsyncGenerator[v1.ReceiveDeliveriesResponse]:
        helpers = [asyncio.create_task(work) for work in (stream.listen(frames), stream.keep_time())]
        for helper in helpers:
            helper.add_done_callback(stream.end)
        try:
            async with aclosing(stream.responses()) as responses:
                async for response in responses:
                    yield response
        finally:
            for helper in helpers:
                helper.cancel()
            stream.put_back()

    async def _subscribed(self, frames: Frames) -> v1.ReceiveDeliveriesRequest.Subscribe:
        """What the first frame asks for. Raises InvalidRequest."""
        first = asyncio.ensure_future(anext(frames, v1.ReceiveDeliveriesRequest()))
        try:
            if not await self._clock.wait(first, SUBSCRIBE_S):
                raise InvalidRequest([Violation("subscribe", f"must come within {SUBSCRIBE_S:g} s")])
        finally:
            first.cancel()
        validation.check_subscribe(first.result())
        return first.result().subscribe

    def _stream(self, tenant: str, asked: v1.ReceiveDeliveriesRequest.Subscribe) -> PullStream:
        ack_timeout_s = DEFAULT_ACK_TIMEOUT_S
        if asked.HasField("ack_timeout"):
            ack_timeout_s = asked.ack_timeout.ToTimedelta().total_seconds()
        on_the_way = OnTheWay(self._clock, ack_timeout_s=ack_timeout_s, give_up_s=self._give_up_s, chance=self._chance)
        queue = self._queue(tenant, asked.endpoint_id)
        most = asked.max_unacked or DEFAULT_UNACKED
        return PullStream(queue, on_the_way, self._doorbell, self._clock, self._life, most)

    def _queue(self, tenant: str, endpoint_id: str) -> EndpointQueue:
        """The one that all streams of the endpoint share."""
        queue = self._queues.get((tenant, endpoint_id))
        if queue is None:
            queue = EndpointQueue(self._store, self._commits, self._clock, tenant, endpoint_id)
            self._queues[tenant, endpoint_id] = queue
        return queue
