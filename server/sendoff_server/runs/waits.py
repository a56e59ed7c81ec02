"""WaitRun: waiting for a run, or for the turn that it begins or goes on with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.errors import RunNotFound
from sendoff_server.lifecycle import is_terminal
from sendoff_server.runs.hub import Hub
from sendoff_server.validation import limits

DEFAULT_WAIT_S = 30.0

Look = Callable[[str], Awaitable[v1.Run]]
"""Reads a run as it is now. Raises RunNotFound."""


class Waits:
    """Waits for runs through the hub."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._draining = False

    def drain(self) -> None:
        """Have every wait end."""
        self._draining = True
        self._hub.wake_all()

    async def wait(self, request: v1.WaitRunRequest, look: Look) -> v1.Run:
        """Return when what is waited for is so, when the time is over, or when the server stops.

        The run that was asked for, as it is then; of a turn its newest run.
        """
        deadline = self._clock.monotonic() + _timeout_s(request)
        run_id = request.run_id
        while True:
            with self._hub.watching(run_id) as topic:
                changed = topic.changed()
                run = await look(run_id)
                if request.until == v1.WAIT_UNTIL_TURN_END and (following := await next_of_turn(run, look)):
                    run_id = following.id
                    continue
                left_s = deadline - self._clock.monotonic()
                if self._draining or left_s <= 0 or _is_so(request, run):
                    return run
                await self._clock.wait(changed, left_s)


async def next_of_turn(run: v1.Run, look: Look) -> v1.Run | None:
    """The run that goes on with the turn of one that has ended; None if none does, or not yet.

    One that ended before it had dealt with the answers that it brought does not go on: they are waited for again. One
    that was deleted is as if there were none.
    """
    if not is_terminal(run) or not run.continued_by_run_id:
        return None
    try:
        following = await look(run.continued_by_run_id)
    except RunNotFound:
        return None
    return None if is_terminal(following) and run.pending_actions else following


def _timeout_s(request: v1.WaitRunRequest) -> float:
    if not request.HasField("timeout"):
        return DEFAULT_WAIT_S
    return min(request.timeout.ToTimedelta().total_seconds(), limits.MAX_WAIT_S)


def _is_so(request: v1.WaitRunRequest, run: v1.Run) -> bool:
    if request.HasField("changed_after_sequence"):
        return run.last_sequence > request.changed_after_sequence or is_terminal(run)
    if request.until == v1.WAIT_UNTIL_STARTED:
        return run.status != v1.RUN_STATUS_CREATED
    if request.until == v1.WAIT_UNTIL_TURN_END:
        return is_terminal(run) and not run.pending_actions
    return is_terminal(run)  # a run that waits for an action has ended
