"""A run as the events of a stream: what the log says, in the API's words, numbered so that a stream can be resumed.

Numbers (`seq_id`). A stream of whole messages counts what it tells: 1 is the first ping, then each message; the reason
and the usage at the end take one each. A stream of pieces needs numbers that are the same whenever the run is replayed,
however its text was cut: the sequence of the log at which the answer began times `PIECES`, plus the code points of the
answer that are told by then. So whoever resumes after any number gets the rest of the text, and nothing twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from sendoff import v1
from sendoff_server import ids
from sendoff_server.gateway.doors import TENANT
from sendoff_server.gateway.messages import head, message_json
from sendoff_server.gateway.runs import stop_reason_json, usage_statistics
from sendoff_server.use_cases import UseCases

Json = dict[str, Any]

PIECES = 1_000_000
"""More code points than an answer has that anybody streams; what is beyond is told with the last number."""
PING_S = 20

_ERROR_TYPES = {
    "MODEL_TIMEOUT": "llm_timeout",
    "MODEL_RATE_LIMITED": "llm_rate_limit",
    "MODEL_AUTHENTICATION": "llm_authentication",
    "MODEL_ANSWER_INVALID": "llm_empty_response",
    "MODEL_OVERLOADED": "llm_error",
    "MODEL_UNAVAILABLE": "llm_error",
    "MODEL_QUOTA_EXCEEDED": "llm_error",
    "MODEL_NOT_FOUND": "llm_error",
    "MODEL_REJECTED_REQUEST": "llm_error",
    "MODEL_REFUSED": "llm_error",
    "MODEL_ERROR": "llm_error",
    "CONTEXT_OVERFLOW": "context_window_overflow_in_system_prompt",
}
_LEFT_OUT = frozenset({"system_message", "approval_response_message"})
_TEXTS = {"text": "content", "reasoning": "reasoning"}


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a stream. `error` says that it is the named event of a failure."""

    data: Json
    error: bool = False
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


async def told(use_cases: UseCases, run: v1.Run, wanted: Wanted) -> AsyncGenerator[Told]:
    """The events of a run from its beginning to its end, as they happen. Closing the generator leaves the run alone."""
    telling = Telling(run, wanted)
    watch = v1.WatchRunRequest(run_id=run.id, after_sequence=0, include_deltas=wanted.pieces)
    watch.heartbeat_interval.seconds = PING_S
    while not telling.ended:
        async with aclosing(use_cases.runs.watch(TENANT, watch)) as frames:
            async for frame in frames:
                for event in telling.frame(frame):
                    yield event
                if frame.HasField("end"):
                    watch.after_sequence = frame.end.resume_after_sequence
                    if frame.end.reason == v1.StreamEnd.REASON_SERVER_DRAINING:
                        yield telling.incomplete()
                        return


