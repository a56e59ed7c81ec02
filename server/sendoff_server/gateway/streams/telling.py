"""A run as the events of a stream: what the log says, in the API's words, numbered so that a stream can be resumed.

Numbers (`seq_id`). A stream of whole messages counts what it tells: 1 is the first ping, then each message; the reason
and the usage at the end take one each. A stream of pieces needs numbers that are the same whenever the run is replayed,
however its text was cut: the sequence of the log at which the answer began times `PIECES`, plus the code points of the
answer that are told by then. So whoever resumes after any number gets the rest of the text, and nothing twice. What of
an answer is told whole (hidden reasoning, the signature of reasoning) comes behind its pieces, because its number is
greater than theirs.

Whoever has pieces of an answer that broke off, because the model failed or the run was cancelled, is told that it will
not come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.assistant_messages import Translation
from sendoff_server.gateway.nouns.messages import head, message_json
from sendoff_server.gateway.nouns.results import is_failure, is_shown, stream_error_type
from sendoff_server.gateway.nouns.runs import stop_reason_json, usage_statistics
from sendoff_server.message_types import returned_by

Json = dict[str, Any]

PIECES = 1_000_000
"""More code points than an answer has that anybody streams; what is beyond is told with the last number."""

RETRACTED = "message_retracted"
"""The name, and the type, of the event that tells that an answer will not come."""
_TEXTS = {"text": "content", "reasoning": "reasoning"}
_PIECED = {"assistant_message": "content", "reasoning_message": "reasoning"}
_UNSIGNED: dict[str, Json] = {"assistant_message": {}, "reasoning_message": {"signature": None}}
_CALLS = frozenset({"tool_call_message", "approval_request_message"})
_OF_AN_ANSWER = _CALLS | {*_PIECED, "hidden_reasoning_message"}


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a stream. `name` is that of the event; data has none, a failure is an `error`."""

    data: Json
    name: str | None = None
    seq_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a run is to be told."""

    pieces: bool = False
    """Text as it comes, rather than whole messages."""
    pings: bool = True
    numbered: bool = True
    after: int = 0
    """Only what has a greater number."""


class Telling:
    """Folds the frames of a watch, from the first event of the log on, into the events of a stream."""

    def __init__(self, run: v1.Run, wanted: Wanted) -> None:
        self._run = run
        self._wanted = wanted
        self._translation = Translation(run.request_config)
        self._count = 0
        self._sequence = 0
        self._answer = Answer()
        self.ended = False

    def earlier(self, message: v1.Message) -> None:
        """An entry of the run that this one continues: what comes back from its calls may be told in this one."""
        self._translation.shown(message)

    def frame(self, frame: v1.WatchRunResponse) -> Iterator[Told]:
        match frame.WhichOneof("frame"):
            case "event":
                yield from self._event(frame.event)
            case "delta":
                yield from self._delta(frame.delta)
            case "heartbeat" if self._wanted.pings:
                yield Told(self._ping(frame.heartbeat.server_time), seq_id=max(self._count, self._wanted.after))

    def _event(self, event: v1.RunEvent) -> Iterator[Told]:
        name = event.WhichOneof("event")
        if name != "message" or not self._answer.has(event):
            yield from self._held_back()
        self._sequence = event.sequence
        match name:
            case "state_changed" if event.sequence == 1:
                yield from self._numbered(self._ping(event.event_time), shown=self._wanted.pings)
            case "step_started":
                self._answer = Answer(event)
            case "message":
                yield from self._message(event)
            case "message_retracted":
                yield from self._retracted(event)
            case "finished":
                yield from self._end(event.finished.run)

    # ---- numbers ----

    def _numbered(self, data: Json, *, shown: bool = True) -> Iterator[Told]:
        self._count = self._sequence * PIECES if self._wanted.pieces else self._count + 1
        yield from self._told(data, shown=shown)

    def _in_answer(self, data: Json) -> Iterator[Told]:
        self._count = self._answer.number()
        yield from self._told(data)

    def _told(self, data: Json, *, shown: bool = True) -> Iterator[Told]:
        if shown and self._count > self._wanted.after:
            if "seq_id" in data:
                data = {**data, "seq_id": self._count if self._wanted.numbered else None}
            yield Told(data, seq_id=self._count)

    def _ping(self, at: Timestamp) -> Json:
        last = max(self._count, self._wanted.after) if self._wanted.numbered else 0
        ping = v1.Message(create_time=at, run_id=self._run.id)
        return {**head(ping, "ping", last or None), "id": f"ping-{self._run.id.removeprefix('run-')}"}

    # ---- messages ----

    def _message(self, event: v1.RunEvent) -> Iterator[Told]:
        if not is_shown(event.message):
            return
        for message in self._translation.shown(event.message):
            wanted = returned_by(self._run, message)
            if self._wanted.pieces and self._answer.has(event):
                yield from self._piecewise(message, wanted=wanted)
            elif wanted:
                yield from self._numbered(message_json(message))

    def _piecewise(self, message: v1.Message, *, wanted: bool) -> Iterator[Told]:
        """An entry of an answer. Text counts whether it is wanted or not, so that numbers do not depend on when it was
        found out."""
        kind, whole = message.WhichOneof("kind") or "", message_json(message)
        if kind in _PIECED:
            part = self._answer.parts.pop((message.id, _part_index(message)), None) or Part()
            text = _text_of(whole[_PIECED[kind]])[part.length :]
            yield from self._piece({**whole, **_UNSIGNED[kind]}, _PIECED[kind], part, text, wanted=wanted)
            if wanted and whole.get("signature") is not None:
                self._answer.held.append((self._sequence, {**whole, "reasoning": ""}))
        elif kind in _CALLS and wanted:
            yield from self._call_pieces(whole, kind)
        elif wanted:
            self._answer.held.append((self._sequence, whole))

    def _retracted(self, event: v1.RunEvent) -> Iterator[Told]:
        answer, after = self._answer, self._wanted.after
        if self._wanted.pieces and (answer.length or answer.began < after <= answer.began + PIECES):
            retracted = event.message_retracted
            gone = {
                "message_type": RETRACTED,
                "id": retracted.message_id,
                "run_id": self._run.id,
                "reason": retracted.reason,
            }
            for told in self._numbered(gone):
                yield replace(told, name=RETRACTED)  # by this the API's client knows that it need not know it
        answer.parts = {}

    def _held_back(self) -> Iterator[Told]:
        """What of the answer is told whole."""
        for sequence, whole in self._answer.held:
            self._sequence = sequence
            yield from self._numbered(whole)
        self._answer.held = []

    def _call_pieces(self, whole: Json, kind: str) -> Iterator[Told]:
        """A call's name, then its arguments, as programs put them together."""
        explicit = {"name": None, "arguments": None} if kind == "approval_request_message" else {}
        for call in whole["tool_calls"]:
            for piece in ({"name": call["name"]}, {"arguments": call["arguments"]}):
                told = {**explicit, **piece, "tool_call_id": call["tool_call_id"]}
                self._answer.length += 1
                yield from self._in_answer({**whole, "tool_call": told, "tool_calls": told})

    def _delta(self, delta: v1.MessageDelta) -> Iterator[Told]:
        kind = delta.WhichOneof("delta") or ""
        if kind not in _TEXTS:
            return
        part = self._answer.parts.setdefault((delta.message_id, delta.part_index), Part())
        text = getattr(delta, kind)[part.length - delta.offset :]
        message = self._answer.shell(self._run, delta, kind)
        wanted = returned_by(self._run, message)
        yield from self._piece(message_json(message), _TEXTS[kind], part, text, wanted=wanted)

    def _piece(self, whole: Json, member: str, part: Part, text: str, *, wanted: bool) -> Iterator[Told]:
        """More text of a part, without what the caller has."""
        had = max(0, min(len(text), self._wanted.after - self._answer.number()))
        part.length += len(text)
        self._answer.length += len(text)
        if text[had:] and wanted:
            yield from self._in_answer({**whole, member: text[had:]})

    # ---- the end ----

    def _end(self, run: v1.Run) -> Iterator[Told]:
        self.ended = True
        yield from self._numbered(stop_reason_json(run.stop_reason))
        self._sequence += 1  # in a stream of pieces too, what follows has a number of its own
        if is_failure(run):
            yield self.failed(stream_error_type(run.error), run.error)
        elif run.status != v1.RUN_STATUS_CANCELLED:
            yield from self._numbered(usage_statistics(run.usage))

    def failed(self, error_type: str, error: v1.RunError) -> Told:
        """Told whatever the caller has: programs learn from it that there is no more to come."""
        data = {
            "message_type": "error_message",
            "run_id": self._run.id,
            "error_type": error_type,
            "message": error.message,
            "detail": error.reason,
            "seq_id": None,
        }
        return Told(data, name="error")


