"""A wait is as long as the caller says, however short one call of the server may be."""

from __future__ import annotations

import grpc
import pytest

import sendoff
from sendoff import methods, v1
from sendoff.retry import RECONNECT, UNARY, Timing
from sendoff.waiting import Waiting, is_reached
from tests.unit.client.logs import run
from tests.unit.client.scripted_server import RUN_ID, UNAVAILABLE, Asker, Failure, ScriptedServer

RUNNING = run(v1.RunStatus.RUN_STATUS_RUNNING)
ENDED = run(v1.RunStatus.RUN_STATUS_COMPLETED)
TERMINAL = v1.WaitUntil.WAIT_UNTIL_TERMINAL


class Stopwatch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def new_waiting(watch: Stopwatch, timeout_s: float | None) -> Waiting:
    timing = Timing(monotonic=watch, draw=lambda: 0.0)
    return Waiting(RUN_ID, TERMINAL, timeout_s=timeout_s, connect=UNARY, reconnect=RECONNECT, timing=timing)


async def test_waiting_goes_on_until_the_run_has_ended(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.WAIT_RUN, RUNNING, RUNNING, ENDED)

    assert await asker.call("wait_run", RUN_ID) == ENDED

    assert [request.timeout.ToMilliseconds() for request in server.requests] == [55_000] * 3


async def test_a_wait_survives_a_server_that_goes_away(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.WAIT_RUN, RUNNING, *[UNAVAILABLE] * 10, ENDED)

    assert await asker.call("wait_run", RUN_ID) == ENDED


async def test_a_wait_that_never_begins_is_given_up_soon(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.WAIT_RUN, *[UNAVAILABLE] * 30)

    with pytest.raises(sendoff.Unavailable):
        await asker.call("wait_run", RUN_ID)

    assert len(server.requests) == 6


async def test_a_refused_wait_is_not_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.WAIT_RUN, Failure(grpc.StatusCode.NOT_FOUND, reason="RUN_NOT_FOUND"))

    with pytest.raises(sendoff.NotFound):
        await asker.call("wait_run", RUN_ID)


async def test_no_time_to_wait_is_one_question(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.WAIT_RUN, RUNNING)

    assert await asker.call("wait_run", RUN_ID, timeout_s=0) == RUNNING

    assert server.requests[0].timeout.ToMilliseconds() == 0


async def test_the_call_may_take_longer_than_the_server_waits(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.WAIT_RUN, ENDED)

    await asker.call("wait_run", RUN_ID, v1.WaitUntil.WAIT_UNTIL_TURN_END)

    (remaining,) = server.remaining_s
    assert remaining is not None
    assert 60 < remaining < 65.5
    assert server.requests[0].until == v1.WaitUntil.WAIT_UNTIL_TURN_END


def test_the_last_call_waits_for_what_is_left() -> None:
    watch = Stopwatch()
    waiting = new_waiting(watch, 60)

    asked = []
    pause: float | None = 0.0
    while pause is not None:
        asked.append(waiting.call().request.timeout.ToMilliseconds())
        watch.now += waiting.asked_s
        pause = waiting.answered(RUNNING)

    assert asked == [55_000, 5_000]


def test_a_server_that_answers_too_early_is_not_asked_in_a_tight_loop() -> None:
    waiting = new_waiting(Stopwatch(), None)
    waiting.call()

    pause = waiting.answered(RUNNING)

    assert pause is not None
    assert pause > 0.1


def test_a_failure_without_time_for_another_call_is_the_end() -> None:
    watch = Stopwatch()
    waiting = new_waiting(watch, 1)
    waiting.call()
    watch.now = 0.99

    with pytest.raises(sendoff.Unavailable):
        waiting.failed(sendoff.Unavailable("away", code=grpc.StatusCode.UNAVAILABLE))


ASKS = v1.Run(
    status=v1.RunStatus.RUN_STATUS_COMPLETED,
    stop_reason=v1.StopReason.STOP_REASON_REQUIRES_APPROVAL,
    pending_actions=[v1.PendingAction()],
)


@pytest.mark.parametrize(
    ("until", "reached", "not_yet"),
    [
        (v1.WaitUntil.WAIT_UNTIL_TERMINAL, [ENDED, ASKS], [RUNNING]),
        (v1.WaitUntil.WAIT_UNTIL_UNSPECIFIED, [ENDED, ASKS], [RUNNING]),
        (v1.WaitUntil.WAIT_UNTIL_STARTED, [ENDED, RUNNING], [run(v1.RunStatus.RUN_STATUS_CREATED)]),
        (
            v1.WaitUntil.WAIT_UNTIL_ACTION_OR_TERMINAL,
            [ENDED, ASKS, v1.Run(pending_actions=[v1.PendingAction()])],
            [RUNNING],
        ),
        (v1.WaitUntil.WAIT_UNTIL_TURN_END, [ENDED], [RUNNING, ASKS]),
    ],
)
def test_what_was_waited_for_is_told_from_the_run(
    until: v1.WaitUntil.ValueType, reached: list[v1.Run], not_yet: list[v1.Run]
) -> None:
    assert all(is_reached(each, until) for each in reached)
    assert not any(is_reached(each, until) for each in not_yet)
