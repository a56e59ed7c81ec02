"""What must be so of every log, and what somebody sees who watches it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence

from sendoff import v1

TERMINAL = (v1.RUN_STATUS_COMPLETED, v1.RUN_STATUS_FAILED, v1.RUN_STATUS_CANCELLED)
_PARTS = 1 << 10


def check_log(run: v1.Run, events: Sequence[v1.RunEvent]) -> None:
    """The log of an ended run is 1..n without gaps, `finished` is last and single, and tells the run as it is now."""
    kinds = [event.WhichOneof("event") for event in events]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1)), run.id
    assert {event.run_id for event in events} == {run.id}
    assert events[0].state_changed.status == v1.RUN_STATUS_CREATED, kinds
    assert kinds.count("finished") == 1, kinds
    assert kinds[-1] == "finished", kinds
    assert events[-1].finished.run == run, f"{events[-1].finished.run} is not {run}"
    assert run.status in TERMINAL
    assert run.last_sequence == len(events)
    _check_answers(events)
    attempts = [event.attempt for event in events]
    assert attempts == sorted(attempts), f"attempts go back: {attempts}"


def _check_answers(events: Sequence[v1.RunEvent]) -> None:
    """Every answer that was begun came, or was retracted, or its run ended well without text."""
    begun: set[str] = set()
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "step_started":
            assert not begun, f"an answer was begun while {begun} was neither there nor retracted"
            begun.add(event.step_started.message_id)
        elif kind == "message":
            begun.discard(event.message.id)
        elif kind == "message_retracted":
            assert event.message_retracted.message_id in begun, "retracted without having begun, or twice"
            begun.discard(event.message_retracted.message_id)
    assert not begun, f"{begun} neither came nor was retracted"


def kinds(messages: Sequence[v1.Message]) -> list[str]:
    return [message.WhichOneof("kind") or "" for message in messages]


def texts(messages: Sequence[v1.Message]) -> list[tuple[str, str]]:
    """Kind and text of each message."""
    return [(message.WhichOneof("kind") or "", text_of(message)) for message in messages]


def text_of(message: v1.Message) -> str:
    match message.WhichOneof("kind"):
        case "user_message":
            return message.user_message.content.text
        case "assistant_message":
            return message.assistant_message.content.text
        case "reasoning_message":
            return message.reasoning_message.reasoning
        case _:
            return message.system_message.content


class Screen:
    """What somebody sees who watches a run, over as many streams as it takes. Checks that frames fit together."""

    def __init__(self, after_sequence: int = 0) -> None:
        self.last_sequence = after_sequence
        self.events: list[v1.RunEvent] = []
        self.messages: list[v1.Message] = []
        self.writing: dict[tuple[str, int], str] = {}
        """The text so far of each part that is being written."""
        self.deltas = 0
        self.retracted: list[v1.MessageRetracted] = []
        self.snapshot: v1.RunSnapshot | None = None
        self.heartbeats: list[v1.Heartbeat] = []
        self.end: v1.StreamEnd | None = None
        self.frames = 0
        """Of the present stream."""

    @property
    def finished(self) -> bool:
        return bool(self.events) and self.events[-1].HasField("finished")

    def reconnect(self) -> None:
        """Another stream begins, and with it the text being written comes from its start."""
        self.end = None
        self.frames = 0
        self.writing.clear()

    def show(self, frame: v1.WatchRunResponse) -> None:
        assert self.end is None, "a frame after the end"
        self.frames += 1
        match frame.WhichOneof("frame"):
            case "snapshot":
                self._show_snapshot(frame.snapshot)
            case "event":
                self._show_event(frame.event)
            case "delta":
                self._show_delta(frame.delta)
            case "heartbeat":
                self.heartbeats.append(frame.heartbeat)
            case "end":
                self.end = frame.end
                assert frame.end.resume_after_sequence == self.last_sequence

    async def follow(self, stream: AsyncIterable[v1.WatchRunResponse]) -> v1.StreamEnd:
        """Show the stream until its end, which must be a clean one."""
        async for frame in stream:
            self.show(frame)
        assert self.end is not None, "the stream was cut"
        return self.end

    def _show_snapshot(self, snapshot: v1.RunSnapshot) -> None:
        assert not self.events, "a snapshot comes first or not at all"
        self.snapshot = snapshot
        self.last_sequence = snapshot.as_of_sequence
        self.messages = list(snapshot.messages)
        for delta in snapshot.in_progress:
            assert delta.replaces
            self._show_delta(delta)

    def _show_event(self, event: v1.RunEvent) -> None:
        assert not self.finished, "an event after the last"
        assert event.sequence == self.last_sequence + 1, f"event {event.sequence} after {self.last_sequence}"
        self.last_sequence = event.sequence
        self.events.append(event)
        if event.HasField("message"):
            self._settle(event.message)
            self.messages.append(event.message)
        elif event.HasField("message_retracted"):
            self.retracted.append(event.message_retracted)
            gone = event.message_retracted.message_id
            self.writing = {key: text for key, text in self.writing.items() if key[0] != gone}
        elif event.HasField("finished"):
            assert not self.writing, f"text that nobody finished: {self.writing}"

    def _settle(self, message: v1.Message) -> None:
        """The text shown so far is how the final message begins. Calls are the last of an answer's entries."""
        if message.WhichOneof("kind") in ("tool_call_message", "approval_request_message"):
            self.writing = {key: text for key, text in self.writing.items() if key[0] != message.id}
            return
        shown = self.writing.pop((message.id, message.position % _PARTS), "")
        assert text_of(message).startswith(shown), f"{shown!r} became {text_of(message)!r}"

    def _show_delta(self, delta: v1.MessageDelta) -> None:
        key = (delta.message_id, delta.part_index)
        piece = delta.text or delta.reasoning or delta.tool_arguments
        assert piece, "an empty delta"
        self.deltas += 1
        if delta.replaces:
            assert delta.offset == 0
            self.writing[key] = piece
        else:
            assert delta.offset == len(self.writing[key]), "a delta that does not follow"
            self.writing[key] += piece
