"""Waits for a run longer than one WaitRun may take. Decides only; who calls, sleeps."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from sendoff import methods, v1
from sendoff.errors import SendoffError
from sendoff.methods import Call
from sendoff.retry import Backoff, RetryPolicy, Timing, is_passing

MAX_WAIT_S = 55.0
"""The longest that a server waits in one call."""

TERMINAL = frozenset(
    {v1.RunStatus.RUN_STATUS_COMPLETED, v1.RunStatus.RUN_STATUS_FAILED, v1.RunStatus.RUN_STATUS_CANCELLED}
)
"""The statuses that a run never leaves."""

_EARLY_ANSWER_PAUSE_S = 0.2


def is_reached(run: v1.Run, until: v1.WaitUntil.ValueType) -> bool:
    """Whether the run is where the wait was to end."""
    ended = run.status in TERMINAL
    match until:
        case v1.WaitUntil.WAIT_UNTIL_STARTED:
            return ended or run.status == v1.RunStatus.RUN_STATUS_RUNNING
        case v1.WaitUntil.WAIT_UNTIL_ACTION_OR_TERMINAL:
            return ended or bool(run.pending_actions)
        case v1.WaitUntil.WAIT_UNTIL_TURN_END:
            return ended and not run.pending_actions
        case _:
            return ended


class Waiting:
    """One wait: what to ask next, and what an answer means."""

    def __init__(
        self,
        run_id: str,
        until: v1.WaitUntil.ValueType,
        *,
        timeout_s: float | None,
        connect: RetryPolicy,
        reconnect: RetryPolicy,
        timing: Timing,
    ) -> None:
        self._run_id = run_id
        self._until = until
        self._monotonic = timing.monotonic
        self._deadline = None if timeout_s is None else timing.monotonic() + timeout_s
        self._backoff = Backoff(connect, timing.draw)
        self._reconnect = reconnect
        self._asked_at = 0.0
        self.asked_s = 0.0
        """How long the call that was made last may be held by the server."""

    def call(self) -> Call[v1.WaitRunRequest, v1.Run]:
        """The next call."""
        self._asked_at = self._monotonic()
        self.asked_s = min(MAX_WAIT_S, self._remaining_s())
        timeout = Duration()
        timeout.FromNanoseconds(round(self.asked_s * 1e9))
        request = v1.WaitRunRequest(run_id=self._run_id, until=self._until, timeout=timeout)
        return Call(methods.WAIT_RUN, request, is_repeatable=True)

    def answered(self, run: v1.Run) -> float | None:
        """Seconds until the next call. None: the wait is over, as the run is there or the time is up."""
        self._backoff.worked()
        self._backoff.policy = self._reconnect
        if is_reached(run, self._until) or self._remaining_s() <= 0:
            return None
        held = self._monotonic() - self._asked_at >= self.asked_s / 2
        return 0.0 if held else _EARLY_ANSWER_PAUSE_S

    def failed(self, error: SendoffError) -> float:
        """Seconds until the next call. Raises the error when there is to be none."""
        if not is_passing(error):
            raise error
        pause = self._backoff.pause_s(error)
        if pause >= self._remaining_s():
            raise error
        return pause

    def _remaining_s(self) -> float:
        return float("inf") if self._deadline is None else max(0.0, self._deadline - self._monotonic())
