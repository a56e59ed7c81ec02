"""Watches a run, or the runs of a turn, over as many streams as it takes, as if it were one.

A stream of WatchRun can be cut at any point: by the network, a proxy, a server that stops, its greatest age, or a
reader that is too slow. The next stream begins after the last event that was handed on, so the events that come out
of a watch are the log: each once, in order, none left out. Of a turn it is the logs of its runs, one after another, and
the next stream begins in the run of the last event. `Watch` decides that, is fed with what streams bring,
and does no input or output; the two clients drive it:

    while not watch.over:
        open a stream with watch.request()
        while watch.expects_more: hand on what watch.take(frame) returns
        wait watch.pause_s(error or None)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

import grpc
from google.protobuf.duration_pb2 import Duration

from sendoff import v1
from sendoff.errors import LogGap, SendoffError, Unavailable
from sendoff.retry import Backoff, RetryPolicy, Timing, is_passing
from sendoff.settled import Settled
from sendoff.waiting import TERMINAL

Entry: TypeAlias = "v1.RunEvent | v1.MessageDelta | v1.RunSnapshot"
"""What a watch hands on."""

_DEFAULT_HEARTBEAT_S = 15.0
_SILENT_HEARTBEATS = 3
# What networks and proxies make of a stream that they cut. A server that means one of these says so in details.
_CUTS = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


class WatchOptions(TypedDict, total=False):
    """Where to begin, and what to be told; all are optional. At most one of the first three. See WatchRunRequest."""

    after_sequence: int
    """Events after this one. Unset: all."""
    latest: bool
    """Only what happens from now on."""
    snapshot: bool
    """One RunSnapshot of what is so far, then what happens from there on."""
    include_deltas: bool
    """Also the text being written. After a reconnect it comes once more from the start, in a delta that replaces."""
    message_types: Sequence[v1.MessageType.ValueType]
    """Of the message events only these. Sequences then have gaps, and a lost event would go unnoticed."""
    follow_continuations: bool
    """Go on with the runs that continue this one, and wait for them as long as it waits for answers."""
    heartbeat_interval_s: float
    """After three times this long without any frame the stream is given up for dead, and opened again.

    15 unless told.
    """
    timeout_s: float
    """After so long the watch ends, though the run has not. Unset: never."""


class Watch:
    """Where the watch of one run stands."""

    def __init__(
        self, run_id: str, options: WatchOptions, *, connect: RetryPolicy, reconnect: RetryPolicy, timing: Timing
    ) -> None:
        if sum(("after_sequence" in options, options.get("latest", False), options.get("snapshot", False))) > 1:
            raise ValueError("after_sequence, latest and snapshot exclude each other")
        self.wants_latest = options.get("latest", False)
        """Whether `begin_after` must be told the run's newest sequence first."""
        self.over = False
        """Whether all was handed on."""
        self.heartbeat_s = options.get("heartbeat_interval_s", _DEFAULT_HEARTBEAT_S)
        self._run_id = run_id
        self._after = options.get("after_sequence", 0)
        self._snapshot_due = options.get("snapshot", False)
        self._include_deltas = options.get("include_deltas", False)
        self._message_types = tuple(options.get("message_types", ()))
        self._follow = options.get("follow_continuations", False)
        self._settled = Settled()
        self._backoff = Backoff(connect, timing.draw)
        self._reconnect = reconnect
        self._stream_ended = False
        timeout_s = options.get("timeout_s")
        self._monotonic = timing.monotonic
        self._deadline = None if timeout_s is None else timing.monotonic() + timeout_s

    @property
    def remaining_s(self) -> float | None:
        """How long it may still take. None: as long as it needs."""
        return None if self._deadline is None else max(0.0, self._deadline - self._monotonic())

    @property
    def silence_s(self) -> float:
        """After how long without a frame a stream is dead."""
        return _SILENT_HEARTBEATS * self.heartbeat_s

    @property
    def expects_more(self) -> bool:
        """Whether the present stream is to be read on."""
        return not (self.over or self._stream_ended)

    def begin_after(self, sequence: int) -> None:
        """Take the first stream from there."""
        self._after = sequence
        self.wants_latest = False

    def request(self) -> v1.WatchRunRequest:
        """What to open the next stream with."""
        self._stream_ended = False
        heartbeat = Duration()
        heartbeat.FromNanoseconds(round(self.heartbeat_s * 1e9))
        request = v1.WatchRunRequest(
            run_id=self._run_id,
            include_deltas=self._include_deltas,
            message_types=self._message_types,
            heartbeat_interval=heartbeat,
            follow_continuations=self._follow,
        )
        if self._snapshot_due:
            request.snapshot = True
        else:
            request.after_sequence = self._after
        return request

    def take(self, frame: v1.WatchRunResponse) -> Entry | None:
        """What to hand on of a frame, if anything. Raises LogGap."""
        match frame.WhichOneof("frame"):
            case "event":
                return self._take_event(frame.event)
            case "delta":
                return self._take_delta(frame.delta)
            case "snapshot":
                return self._take_snapshot(frame.snapshot)
            case "end":
                self._take_end(frame.end)
            case _:  # a heartbeat, or a kind that a newer server knows
                self._progress()
        return None

    def pause_s(self, error: SendoffError | None) -> float:
        """The stream is at its end, with an error or without: how long to wait before the next.

        Raises the error when another stream would not help, when too many in a row brought nothing, or when there is no
        time for another. That the time is up is no error: the watch is over then.
        """
        remaining_s = self.remaining_s
        if remaining_s == 0 and (error is None or error.code is grpc.StatusCode.DEADLINE_EXCEEDED):
            self.over = True
            return 0.0
        pause = self._backoff_s(error)
        if remaining_s is None or pause < remaining_s:
            return pause
        if error is not None and error.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise error
        return remaining_s

    def _backoff_s(self, error: SendoffError | None) -> float:
        if error is not None and not is_cut(error):
            raise error
        if self._stream_ended and not self._backoff.failures:
            self._backoff.failures = 1
            return 0.0  # the server asked to come again, and had brought something
        return self._backoff.pause_s(error or _cut_short(self._run_id))

    def silent(self) -> SendoffError:
        """The error of a stream that brought nothing for too long."""
        told = f"the stream of {self._run_id} brought nothing for {self.silence_s:g} s, not even a heartbeat"
        return Unavailable(told, code=grpc.StatusCode.UNAVAILABLE, reason="STREAM_SILENT")

    def _take_event(self, event: v1.RunEvent) -> v1.RunEvent | None:
        if self._follow and event.run_id != self._run_id:
            self._run_id, self._after = event.run_id, 0
        if event.sequence <= self._after:
            return None
        self._check_follows(event.sequence - 1)
        self._progress()
        self._after = event.sequence
        self._settled.note_event(event)
        self.over = event.HasField("finished") and not self._follow
        return event

    def _take_delta(self, delta: v1.MessageDelta) -> v1.MessageDelta | None:
        self._progress()
        return None if self._settled.is_late(delta) else delta

    def _take_snapshot(self, snapshot: v1.RunSnapshot) -> v1.RunSnapshot | None:
        if not self._snapshot_due:
            return None
        self._progress()
        self._snapshot_due = False
        self._after = snapshot.as_of_sequence
        self._settled.note_snapshot(snapshot)
        self.over = snapshot.run.status in TERMINAL and not self._follow
        return snapshot

    def _take_end(self, end: v1.StreamEnd) -> None:
        self._stream_ended = True
        if end.reason == v1.StreamEnd.REASON_RUN_FINISHED:
            self._check_follows(end.resume_after_sequence)
            self.over = True

    def _check_follows(self, sequence: int) -> None:
        """That nothing is missing up to there. Cannot be told where events are filtered."""
        if self._message_types or sequence <= self._after:
            return
        raise LogGap(
            f"the log of {self._run_id} went on after event {sequence}, expected after {self._after}; "
            "watch again from there",
            code=grpc.StatusCode.DATA_LOSS,
            reason="LOG_GAP",
            metadata={"run_id": self._run_id, "after_sequence": str(self._after), "sequence": str(sequence)},
        )

    def _progress(self) -> None:
        self._backoff.worked()
        self._backoff.policy = self._reconnect


def is_cut(error: SendoffError) -> bool:
    """Whether the stream was cut, as opposed to refused."""
    return is_passing(error) or (not error.domain and error.code in _CUTS)


def _cut_short(run_id: str) -> SendoffError:
    told = f"the streams of {run_id} end again and again without bringing anything"
    return Unavailable(told, code=grpc.StatusCode.UNAVAILABLE, reason="STREAM_CUT")
