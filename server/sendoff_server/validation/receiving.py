"""Rules of the frames of `ReceiveDeliveries`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.rules import ENDPOINT_ID, check_duration, check_id, check_length, check_number
from sendoff_server.validation.violations import Violations

MAX_UNACKED = 1_000
MAX_ACK_TIMEOUT_S = 3_600
_NACK_CHARACTERS = 500


def check_subscribe(frame: v1.ReceiveDeliveriesRequest) -> None:
    """Of the first frame."""
    found = Violations()
    if frame.WhichOneof("frame") != "subscribe":
        found.add("subscribe", "must be told by the first frame")
        found.refuse()
    asked = frame.subscribe
    check_id(found, "subscribe.endpoint_id", asked.endpoint_id, ENDPOINT_ID)
    check_number(found, "subscribe.max_unacked", asked.max_unacked, least=0, most=MAX_UNACKED)
    if asked.HasField("ack_timeout"):
        check_duration(found, "subscribe.ack_timeout", asked.ack_timeout, least_s=1, most_s=MAX_ACK_TIMEOUT_S)
    found.refuse()


def check_receipt(frame: v1.ReceiveDeliveriesRequest) -> None:
    """Of every frame behind the first."""
    found = Violations()
    match frame.WhichOneof("frame"):
        case None:
            found.add("frame", "must be told")
        case "subscribe":
            found.add("subscribe", "may be told by the first frame only")
        case "nack":
            check_length(found, "nack.error", frame.nack.error, most=_NACK_CHARACTERS)
    found.refuse()