@dataclass(slots=True)
class Part:
    """A part of an answer that is told in pieces."""

    length: int = 0
    """Code points that were told."""


class Answer:
    """The answer of a model that is being told."""

    def __init__(self, began: v1.RunEvent | None = None) -> None:
        self._event = began or v1.RunEvent()
        self.began = self._event.sequence * PIECES
        """What its pieces are numbered from."""
        self.length = 0
        """Code points of it that were told; a piece of a call counts as one."""
        self.parts: dict[tuple[str, int], Part] = {}
        self.held: list[tuple[int, Json]] = []
        """Entries that are told whole, with their sequences."""

    def number(self) -> int:
        """Of the piece that was told last."""
        return self.began + min(self.length, PIECES - 1)

    def has(self, event: v1.RunEvent) -> bool:
        """Whether an entry of the log belongs to it."""
        is_of_step = bool(event.step_id) and event.step_id == self._event.step_id
        return is_of_step and event.message.WhichOneof("kind") in _OF_AN_ANSWER

    def shell(self, run: v1.Run, delta: v1.MessageDelta, kind: str) -> v1.Message:
        """The entry that a delta belongs to, without its text."""
        message = v1.Message(
            id=delta.message_id,
            run_id=run.id,
            otid=ids.otid(delta.message_id, delta.part_index),
            step_id=self._event.step_id,
            create_time=self._event.event_time,
        )
        if kind == "text":
            message.assistant_message.content.text = ""
        else:
            message.reasoning_message.reasoning = ""
        return message


def _text_of(content: Any) -> str:
    """Text, also that of parts."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _part_index(message: v1.Message) -> int:
    """Which part of its answer an entry is: the low bits of its OTID."""
    return int(message.otid[-2:], 16) & 0x7F if message.HasField("otid") else 0
