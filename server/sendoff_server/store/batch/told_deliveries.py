"""A delivery as callers are told of it, made of what an engine has of it."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.clock import timestamp
from sendoff_server.store.batch.outbox import MOST_ATTEMPTS, kind_of

STATUSES = (
    v1.DELIVERY_STATUS_PENDING,
    v1.DELIVERY_STATUS_DELIVERED,
    v1.DELIVERY_STATUS_DEAD_LETTERED,
)


def told_delivery(
    attempts: Sequence[v1.DeliveryAttempt],
    delivery_id: str,
    run_id: str,
    sequence: int,
    kind: int,
    endpoint_id: str | None,
    url: str | None,
    status: v1.DeliveryStatus.ValueType,
    create_ns: int,
    attempt_count: int,
    next_attempt_ns: int | None,
    given_up_ns: int | None,
    error: str | None,
) -> v1.Delivery:
    """`given_up_ns` and `error`: of one that was given up without an attempt, told as the last of its attempts."""
    shown = list(attempts)
    if given_up_ns is not None:
        shown.append(v1.DeliveryAttempt(start_time=timestamp(given_up_ns), error=error or ""))
    return v1.Delivery(
        id=delivery_id,
        run_id=run_id,
        sequence=sequence,
        event_type=kind_of(kind),
        endpoint_id=endpoint_id,
        url=url,
        status=status,
        create_time=timestamp(create_ns),
        attempts=shown[-MOST_ATTEMPTS:],
        attempt_count=attempt_count,
        next_attempt_time=timestamp(next_attempt_ns) if next_attempt_ns is not None else None,
    )
