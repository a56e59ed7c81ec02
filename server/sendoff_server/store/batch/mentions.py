"""What the items of a batch speak of: found in one walk over them, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server.store.items import Accept, Item, MarkCancel, NoteAnswers, NoteAttempt, Progress, Release

OPEN = (v1.RUN_STATUS_CREATED, v1.RUN_STATUS_RUNNING)
"""Statuses of a run that has not ended."""


@dataclass(slots=True)
class Mentions:
    """Lanes and runs by id."""

    lanes: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    keys: list[tuple[str, str, str]] = field(default_factory=list)
    """Of idempotency: tenant, value and scope."""
    queues: dict[str, int] = field(default_factory=dict)
    """By lane, how many of its first open runs are asked about: those that the batch can end, and the one behind."""
    whole_queues: set[str] = field(default_factory=set)
    """Lanes of which every open run changes."""
    actions: set[str] = field(default_factory=set)
    """Lanes whose actions are spoken of."""
    repeatable: list[Accept] = field(default_factory=list)
    """Those whose callers say that they may have come before, without a key."""
    cancels: list[str] = field(default_factory=list)
    """Runs that are to be cancelled."""
    deliveries: list[str] = field(default_factory=list)
    """By id."""

    @property
    def longest_queue(self) -> int:
        return max(self.queues.values(), default=0)

    def accept(self, item: Accept) -> None:
        self.lanes.add(item.lane)
        for key in item.keys:
            self.keys.append((item.tenant, key.value, key.scope))
        if item.repeats_since_ns is not None and not item.keys:
            self.repeatable.append(item)
        if item.supersedes is not None:
            self.whole_queues.add(item.lane)
        if item.continues:
            self.actions.add(item.lane)
        if item.reject_if_busy or item.reject_if_pending or item.continues:
            self.queues.setdefault(item.lane, 1)

    def progress(self, item: Progress) -> None:
        self.lanes.add(item.lane)
        self.runs.add(item.run.id)
        if item.run.status not in OPEN:
            self.queues[item.lane] = self.queues.get(item.lane, 1) + 1
        if item.settles:
            self.actions.add(item.lane)


def of_items(items: Sequence[Item]) -> Mentions:
    found = Mentions()
    for item in items:
        match item:
            case Accept():
                found.accept(item)
            case Progress():
                found.progress(item)
            case MarkCancel():
                found.runs.add(item.run_id)
                found.cancels.append(item.run_id)
            case Release():
                found.lanes.add(item.lane)
                found.queues.setdefault(item.lane, 1)
            case NoteAnswers():
                found.lanes.add(item.lane)
                found.queues.setdefault(item.lane, 1)
                found.actions.add(item.lane)
            case NoteAttempt():
                found.deliveries.append(item.delivery_id)
    return found