class Telling:
    """Folds the frames of a watch into the events of a stream."""

    def __init__(self, run: v1.Run, wanted: Wanted) -> None:
        self._run = run
        self._wanted = wanted
        self._count = 0
        self._sequence = 0
        self._parts: dict[tuple[str, int], Part] = {}
        self._began = 0
        """Sequence at which the answer began that is being told."""
        self._length = 0
        """Code points of it that were told."""
        self._step_id: str | None = None
        self.ended = False

    def frame(self, frame: v1.WatchRunResponse) -> Iterator[Told]:
        match frame.WhichOneof("frame"):
            case "event":
                yield from self._event(frame.event)
            case "delta":
                yield from self._delta(frame.delta)
            case "heartbeat" if self._wanted.pings:
                yield Told(self._ping(frame.heartbeat.server_time), seq_id=self._count)

    def _event(self, event: v1.RunEvent) -> Iterator[Told]:
        self._sequence = event.sequence
        match event.WhichOneof("event"):
            case "state_changed" if event.sequence == 1:
                yield from self._numbered(self._ping(event.event_time), shown=self._wanted.pings)
            case "step_started":
                self._step_id, self._began, self._length = event.step_id, event.sequence, 0
            case "message":
                yield from self._message(event.message)
            case "message_retracted":
                retracted = event.message_retracted.message_id
                self._parts = {key: part for key, part in self._parts.items() if key[0] != retracted}
            case "finished":
                yield from self._end(event.finished.run)

    # ---- numbers ----

    def _next(self) -> int:
        self._count = self._sequence * PIECES if self._wanted.pieces else self._count + 1
        return self._count

    def _numbered(self, data: Json, *, shown: bool = True) -> Iterator[Told]:
        number = self._next()
        if shown and number > self._wanted.after:
            if "seq_id" in data:
                data["seq_id"] = number if self._wanted.numbered else None
            yield Told(data, seq_id=number)

    def _ping(self, at: Any) -> Json:
        ping = v1.Message(create_time=at, run_id=self._run.id)
        return {**head(ping, "ping", self._count or None), "id": f"ping-{self._run.id.removeprefix('run-')}"}

    # ---- messages ----

    def _message(self, message: v1.Message) -> Iterator[Told]:
        kind = message.WhichOneof("kind") or ""
        is_input = kind == "user_message" and not message.HasField("context_start")
        if is_input or kind in _LEFT_OUT or (message.run_id == self._run.id and not message.HasField("step_id")):
            return
        if not self._wanted.pieces:
            yield from self._numbered(message_json(message))
        elif kind in ("assistant_message", "reasoning_message"):
            yield from self._rest(message, kind)
        elif kind in ("tool_call_message", "approval_request_message"):
            yield from self._call_pieces(message, kind)
        else:
            yield from self._numbered(message_json(message))

    def _rest(self, message: v1.Message, kind: str) -> Iterator[Told]:
        """What of a message was not told in pieces before."""
        whole = message_json(message)
        member = "content" if kind == "assistant_message" else "reasoning"
        if not isinstance(whole[member], str):
            yield from self._numbered(whole)
            return
        part = self._parts.pop((message.id, _part_index(message)), None) or Part()
        yield from self._piece(whole, member, part, whole[member][part.length :])

    def _call_pieces(self, message: v1.Message, kind: str) -> Iterator[Told]:
        """A call's name, then its arguments, as programs put them together."""
        whole = message_json(message)
        explicit = {"name": None, "arguments": None} if kind == "approval_request_message" else {}
        for call in whole["tool_calls"]:
            for piece in ({"name": call["name"]}, {"arguments": call["arguments"]}):
                told = {**explicit, **piece, "tool_call_id": call["tool_call_id"]}
                self._length += 1
                yield from self._in_answer({**whole, "tool_call": told, "tool_calls": told})

    def _in_answer(self, told: Json) -> Iterator[Told]:
        self._count = self._began * PIECES + min(self._length, PIECES - 1)
        if self._count > self._wanted.after:
            yield Told({**told, "seq_id": self._count if self._wanted.numbered else None}, seq_id=self._count)

    def _delta(self, delta: v1.MessageDelta) -> Iterator[Told]:
        kind = delta.WhichOneof("delta") or ""
        if kind not in _TEXTS:
            return
        part = self._parts.setdefault((delta.message_id, delta.part_index), Part())
        text = getattr(delta, kind)
        message = _shell(self._run, delta, self._step_id, kind)
        yield from self._piece(message_json(message), _TEXTS[kind], part, text[part.length - delta.offset :])

    def _piece(self, told: Json, member: str, part: Part, text: str) -> Iterator[Told]:
        """More text of a part, without what the caller has."""
        had = max(0, min(len(text), self._wanted.after - (self._began * PIECES + self._length)))
        part.length += len(text)
        self._length += len(text)
        if text[had:]:
            yield from self._in_answer({**told, member: text[had:]})

    # ---- the end ----

    def _end(self, run: v1.Run) -> Iterator[Told]:
        self.ended = True
        yield from self._numbered(stop_reason_json(run.stop_reason))
        if run.status == v1.RUN_STATUS_FAILED:
            yield Told(self._error(run.error), error=True, seq_id=self._next())
        elif run.status == v1.RUN_STATUS_COMPLETED:
            self._sequence += 1  # in a stream of pieces too, the usage has a number of its own
            yield from self._numbered(usage_statistics(run.usage))

    def _error(self, error: v1.RunError) -> Json:
        return {
            "message_type": "error_message",
            "run_id": self._run.id,
            "error_type": _ERROR_TYPES.get(error.reason, "internal_error"),
            "message": error.message,
            "detail": error.reason,
            "seq_id": None,
        }

    def incomplete(self) -> Told:
        """The server stops; the run goes on elsewhere."""
        told = v1.RunError(reason="SERVER_DRAINING", message="the server is stopping; resume the stream elsewhere")
        return Told({**self._error(told), "error_type": "stream_incomplete"}, error=True)


@dataclass(slots=True)
class Part:
    """A part of an answer that is told in pieces."""

    length: int = 0
    """Code points that were told."""


def _part_index(message: v1.Message) -> int:
    """Which part of its answer an entry is: the low bits of its OTID."""
    return int(message.otid[-2:], 16) & 0x7F if message.HasField("otid") else 0


def _shell(run: v1.Run, delta: v1.MessageDelta, step_id: str | None, kind: str) -> v1.Message:
    """The entry that a delta belongs to, without its text."""
    message = v1.Message(id=delta.message_id, run_id=run.id, otid=ids.otid(delta.message_id, delta.part_index))
    message.create_time.CopyFrom(run.start_time)
    if step_id:
        message.step_id = step_id
    if kind == "text":
        message.assistant_message.content.text = ""
    else:
        message.reasoning_message.reasoning = ""
    return message
