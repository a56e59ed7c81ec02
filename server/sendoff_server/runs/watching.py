"""WatchRun: following a run, or the runs of a turn one after another.

A watch ends cleanly, with a `StreamEnd` that says where to go on, when the run has ended and all was sent, when the
server drains, when its memory runs out, or when the stream is old. One that a door holds for a caller who waits for the
run's answer may go on while the server drains, as the run itself does, until it stops. Whoever reads slowly only delays
himself: the next frame is made when the last one was taken.

Of a turn, the next run is taken up when the one before has ended and is continued. As long as that one waits for
answers the stream goes on with heartbeats.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import Self

from sendoff import v1
from sendoff_server.clock import SECOND_NS, Clock, nanoseconds, timestamp
from sendoff_server.errors import RunNotFound
from sendoff_server.lifecycle import is_terminal
from sendoff_server.message_types import of_type
from sendoff_server.meter import UNMETERED, StreamMeter
from sendoff_server.page_fit import fitting
from sendoff_server.runs.following import Cursor, next_deltas, next_events
from sendoff_server.runs.hub import Hub, Topic, owners
from sendoff_server.runs.waits import Look, next_of_turn
from sendoff_server.store.port import Store

DEFAULT_HEARTBEAT_S = 15.0
HELD_BYTES = 512 * 1024
"""Of events that a watcher who does not read holds in memory; one event in any case."""


class Watching:
    """Follows runs through the hub, and through the store where the hub does not know."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        clock: Clock,
        *,
        max_stream_age_s: float,
        slow_consumer_s: float,
        meter: StreamMeter = UNMETERED,
    ) -> None:
        self._store = store
        self._meter = meter
        self._hub = hub
        self._clock = clock
        self._max_stream_age_s = max_stream_age_s
        self._slow_consumer_s = slow_consumer_s
        self._draining = False
        self._stopping = False
        self._watches: set[Watch] = set()

    def drain(self) -> None:
        """Have every watch end that does not go on while the server drains."""
        self._draining = True
        self._hub.wake_all()

    def stop(self) -> None:
        """Have every watch end."""
        self._stopping = True
        self._hub.wake_all()

    def shed(self) -> None:
        """Have every watch end that there is and that can be gone on with elsewhere or later."""
        for watch in self._watches:
            watch.shed = not watch.through_need
        self._hub.wake_all()

    async def frames(
        self,
        run: v1.Run,
        request: v1.WatchRunRequest,
        look: Look,
        *,
        through_drain: bool = False,
        through_need: bool = False,
    ) -> AsyncGenerator[v1.WatchRunResponse]:
        """The frames of a watch, each made when the one before was taken.

        Whoever leaves one untaken for too long is cut behind it. Nothing is done about it before, because a door can
        neither take back what it offers nor offer more.
        """
        watch = Watch(self._store, self._clock, request, look)
        watch.through_drain, watch.through_need = through_drain, through_need
        self._watches.add(watch)
        try:
            with Attended(self._meter, self._clock) as attended:
                async with aclosing(self._in_time(self._all_frames(run, watch), watch)) as frames:
                    async for frame in frames:
                        attended.offers(frame)
                        yield frame
                        attended.took(frame)
        finally:
            self._watches.discard(watch)

    async def _in_time(
        self, frames: AsyncGenerator[v1.WatchRunResponse], watch: Watch
    ) -> AsyncGenerator[v1.WatchRunResponse]:
        """The same, up to the one that was left untaken for too long; then how to go on."""
        async with aclosing(frames):
            async for frame in frames:
                offered = self._clock.monotonic()
                yield frame
                if self._clock.monotonic() - offered > self._slow_consumer_s and not frame.HasField("end"):
                    yield _end(v1.StreamEnd.REASON_SLOW_CONSUMER, watch.view.told_by(frame))
                    return

    async def _all_frames(self, run: v1.Run, watch: Watch) -> AsyncGenerator[v1.WatchRunResponse]:
        watch.following = run
        while (run_now := watch.following) is not None:
            with self._hub.watching(run_now.id, text=watch.wants_text) as topic:
                topic.owners = owners(run_now)
                watch.begin(topic, run_now)
                async with aclosing(self._frames_of_one(watch, topic)) as frames:
                    async for frame in frames:
                        yield frame

    async def _frames_of_one(self, watch: Watch, topic: Topic) -> AsyncGenerator[v1.WatchRunResponse]:
        """The frames of one run of the watch, up to its end, the watch's end, or the next run."""
        view = watch.view
        for frame in await view.opening(watch.look):
            yield frame
        while True:
            changed = topic.changed()
            if topic.deleted:
                raise RunNotFound(topic.run_id)
            news = [] if view.finished else await view.news()
            for frame in news:
                yield frame
            if view.finished and await watch.goes_on_elsewhere():
                return
            if view.finished and watch.is_over:
                yield _end(v1.StreamEnd.REASON_RUN_FINISHED, view.cursor.sequence, watch.next_run_id)
                return
            if (reason := self._reason_to_end(watch)) is not None:
                watch.following = None
                yield _end(reason, view.cursor.sequence)
                return
            if news:
                watch.silence.broken()
            elif watch.silence.too_long():
                yield v1.WatchRunResponse(heartbeat=self._heartbeat(view))
                watch.silence.broken()
            else:
                await self._clock.wait(changed, min(watch.silence.left_s(), self._left_s(watch.born)))

    def _reason_to_end(self, watch: Watch) -> v1.StreamEnd.Reason.ValueType | None:
        if self._stopping or (self._draining and not watch.through_drain):
            return v1.StreamEnd.REASON_SERVER_DRAINING
        if watch.shed:
            return v1.StreamEnd.REASON_OVERLOADED
        return v1.StreamEnd.REASON_MAX_STREAM_AGE if self._left_s(watch.born) <= 0 else None

    def _left_s(self, born: float) -> float:
        return born + self._max_stream_age_s - self._clock.monotonic()

    def _heartbeat(self, view: View) -> v1.Heartbeat:
        # All that is durable was told, or there would be news instead of silence.
        return v1.Heartbeat(server_time=timestamp(self._clock.now_ns()), last_sequence=view.cursor.sequence)


