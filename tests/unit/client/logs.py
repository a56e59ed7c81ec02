"""Logs of runs, and frames that carry them."""

from __future__ import annotations

from hypothesis import settings

from sendoff import v1
from tests.unit.client.scripted_server import RUN_ID

steady = settings(derandomize=True, deadline=None, database=None)
"""The same examples in every run, and no limit to their time: a busy machine must not fail them."""


def event(sequence: int, *, last: bool = False) -> v1.RunEvent:
    """An entry of the log; the last one is `finished`, the others are messages of their own."""
    made = v1.RunEvent(run_id=RUN_ID, sequence=sequence)
    if last:
        made.finished.run.CopyFrom(run(v1.RunStatus.RUN_STATUS_COMPLETED))
    else:
        made.message.CopyFrom(said(f"message-{sequence}", f"word {sequence}"))
    return made


def log(length: int) -> list[v1.RunEvent]:
    """A whole log."""
    return [event(n, last=n == length) for n in range(1, length + 1)]


def run(status: v1.RunStatus.ValueType, *, last_sequence: int = 0) -> v1.Run:
    return v1.Run(id=RUN_ID, status=status, last_sequence=last_sequence)


def said(message_id: str, text: str) -> v1.Message:
    return v1.Message(id=message_id, assistant_message=v1.AssistantMessage(content=v1.Content(text=text)))


def delta(
    message_id: str, text: str, *, offset: int = 0, replaces: bool = False, part_index: int = 0
) -> v1.MessageDelta:
    return v1.MessageDelta(message_id=message_id, part_index=part_index, offset=offset, replaces=replaces, text=text)


def frame(entry: v1.RunEvent | v1.MessageDelta | v1.RunSnapshot) -> v1.WatchRunResponse:
    if isinstance(entry, v1.RunEvent):
        return v1.WatchRunResponse(event=entry)
    if isinstance(entry, v1.MessageDelta):
        return v1.WatchRunResponse(delta=entry)
    return v1.WatchRunResponse(snapshot=entry)


def frames(*entries: v1.RunEvent | v1.MessageDelta | v1.RunSnapshot) -> list[v1.WatchRunResponse]:
    return [frame(entry) for entry in entries]


def end(reason: v1.StreamEnd.Reason.ValueType, resume_after_sequence: int = 0) -> v1.WatchRunResponse:
    return v1.WatchRunResponse(end=v1.StreamEnd(reason=reason, resume_after_sequence=resume_after_sequence))


def heartbeat() -> v1.WatchRunResponse:
    return v1.WatchRunResponse(heartbeat=v1.Heartbeat())
