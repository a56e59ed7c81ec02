"""However a log is cut into streams, what comes out of a watch is the log."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sendoff
from sendoff import v1
from sendoff.errors import SendoffError, Unavailable
from sendoff.retry import RetryPolicy, Timing
from sendoff.watching import Entry, Watch, WatchOptions
from tests.unit.client.logs import delta, end, event, frame, frames, heartbeat, log, run, steady
from tests.unit.client.scripted_server import RUN_ID

CUT = Unavailable("cut", code=grpc.StatusCode.UNAVAILABLE)
PATIENT = RetryPolicy(max_attempts=1000)

End = SendoffError | v1.StreamEnd.Reason.ValueType | None
ends = st.sampled_from(
    [
        CUT,
        sendoff.Internal("reset", code=grpc.StatusCode.INTERNAL),
        None,
        v1.StreamEnd.REASON_SERVER_DRAINING,
        v1.StreamEnd.REASON_MAX_STREAM_AGE,
        v1.StreamEnd.REASON_SLOW_CONSUMER,
    ]
)


def new_watch(retry: RetryPolicy = PATIENT, **options: object) -> Watch:
    given_options: WatchOptions = options  # type: ignore[assignment] # tests name them freely
    timing = Timing(draw=lambda: 0.0)
    return Watch(RUN_ID, given_options, connect=retry, reconnect=retry, timing=timing)


def read(watch: Watch, stream: list[v1.WatchRunResponse], ending: SendoffError | None) -> Iterator[Entry]:
    """One turn of the loop that drives a watch."""
    for each in stream:
        if not watch.expects_more:
            break
        if (entry := watch.take(each)) is not None:
            yield entry
    if not watch.over:
        watch.pause_s(ending)


@st.composite
def streams(draw: st.DrawFn, whole: list[v1.RunEvent], position: int) -> tuple[list[v1.WatchRunResponse], object]:
    """What a server may send from a position on: a part of the log, with frames of other kinds between, and its end.

    It may begin before the position, as a server does that counts differently, but never behind.
    """
    begin = draw(st.integers(0, position))
    stop = draw(st.integers(begin, len(whole)))
    sent: list[v1.WatchRunResponse] = []
    for each in whole[begin:stop]:
        if draw(st.booleans()):
            sent += [heartbeat(), frame(delta("m", "x"))]
        sent.append(frame(each))
    ending = draw(ends)
    if isinstance(ending, int):
        sent.append(end(ending, stop))
    return sent, ending


@steady
@given(data=st.data(), length=st.integers(1, 8))
def test_any_cutting_of_a_log_gives_the_log(data: st.DataObject, length: int) -> None:
    whole = log(length)
    watch = new_watch(include_deltas=True)
    found: list[Entry] = []

    for _ in range(6):
        position = watch.request().after_sequence
        assert position == len([each for each in found if isinstance(each, v1.RunEvent)])
        sent, ending = data.draw(streams(whole, position))
        found += read(watch, sent, ending if isinstance(ending, SendoffError) else None)
        if watch.over:
            break
    else:
        watch.request()
        found += read(watch, frames(*whole), None)

    assert watch.over
    assert [each for each in found if isinstance(each, v1.RunEvent)] == whole


@steady
@given(length=st.integers(2, 12), data=st.data())
def test_any_event_left_out_is_noticed(length: int, data: st.DataObject) -> None:
    whole = log(length)
    missing = data.draw(st.integers(0, length - 2))
    watch = new_watch()
    watch.request()

    with pytest.raises(sendoff.LogGap):
        list(read(watch, frames(*whole[:missing], *whole[missing + 1 :]), None))


def test_an_end_that_promises_more_than_came_is_noticed() -> None:
    watch = new_watch()
    watch.request()

    with pytest.raises(sendoff.LogGap):
        list(read(watch, [*frames(event(1)), end(v1.StreamEnd.REASON_RUN_FINISHED, 2)], None))


def test_a_watch_from_behind_the_last_event_is_over_at_once() -> None:
    watch = new_watch(after_sequence=3)
    watch.request()

    assert list(read(watch, [end(v1.StreamEnd.REASON_RUN_FINISHED, 3)], None)) == []
    assert watch.over


def test_a_snapshot_of_a_run_that_has_ended_is_all_there_is() -> None:
    watch = new_watch(snapshot=True)
    watch.request()
    snapshot = v1.RunSnapshot(run=run(v1.RunStatus.RUN_STATUS_FAILED), as_of_sequence=4)

    assert list(read(watch, frames(snapshot), CUT)) == [snapshot]
    assert watch.over


def test_frames_and_events_of_kinds_to_come_do_no_harm() -> None:
    watch = new_watch()
    watch.request()
    unknown = v1.RunEvent(run_id=RUN_ID, sequence=1)

    assert list(read(watch, [v1.WatchRunResponse(), *frames(unknown, event(2, last=True))], None)) == [
        unknown,
        event(2, last=True),
    ]


def test_streams_that_bring_nothing_are_asked_for_less_and_less_often() -> None:
    watch = new_watch(RetryPolicy(max_attempts=4, initial_backoff_s=1, max_backoff_s=60))
    drained = end(v1.StreamEnd.REASON_SERVER_DRAINING)
    pauses = []

    for _ in range(3):
        watch.request()
        watch.take(drained)
        pauses.append(watch.pause_s(None))
    watch.request()
    watch.take(drained)

    assert pauses == [0.0, 1.0, 2.0]
    with pytest.raises(sendoff.Unavailable, match="again and again"):
        watch.pause_s(None)


def test_a_stream_that_brings_something_starts_the_count_anew() -> None:
    watch = new_watch(RetryPolicy(max_attempts=3, initial_backoff_s=1, max_backoff_s=60))
    pauses = []

    for sequence in range(1, 6):
        watch.request()
        watch.take(frame(event(sequence)))
        pauses += [watch.pause_s(CUT), watch.pause_s(CUT)]

    assert pauses == [0.5, 1.0] * 5


def test_silence_is_three_heartbeats() -> None:
    watch = new_watch(heartbeat_interval_s=2.5)

    assert watch.silence_s == 7.5
    assert watch.request().heartbeat_interval.ToMilliseconds() == 2500
    assert new_watch().silence_s == 45


def test_a_message_that_is_retracted_may_be_written_anew() -> None:
    watch = new_watch(include_deltas=True)
    watch.request()
    gone = v1.RunEvent(sequence=1, message_retracted=v1.MessageRetracted(message_id="m"))
    late, anew, on = delta("m", "b", offset=1), delta("m", "c"), delta("m", "d", offset=1)

    found = list(read(watch, frames(delta("m", "a"), gone, late, anew, on), CUT))

    assert found == [delta("m", "a"), gone, anew, on]