class Attended:
    """Counts a stream while it is entered, and how late its watcher is told what happens meanwhile."""

    def __init__(self, meter: StreamMeter, clock: Clock) -> None:
        self._meter = meter
        self._clock = clock
        self._born_ns = clock.now_ns()
        self._reason = "left"

    def __enter__(self) -> Self:
        self._meter.opened()
        return self

    def __exit__(self, *_: object) -> None:
        self._meter.closed(self._reason)

    def offers(self, frame: v1.WatchRunResponse) -> None:
        if frame.HasField("end"):
            self._reason = v1.StreamEnd.Reason.Name(frame.end.reason).removeprefix("REASON_").lower()

    def took(self, frame: v1.WatchRunResponse) -> None:
        """The watcher has taken it."""
        if not frame.HasField("event"):
            return
        happened_ns = nanoseconds(frame.event.event_time)
        if happened_ns >= self._born_ns:
            self._meter.told((self._clock.now_ns() - happened_ns) / SECOND_NS)


class Watch:
    """One watch: the run that it is in, and whether it goes on with another one."""

    def __init__(self, store: Store, clock: Clock, request: v1.WatchRunRequest, look: Look) -> None:
        self._store = store
        self._request = request
        self.look = look
        self.born = clock.monotonic()
        self.silence = Silence(clock, request)
        self.through_drain = self.through_need = self.shed = False
        self.view: View
        self.following: v1.Run | None = None
        """The run that comes next."""
        self.next_run_id: str | None = None
        self.is_over = False
        """Nothing comes after the run that it is in."""

    def begin(self, topic: Topic, run: v1.Run) -> None:
        """Take up that run: the first one from where the caller wants it, others from their first event."""
        self.following = None
        self.view = View(self._store, topic, self._request)
        self.view.see_end(run)
        if self._request.WhichOneof("position") is not None:
            onward = v1.WatchRunRequest()
            onward.CopyFrom(self._request)
            onward.ClearField("position")
            self._request = onward

    @property
    def wants_text(self) -> bool:
        return self._request.include_deltas

    async def goes_on_elsewhere(self) -> bool:
        """Whether the run, all of which was sent, is followed by another one of this watch."""
        try:
            run = await self.look(self.view.run_id)
        except RunNotFound:  # deleted a moment ago, which takes nothing away from whoever has it all
            self.is_over = True
            return False
        if self._request.follow_continuations:
            self.following = await next_of_turn(run, self.look)
        self.is_over = self.following is None and not (self._request.follow_continuations and run.pending_actions)
        self.next_run_id = run.continued_by_run_id or None
        return self.following is not None


class View:
    """One run of a watch: how far it was told, and what comes next."""

    def __init__(self, store: Store, topic: Topic, request: v1.WatchRunRequest) -> None:
        self._store = store
        self._topic = topic
        self._request = request
        self.run_id = topic.run_id
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
            run = await look(self.run_id)
            self.cursor.sequence = run.last_sequence
            self.finished = is_terminal(run)
        if position != "snapshot":
            return []
        snapshot = await self._snapshot(look)
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
        while (run := await look(self.run_id)).last_sequence != cursor.sequence:
            cursor.look_again()
            while events := await next_events(self._store, self._topic, cursor):
                cursor.sequence = events[-1].sequence
                messages += [e.message for e in events if e.HasField("message")]
        messages = [message for message in messages if of_type(self._request.message_types, message)]
        self.cursor.sequence = cursor.sequence
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


def _end(
    reason: v1.StreamEnd.Reason.ValueType, resume_after: int, next_run_id: str | None = None
) -> v1.WatchRunResponse:
    return v1.WatchRunResponse(
        end=v1.StreamEnd(reason=reason, resume_after_sequence=resume_after, next_run_id=next_run_id)
    )


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
