"""Figures of callbacks, those that are sent and those that are pulled, as the store has noted them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from sendoff_server.clock import SECOND_NS
from sendoff_server.store.items import AttemptNoted, Item, NoteAttempt, Result

_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
_LAG_SECONDS = (0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 7_200, 21_600, 86_400, 259_200)


class DeliveryFigures:
    """Of attempts, and of how late a callback is when it arrives."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "sendoff_delivery_attempts",
            "Attempts at callbacks, by outcome: delivered, failed (comes again), given_up, put_back (was no attempt).",
            ("outcome",),
            registry=registry,
        )
        self._seconds = Histogram(
            "sendoff_delivery_seconds",
            "How long an attempt took: until the receiver answered, or acknowledged.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._lag = Histogram(
            "sendoff_delivery_lag_seconds",
            "From what a callback tells of to the end of the attempt that delivered it.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable."""
        if isinstance(item, NoteAttempt) and isinstance(result, AttemptNoted) and result.held:
            self._noted(item)

    def _noted(self, note: NoteAttempt) -> None:
        outcome = outcome_of(note)
        self._attempts.labels(outcome).inc()
        attempt = note.attempt
        if attempt is None:
            return
        self._seconds.observe(attempt.duration_ns / SECOND_NS)
        if outcome == "delivered" and note.since_ns:
            end_ns = attempt.start_time.ToNanoseconds() + attempt.duration_ns
            self._lag.observe(max(0, end_ns - note.since_ns) / SECOND_NS)


def outcome_of(note: NoteAttempt) -> str:
    """What a note tells of a delivery."""
    if note.attempt is not None and not note.attempt.error:
        return "delivered"
    if note.next_attempt_ns is None:
        return "given_up"
    return "failed" if note.attempt is not None else "put_back"
