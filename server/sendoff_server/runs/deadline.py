"""The longest time that a run may take, from its first start to its end.

It is counted from the run's start time, so it goes on while the run has no process. What rings is an alarm of the
process that executes the run; a run whose time was over before is not begun again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sendoff import v1
from sendoff_server.body import End
from sendoff_server.clock import SECOND_NS, Clock, nanoseconds
from sendoff_server.runs.draft import run_error


def overdue(run: v1.Run, limits: v1.Limits, now_ns: int) -> End | None:
    """The end of a run whose time is over; None if it has time left, no limit, or has not been started."""
    left_s = _left_s(run, limits, now_ns)
    return _exceeded(limits) if left_s is not None and left_s <= 0 else None


@contextmanager
def alarm(clock: Clock, run: v1.Run, limits: v1.Limits, ring: Callable[[End], None]) -> Iterator[None]:
    """Ring when the time of the run, which has been started, is over, unless the block is left before."""
    left_s = _left_s(run, limits, clock.now_ns())
    if left_s is None:
        yield
        return
    ringing = asyncio.create_task(_ring(clock, left_s, lambda: ring(_exceeded(limits))), name="deadline of a run")
    try:
        yield
    finally:
        ringing.cancel()


async def _ring(clock: Clock, left_s: float, ring: Callable[[], None]) -> None:
    await clock.sleep(left_s)
    ring()


def _left_s(run: v1.Run, limits: v1.Limits, now_ns: int) -> float | None:
    if not limits.HasField("run_timeout") or not run.HasField("start_time"):
        return None
    elapsed_ns = max(0, now_ns - nanoseconds(run.start_time))  # clocks may step back, or differ between processes
    return (limits.run_timeout.ToNanoseconds() - elapsed_ns) / SECOND_NS


def _exceeded(limits: v1.Limits) -> End:
    limit = limits.run_timeout.ToJsonString()
    told = f"the run was not over within its limit of {limit}; what it had finished is kept"
    error = run_error("DEADLINE_EXCEEDED", told, retryable=True, metadata={"run_timeout": limit})
    return End(v1.STOP_REASON_DEADLINE_EXCEEDED, error)
