"""When the time of a run is over, and what it means beside a cancel."""

from __future__ import annotations

import asyncio

from sendoff import v1
from sendoff_server.body import End
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.runs.deadline import alarm, overdue
from sendoff_server.runs.executor import Interruption
from sendoff_server.store.items import Cancel
from tests.fixtures.clock import ManualClock

START_NS = ManualClock().now_ns()
STARTED = v1.Run(start_time=timestamp(START_NS))
LIMITS = v1.Limits()
LIMITS.run_timeout.FromMilliseconds(1_500)


def after(seconds: float) -> int:
    return START_NS + int(seconds * SECOND_NS)


def test_time_is_over_at_the_limit_and_not_before() -> None:
    assert overdue(STARTED, LIMITS, after(1.499_999_999)) is None
    end = overdue(STARTED, LIMITS, after(1.5))
    assert end is not None
    assert end.reason == v1.STOP_REASON_DEADLINE_EXCEEDED
    assert end.error is not None
    assert dict(end.error.metadata) == {"run_timeout": "1.500s"}


def test_a_run_that_was_not_started_or_has_no_limit_is_never_overdue() -> None:
    assert overdue(v1.Run(), LIMITS, after(1_000)) is None
    assert overdue(STARTED, v1.Limits(max_steps=1), after(1_000_000)) is None


async def test_a_clock_that_stepped_back_gives_no_more_time_than_the_limit() -> None:
    clock = ManualClock(after(-3_600))
    rung: list[End] = []
    with alarm(clock, STARTED, LIMITS, rung.append):
        await asyncio.sleep(0)
        await clock.advance(1.499)
        assert not rung
        await clock.advance(0.001)
        assert [end.reason for end in rung] == [v1.STOP_REASON_DEADLINE_EXCEEDED]


async def test_an_alarm_that_was_left_does_not_ring() -> None:
    clock = ManualClock()
    rung: list[End] = []
    with alarm(clock, STARTED, LIMITS, rung.append):
        await asyncio.sleep(0)
        assert clock.sleepers == 1
    await clock.advance(10)
    assert not rung
    assert clock.sleepers == 0


def test_a_cancel_takes_a_deadline_s_place() -> None:
    interruption = Interruption()
    interruption.expire(End(v1.STOP_REASON_DEADLINE_EXCEEDED))
    interruption.cancel(Cancel(reason="enough"))
    assert interruption.end == End(v1.STOP_REASON_CANCELLED, cancel_reason="enough")


def test_a_deadline_does_not_take_a_cancel_back() -> None:
    interruption = Interruption()
    interruption.cancel(Cancel(reason="enough"))
    interruption.expire(End(v1.STOP_REASON_DEADLINE_EXCEEDED))
    assert interruption.end == End(v1.STOP_REASON_CANCELLED, cancel_reason="enough")
