"""The outbox, as a batch changes it. No database here."""

from __future__ import annotations

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.store.batch.snapshot import RunRow
from sendoff_server.store.items import NoteAttempt, Progress
from sendoff_server.store.questions import receiver_of

Row = tuple[object, ...]


def new_row(item: Progress, row: RunRow) -> Row:
    """The delivery of a run that ends with this."""
    callback = item.run.callback
    due_ns = nanoseconds(callback.next_attempt_time)
    delivery_id = ids.derive_beside(row.id, "delivery")
    kind = "run.action_required" if item.opens else "run.finished"
    return delivery_id, row.tenant, row.no, kind, callback.url, receiver_of(callback.url), due_ns, due_ns


def noted_row(item: NoteAttempt) -> Row:
    return item.delivery_id, item.attempt_ns, item.status_code, item.error, item.next_attempt_ns


def show_attempt(item: NoteAttempt, callback: v1.CallbackSummary) -> None:
    """Change how a run's callback stands."""
    callback.attempts += 1
    callback.last_attempt_time.CopyFrom(timestamp(item.attempt_ns))
    callback.dead_lettered = bool(item.error) and item.next_attempt_ns is None
    for name in ("last_status_code", "last_error", "next_attempt_time"):
        callback.ClearField(name)
    if item.status_code is not None:
        callback.last_status_code = item.status_code
    if item.error:
        callback.last_error = item.error
    if item.next_attempt_ns is not None:
        callback.next_attempt_time.CopyFrom(timestamp(item.next_attempt_ns))
