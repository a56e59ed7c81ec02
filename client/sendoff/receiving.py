"""Receives the deliveries of an endpoint over as many streams as it takes, as if it were one.

A stream of ReceiveDeliveries can be cut at any point, and with it the acknowledgements on the way. What was not
acknowledged comes again on the next stream; what was is acknowledged again without being handed on once more.
`Receiving` decides that, is fed with what streams bring, and does no input or output; the two clients drive it:

    while True:
        open a stream with receiving.begin(how to say a frame)
        hand on what receiving.take(response) returns
        wait receiving.pause_s(error or None)
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias, TypedDict

import grpc
from google.protobuf.duration_pb2 import Duration

from sendoff import v1
from sendoff.errors import SendoffError, Unavailable
from sendoff.retry import Backoff, RetryPolicy, Timing
from sendoff.watching import is_cut

DEFAULT_UNACKED = 10
_NACK_CHARACTERS = 500
_REMEMBERED = 10_000
_LASTED_S = 10.0
"""A stream that has lasted so long had worked, though it brought nothing."""

Say: TypeAlias = Callable[[v1.ReceiveDeliveriesRequest], None]
"""Sends a frame, or does nothing once the stream is over."""


class ReceiveOptions(TypedDict, total=False):
    """How deliveries are handed out; all are optional. See ReceiveDeliveriesRequest."""

    max_unacked: int
    """Most deliveries that are here and not acknowledged, those among them that wait for the loop to come to them.
    10 unless told; 1000 at most."""
    ack_timeout_s: float
    """What is not acknowledged so long after the server has sent it comes again, here or elsewhere. 60 unless told."""


class Received:
    """A delivery. It comes again, here or elsewhere, unless it is acknowledged."""

    def __init__(self, response: v1.ReceiveDeliveriesResponse, settle: Callable[[str, str | None], None]) -> None:
        self.delivery = response.delivery
        """What is told, and how often it was tried before. Its id is the same each time."""
        self.run = response.run
        """The run that it tells of, as it was when the delivery was handed out."""
        self._settle = settle
        self._settled = False

    def ack(self) -> None:
        """Say that it was handled, and is not to come again. Returns at once, from any thread; of `ack` and `nack` only
        the first call counts. Should it be lost with the stream, it is sent again when the delivery comes again."""
        self._settle_once(None)

    def nack(self, error: str = "") -> None:
        """Give it back: it comes again after a pause that grows each time, and is given up in the end. `error` is shown
        by the delivery, its first 500 characters."""
        self._settle_once(error)

    def _settle_once(self, error: str | None) -> None:
        if not self._settled:
            self._settled = True
            self._settle(self.delivery.id, error)


class Receiving:
    """Where the receiving of one endpoint's deliveries stands."""

    def __init__(
        self,
        endpoint_id: str,
        options: ReceiveOptions,
        *,
        connect: RetryPolicy,
        reconnect: RetryPolicy,
        timing: Timing,
    ) -> None:
        self._endpoint_id = endpoint_id
        self._max_unacked = options.get("max_unacked", DEFAULT_UNACKED)
        self._ack_timeout_s = options.get("ack_timeout_s")
        self._backoff = Backoff(connect, timing.draw)
        self._reconnect = reconnect
        self._monotonic = timing.monotonic
        self._began_s = 0.0
        self._say: Say = lambda _: None
        self._acked: OrderedDict[str, None] = OrderedDict()
        """The last ones that were acknowledged."""
        self._lock = threading.Lock()

    def begin(self, say: Say) -> None:
        """A stream is open, and frames are said so: the first is said now."""
        self._began_s = self._monotonic()
        asked = v1.ReceiveDeliveriesRequest.Subscribe(endpoint_id=self._endpoint_id, max_unacked=self._max_unacked)
        if self._ack_timeout_s is not None:
            timeout = Duration()
            timeout.FromNanoseconds(round(self._ack_timeout_s * 1e9))
            asked.ack_timeout.CopyFrom(timeout)
        say(v1.ReceiveDeliveriesRequest(subscribe=asked))
        self._say = say

    def take(self, response: v1.ReceiveDeliveriesResponse) -> Received | None:
        """What to hand on of it, if anything."""
        self._worked()
        if self._has_lost_ack(response.delivery):
            self._settle(response.delivery.id, None)
            return None
        self._acked.pop(response.delivery.id, None)
        return Received(response, self._settle)

    def pause_s(self, error: SendoffError | None) -> float:
        """The stream is at its end, with an error or without: how long to wait before the next.

        Raises the error when another stream would not help, or when too many in a row were cut at once.
        """
        if error is not None and not is_cut(error):
            raise error
        if self._monotonic() - self._began_s >= _LASTED_S or (error is not None and error.reason == "STREAM_TOO_OLD"):
            self._worked()
        return self._backoff.pause_s(error or _cut_short(self._endpoint_id))

    def _has_lost_ack(self, delivery: v1.Delivery) -> bool:
        """Whether it was acknowledged here, and comes again because the server does not know. One that somebody has
        had sent again tells that its last attempt succeeded."""
        return delivery.id in self._acked and not (delivery.attempts and not delivery.attempts[-1].error)

    def _settle(self, delivery_id: str, error: str | None) -> None:
        if error is not None:
            nack = v1.ReceiveDeliveriesRequest.Nack(delivery_id=delivery_id, error=error[:_NACK_CHARACTERS])
            self._say(v1.ReceiveDeliveriesRequest(nack=nack))
            return
        with self._lock:
            self._acked[delivery_id] = None
            self._acked.move_to_end(delivery_id)
            if len(self._acked) > _REMEMBERED:
                self._acked.popitem(last=False)
        self._say(v1.ReceiveDeliveriesRequest(ack_delivery_id=delivery_id))

    def _worked(self) -> None:
        self._backoff.worked()
        self._backoff.policy = self._reconnect


def _cut_short(endpoint_id: str) -> SendoffError:
    told = f"the streams of {endpoint_id} end again and again without bringing anything"
    return Unavailable(told, code=grpc.StatusCode.UNAVAILABLE, reason="STREAM_CUT")
