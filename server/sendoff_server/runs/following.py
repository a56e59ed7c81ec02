"""Following one run: a cursor over its log and over the text being written, and what to send next.

Promise P5: events come in order, each once, none missing, from any place in the log, whatever happens meanwhile. The
topic is joined before the store is read, so an event that is recorded between the two is in one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server.runs.hub import Part, PartKey, Topic
from sendoff_server.store.port import Store

PAGE_EVENTS = 200


@dataclass(slots=True)
class Cursor:
    """How far a watcher has come."""

    sequence: int
    """The last event that it has seen."""
    pieces: dict[PartKey, int] = field(default_factory=dict)
    """Per part being written, how many of its pieces it has seen."""
    seen_changes: int | None = None
    """Of a run that the store was asked for: up to where the topic's changes are known to bring nothing more."""

    def look_again(self) -> None:
        """There may be something new though the topic does not know."""
        self.seen_changes = None


async def next_events(store: Store, topic: Topic, cursor: Cursor) -> Sequence[v1.RunEvent]:
    """Events behind the cursor, from memory if it holds them, else a page from the store. Empty: nothing is new."""
    events = topic.tail(cursor.sequence)
    if events is not None:
        return events
    changes, is_elsewhere = topic.changes, topic.is_elsewhere
    if cursor.seen_changes == changes:
        return []
    events = await store.events(topic.run_id, cursor.sequence, PAGE_EVENTS)
    if is_elsewhere:
        topic.read(events)
    if not events:
        cursor.seen_changes = changes
    return events


def next_deltas(topic: Topic, cursor: Cursor) -> list[v1.MessageDelta]:
    """The text behind the cursor, one delta per part; whoever comes late gets the text so far as one delta that
    replaces."""
    if topic.is_elsewhere and cursor.sequence != topic.text_sequence:
        return []
    deltas = [
        _delta(key, part, cursor.pieces.get(key, 0))
        for key, part in topic.parts.items()
        if cursor.pieces.get(key, 0) < len(part.pieces)
    ]
    cursor.pieces = {key: len(part.pieces) for key, part in topic.parts.items()}
    return deltas


def _delta(key: PartKey, part: Part, seen: int) -> v1.MessageDelta:
    delta = v1.MessageDelta(message_id=key[0], part_index=key[1], offset=part.offsets[seen], replaces=seen == 0)
    setattr(delta, part.kind, "".join(part.pieces[seen:]))
    return delta
