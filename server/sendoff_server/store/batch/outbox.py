"""The outbox, as a batch changes it: which deliveries the start or end of a run brings, and what an attempt leaves. No
database here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.store.batch.snapshot import DeliveryRow, EndpointRow, RunRow
from sendoff_server.store.items import NoteAttempt, Progress
from sendoff_server.store.questions import (
    ACTION_REQUIRED,
    DEFAULT_EVENT_TYPES,
    EVENT_TYPES,
    RUN_FINISHED,
    RUN_STARTED,
    receiver_of,
)

Row = tuple[object, ...]

MOST_ATTEMPTS = 20
"""Attempts at a delivery that are kept."""
DISABLED = "the endpoint is disabled"
_ATTEMPT_BITS = 28

_BITS = {kind: 1 << place for place, kind in enumerate(EVENT_TYPES)}
_KINDS = {bit: kind for kind, bit in _BITS.items()}


@dataclass(slots=True)
class OutboxChanges:
    """What a batch writes. Started ones are written first, so that what ends in the same batch comes behind them."""

    started: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    noted: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    forgotten: list[Row] = field(default_factory=list)
    """Attempts that are too many."""
    released: list[Row] = field(default_factory=list)
    """Deliveries behind which nothing waits any longer."""
    disabled: dict[tuple[int, str], str] = field(default_factory=dict)
    """Endpoints by number and URL, and why; those that have another URL stay enabled."""


def bits_of(event_types: Sequence[str]) -> int:
    """Of the default ones, if there are none. Raises ValueError."""
    bits = 0
    for kind in event_types or DEFAULT_EVENT_TYPES:
        if kind not in _BITS:
            raise ValueError(f"no type of events: {kind!r}")
        bits |= _BITS[kind]
    return bits


def kind_of(bit: int) -> str:
    return _KINDS[bit]


# ---- a run starts or ends ----


def started_at(item: Progress) -> int | None:
    """The sequence of the event by which the run starts with this, if it had not; None: it does not."""
    for event in item.events:
        if event.HasField("state_changed") and event.state_changed.status == v1.RUN_STATUS_RUNNING:
            return event.sequence
    return None


def tell_start(
    changes: OutboxChanges, item: Progress, row: RunRow, endpoints: Sequence[EndpointRow], now_ns: int
) -> None:
    callback = item.run.callback
    if not endpoints and not (callback.HasField("url") and RUN_STARTED in callback.event_types):
        return
    sequence = started_at(item)
    if sequence is not None:
        changes.started += _rows(item.run, row, RUN_STARTED, sequence, endpoints, now_ns, now_ns)


def tell_end(
    changes: OutboxChanges, item: Progress, row: RunRow, endpoints: Sequence[EndpointRow], now_ns: int
) -> None:
    callback = item.run.callback
    if endpoints or callback.HasField("url"):
        kind = ACTION_REQUIRED if item.opens else RUN_FINISHED
        due_ns = nanoseconds(callback.next_attempt_time)
        changes.ended += _rows(item.run, row, kind, item.run.last_sequence, endpoints, now_ns, due_ns)


def _rows(
    run: v1.Run, row: RunRow, kind: str, sequence: int, endpoints: Sequence[EndpointRow], now_ns: int, own_due_ns: int
) -> Iterator[Row]:
    """One delivery for whoever wants it."""
    bit = _BITS[kind]
    if run.callback.HasField("url") and bits_of(run.callback.event_types) & bit:
        url, words = run.callback.url, (RUN_STARTED,) if kind == RUN_STARTED else ()
        delivery_id = ids.derive_beside(row.id, "delivery", *words)
        yield (delivery_id, row.tenant, row.no, None, bit, sequence, url, receiver_of(url), *_waiting(own_due_ns))
    for endpoint in endpoints:
        if endpoint.events & bit and endpoint.agent_id in (None, run.agent_id):
            delivery_id = ids.derive_beside(row.id, "delivery", endpoint.id, sequence)
            queue = None if endpoint.url is None else endpoint.id
            stands = _missed(now_ns) if endpoint.disabled else _waiting(now_ns)
            yield (delivery_id, row.tenant, row.no, endpoint.no, bit, sequence, None, queue, *stands)


def _waiting(now_ns: int) -> Row:
    return v1.DELIVERY_STATUS_PENDING, now_ns, now_ns, now_ns, None, None


def _missed(now_ns: int) -> Row:
    return v1.DELIVERY_STATUS_DEAD_LETTERED, now_ns, now_ns, None, now_ns, DISABLED


# ---- an attempt ----


def note(changes: OutboxChanges, item: NoteAttempt, row: DeliveryRow, now_ns: int) -> None:
    status = _status_after(item)
    number = row.attempts
    given_up: Row = (None, None)
    if item.attempt is not None:
        number += 1
        key = row.no << _ATTEMPT_BITS | number
        changes.attempts.append((key, item.attempt.SerializeToString()))
        if number > MOST_ATTEMPTS:
            changes.forgotten.append((key - MOST_ATTEMPTS,))
    elif status == v1.DELIVERY_STATUS_DEAD_LETTERED:
        given_up = now_ns, item.error
    next_ns = item.next_attempt_ns if status == v1.DELIVERY_STATUS_PENDING else None
    changes.noted.append((row.no, status, next_ns, number, *given_up))
    if row.kind == _BITS[RUN_STARTED] and status != v1.DELIVERY_STATUS_PENDING:
        changes.released.append((row.no,))
    if item.disables and row.endpoint_no is not None:
        changes.disabled.setdefault((row.endpoint_no, item.url), item.disables)


def _status_after(item: NoteAttempt) -> v1.DeliveryStatus.ValueType:
    if item.attempt is not None and not item.attempt.error:
        return v1.DELIVERY_STATUS_DELIVERED
    return v1.DELIVERY_STATUS_PENDING if item.next_attempt_ns is not None else v1.DELIVERY_STATUS_DEAD_LETTERED


def show_attempt(item: NoteAttempt, callback: v1.CallbackSummary) -> None:
    """Change how a run's callback stands."""
    status, attempt = _status_after(item), item.attempt
    callback.dead_lettered = status == v1.DELIVERY_STATUS_DEAD_LETTERED
    callback.ClearField("next_attempt_time")
    if status == v1.DELIVERY_STATUS_PENDING:
        callback.next_attempt_time.CopyFrom(timestamp(item.next_attempt_ns or 0))
    if attempt is not None:
        callback.attempts += 1
        callback.last_attempt_time.CopyFrom(attempt.start_time)
        for name in ("last_status_code", "last_error"):
            callback.ClearField(name)
        if attempt.HasField("status_code"):
            callback.last_status_code = attempt.status_code
    error = attempt.error if attempt is not None else item.error if callback.dead_lettered else ""
    if error:
        callback.last_error = error
