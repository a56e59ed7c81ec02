"""Which messages of a run are settled, so that late deltas of them are known."""

from __future__ import annotations

from sendoff import v1


class Settled:
    """The messages of a run that are final or retracted, as far as its log was seen."""

    def __init__(self) -> None:
        self._final: set[str] = set()
        self._retracted: set[str] = set()

    def note_event(self, event: v1.RunEvent) -> None:
        """Take in an entry of the log."""
        if event.HasField("message"):
            self._final.add(event.message.id)
        elif event.HasField("message_retracted"):
            self._retracted.add(event.message_retracted.message_id)

    def note_snapshot(self, snapshot: v1.RunSnapshot) -> None:
        """Take in what was so far."""
        self._final.update(message.id for message in snapshot.messages)

    def is_late(self, delta: v1.MessageDelta) -> bool:
        """Whether the delta came too late to matter.

        A final message never grows. A retracted one may be written anew, from its beginning.
        """
        if delta.message_id in self._final:
            return True
        if delta.message_id not in self._retracted:
            return False
        if delta.offset:
            return True
        self._retracted.discard(delta.message_id)
        return False
