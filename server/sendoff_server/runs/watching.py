"""WatchRun and WaitRun: following a run until something is so.

A watch ends cleanly, with a `StreamEnd` that says where to go on, when the run has ended and all was sent, when the
server stops, or when the stream is old. Whoever reads slowly only delays himself: the next frame is made when the
last one was taken.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing

from sendoff import v1
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import RunNotFound
from sendoff_server.lifecycle import is_terminal
from sendoff_server.message_types import of_type
from sendoff_server.page_fit import fitting
from sendoff_server.runs.following import Cursor, next_deltas, next_events
from sendoff_server.runs.hub import Hub, Topic, owners
from sendoff_server.store.port import Store
from sendoff_server.validation import limits

DEFAULT_HEARTBEAT_S = 15.0
DEFAULT_WAIT_S = 30.0
HELD_BYTES = 512 * 1024
"""Of events that a watcher who does not read holds in memory; one event in any case."""

Look = Callable[[], Awaitable[v1.Run]]
"""Reads the run as it is now."""


class Watching:
    """Follows runs through the hub, and through the store where the hub does not know."""

    def __init__(
        self, store: Store, hub: Hub, clock: Clock, *, max_stream_age_s: float, slow_consumer_s: float
    ) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._max_stream_age_s = max_stream_age_s
        self._slow_consumer_s = slow_consumer_s
        self._draining = False

    def drain(self) -> None:
        """Have every watch and wait end."""
        self._draining = True
        self._hub.wake_all()

    # ---- WaitRun ----

    async def wait(self, request: v1.WaitRunRequest, look: Look) -> None:
        """Return when what is waited for is so, when the time is over, or when the server stops."""
        timeout_s = DEFAULT_WAIT_S
        if request.HasField("timeout"):
            timeout_s = min(request.timeout.ToTimedelta().total_seconds(), limits.MAX_WAIT_S)
        deadline = self._clock.monotonic() + timeout_s
        with self._hub.watching(request.run_id) as topic:
            while not self._draining:
                changed = topic.changed()
                if _is_so(request, await look()):
                    return
                left_s = deadline - self._clock.monotonic()
                if left_s <= 0:
                    return
                await self._clock.wait(changed, left_s)

    # ---- WatchRun ----

    async def frames(self, run: v1.Run, request: v1.WatchRunRequest, look: Look) -> AsyncGenerator[v1.WatchRunResponse]:
        """The frames of a watch, each made when the one before was taken.

        Whoever leaves one untaken for too long is cut behind it. Nothing is done about it before, because a door can
        neither take back what it offers nor offer more.
        """
        with self._hub.watching(run.id) as topic:
            topic.owners = owners(run)
            view = View(self._store, topic, request)
            view.see_end(run)
            async with aclosing(self._all_frames(view, topic, request, look)) as frames:
                async for frame in frames:
                    offered = self._clock.monotonic()
                    yield frame
                    if self._clock.monotonic() - offered > self._slow_consumer_s and not frame.HasField("end"):
                        yield _end(v1.StreamEnd.REASON_SLOW_CONSUMER, view.told_by(frame))
                        return

    async def _all_frames(
        self, view: View, topic: Topic, request: v1.WatchRunRequest, look: Look
    ) -> AsyncGenerator[v1.WatchRunResponse]:
        born = self._clock.monotonic()
        silence = Silence(self._clock, request)
        for frame in await view.opening(look):
            yield frame
        while not view.finished:
            changed = topic.changed()
            if topic.deleted:
                raise RunNotFound(topic.run_id)
            news = await view.news()
            for frame in news:
                yield frame
            if (reason := self._reason_to_end(view, born)) is not None:
                yield _end(reason, view.cursor.sequence)
                return
            if news:
                silence.broken()
            elif silence.too_long():
                yield v1.WatchRunResponse(heartbeat=self._heartbeat(view))
                silence.broken()
            elif not view.finished:
                await self._clock.wait(changed, min(silence.left_s(), self._left_s(born)))
        yield _end(v1.StreamEnd.REASON_RUN_FINISHED, view.cursor.sequence)

    def _reason_to_end(self, view: View, born: float) -> v1.StreamEnd.Reason.ValueType | None:
        if view.finished:
            return None
        if self._draining:
            return v1.StreamEnd.REASON_SERVER_DRAINING
        return v1.StreamEnd.REASON_MAX_STREAM_AGE if self._left_s(born) <= 0 else None

    def _left_s(self, born: float) -> float:
        return born + self._max_stream_age_s - self._clock.monotonic()

    def _heartbeat(self, view: View) -> v1.Heartbeat:
        # All that is durable was told, or there would be news instead of silence.
        return v1.Heartbeat(server_time=timestamp(self._clock.now_ns()), last_sequence=view.cursor.sequence)


class View:
    """One watch: where it stands, and what comes next."""

    def __init__(self, store: Store, topic: Topic, request: v1.WatchRunRequest) -> None:
        self._store = store
        self._topic = topic
        self._request = request
        self.cursor = Cursor(request.after_sequence)
        self.finished = False
        """The last event of the log was seen."""

    def see_end(self, run: v1.Run) -> None:
        """Whoever asks for what comes after the last event has seen it."""
        if is_terminal(run) and run.last_sequence <= self.cursor.sequence:
            self.finished = True

    async def opening(self, look: Look) -> list[v1.WatchRunResponse]:
        """What comes before the first event."""
        position = self._request.WhichOneof("position")
        if position == "latest":
            run = await look()
            self.cursor.sequence = run.last_sequence
            self.finished = is_terminal(run)
        if position != "snapshot":
            return []
        snapshot = await self._snapshot(look)
        self.cursor.sequence = snapshot.as_of_sequence
        self.finished = is_terminal(snapshot.run)
        return [v1.WatchRunResponse(snapshot=part) for part in _parts(snapshot)]

    def told_by(self, frame: v1.WatchRunResponse) -> int:
        """Up to where the log is told once that frame, which is the newest, was taken."""
        return frame.event.sequence if frame.HasField("event") else self.cursor.sequence

    async def news(self) -> list[v1.WatchRunResponse]:
        """The events behind the cursor, a page at most; with none, the text behind it. Empty: nothing is new."""
        while found := await next_events(self._store, self._topic, self.cursor):
            events = fitting(found, len(found), HELD_BYTES)
            self.cursor.sequence = events[-1].sequence
            self.finished = events[-1].HasField("finished")
            types = self._request.message_types
            if wanted := [v1.WatchRunResponse(event=event) for event in events if _sent(types, event)]:
                return wanted
        if self._topic.run is not None:
            self.see_end(self._topic.run)
        if not self._request.include_deltas:
            return []
        return [v1.WatchRunResponse(delta=delta) for delta in next_deltas(self._topic, self.cursor)]

    async def _snapshot(self, look: Look) -> v1.RunSnapshot:
        """Fold the log: the run as its newest event has it, the messages, and the text being written at that moment."""
        cursor = Cursor(0)
        messages: list[v1.Message] = []
        while (run := await look()).last_sequence != cursor.sequence:
            while events := await next_events(self._store, self._topic, cursor):
                cursor.sequence = events[-1].sequence
                messages += [e.message for e in events if e.HasField("message")]
        messages = [message for message in messages if of_type(self._request.message_types, message)]
        in_progress = next_deltas(self._topic, self.cursor) if self._request.include_deltas else []
        return v1.RunSnapshot(run=run, messages=messages, in_progress=in_progress, as_of_sequence=cursor.sequence)


class Silence:
    """How long a stream has sent nothing."""

    def __init__(self, clock: Clock, request: v1.WatchRunRequest) -> None:
        self._clock = clock
        self._limit_s = DEFAULT_HEARTBEAT_S
        if request.HasField("heartbeat_interval"):
            self._limit_s = request.heartbeat_interval.ToTimedelta().total_seconds()
        self.broken()

    def broken(self) -> None:
        self._since = self._clock.monotonic()

    def left_s(self) -> float:
        return self._since + self._limit_s - self._clock.monotonic()

    def too_long(self) -> bool:
        return self.left_s() <= 0


def _sent(types: Collection[v1.MessageType.ValueType], event: v1.RunEvent) -> bool:
    return not event.HasField("message") or of_type(types, event.message)


def _is_so(request: v1.WaitRunRequest, run: v1.Run) -> bool:
    if request.HasField("changed_after_sequence"):
        return run.last_sequence > request.changed_after_sequence or is_terminal(run)
    if request.until == v1.WAIT_UNTIL_STARTED:
        return run.status != v1.RUN_STATUS_CREATED
    return is_terminal(run)


def _end(reason: v1.StreamEnd.Reason.ValueType, resume_after: int) -> v1.WatchRunResponse:
    return v1.WatchRunResponse(end=v1.StreamEnd(reason=reason, resume_after_sequence=resume_after))


def _parts(snapshot: v1.RunSnapshot) -> list[v1.RunSnapshot]:
    """The snapshot in pieces that fit into a frame each: its messages dealt out, all else with the last."""
    parts: list[v1.RunSnapshot] = []
    messages: Sequence[v1.Message] = snapshot.messages
    while len(fits := fitting(messages, len(messages))) < len(messages):
        part = v1.RunSnapshot(run=snapshot.run, messages=fits, as_of_sequence=snapshot.as_of_sequence, more=True)
        parts.append(part)
        messages = messages[len(fits) :]
    last = v1.RunSnapshot(run=snapshot.run, messages=messages, in_progress=snapshot.in_progress)
    last.as_of_sequence = snapshot.as_of_sequence
    return [*parts, last]
