"""Figures of the audit: acts of callers, as the store has noted them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from sendoff_server.sight.labels import Few
from sendoff_server.store.items import (
    Accept,
    ActNoted,
    Item,
    NoteAct,
    NoteAnswers,
    Noted,
    Placed,
    Progress,
    Recorded,
    Result,
)

MOST_OUTCOMES = 100


class ActFigures:
    """An act that is noted before it is done counts once its outcome is known."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcome = Few(MOST_OUTCOMES)
        self._noted = Counter(
            "sendoff_audit_entries",
            "Entries of the audit by outcome: OK, or the error's reason. Cancels of runs at work are not among them.",
            ("outcome",),
            registry=registry,
        )

    def on_result(self, item: Item, result: Result) -> None:
        """Called for every item that is durable."""
        act = act_of(item, result)
        if act is not None and act.entry.outcome:
            self._noted.labels(self._outcome(act.entry.outcome)).inc()


def act_of(item: Item, result: Result) -> NoteAct | None:
    """The entry that was written with an item."""
    match result:
        case ActNoted():
            return item if isinstance(item, NoteAct) else None
        case Placed() | Recorded() | Noted():
            return item.act if isinstance(item, Accept | Progress | NoteAnswers) else None
        case _:
            return None
