"""Pauses grow, are drawn, keep to what the server asks for, and end with the deadline."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff.connection import LONGEST_RECONNECT_MS
from sendoff.errors import QueueFull, SendoffError, Unavailable
from sendoff.retry import RECONNECT, UNARY, Attempts, Backoff, RetryPolicy, Timing, is_passing
from tests.unit.client.logs import steady

AWAY = Unavailable("away", code=grpc.StatusCode.UNAVAILABLE)
FULL = QueueFull("full", code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after_s=4.0)


def pauses(policy: RetryPolicy, draw: float, error: SendoffError = AWAY) -> list[float]:
    """All pauses that a policy takes before it gives up."""
    backoff = Backoff(policy, lambda: draw)
    taken = [backoff.pause_s(error) for _ in range(policy.max_attempts - 1)]
    with pytest.raises(type(error)):
        backoff.pause_s(error)
    return taken


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(max_attempts=6, initial_backoff_s=1, max_backoff_s=4)

    assert pauses(policy, 0.0) == [0.5, 1.0, 2.0, 2.0, 2.0]


@steady
@given(st.floats(0, 1, exclude_max=True))
def test_a_pause_is_between_half_of_it_and_all(draw: float) -> None:
    (pause,) = pauses(RetryPolicy(max_attempts=2, initial_backoff_s=1), draw)

    assert 0.5 <= pause <= 1


@steady
@given(st.floats(0, 1, exclude_max=True))
def test_the_server_is_not_asked_before_it_said(draw: float) -> None:
    (pause,) = pauses(RetryPolicy(max_attempts=2), draw, FULL)

    assert 4 <= pause <= 5


def test_a_server_that_is_back_is_connected_to_before_a_call_gives_up() -> None:
    """Else calls fail when the last other server goes right then. gRPC adds up to a fifth to its pauses."""
    assert sum(pauses(UNARY, 0.0)) > 1.2 * LONGEST_RECONNECT_MS / 1_000


def test_patience_is_some_seconds_for_a_call_and_a_minute_or_two_for_a_watch() -> None:
    assert 1 < sum(pauses(UNARY, 0.0)) < sum(pauses(UNARY, 1.0)) < 5
    assert 30 < sum(pauses(RECONNECT, 0.0)) < sum(pauses(RECONNECT, 1.0)) < 120


def test_one_attempt_means_no_repeat() -> None:
    assert pauses(RetryPolicy(max_attempts=1), 0.0) == []


def test_a_pause_that_does_not_fit_before_the_deadline_is_not_taken() -> None:
    now = 0.0
    attempts = Attempts(10, UNARY, Timing(monotonic=lambda: now, draw=lambda: 0.0), repeatable=True)

    assert attempts.pause_s(FULL) == 4.0
    now = 6.5
    assert attempts.remaining_s() == 3.5
    with pytest.raises(QueueFull):
        attempts.pause_s(FULL)
    now = 11.0
    assert attempts.remaining_s() == 0.0


def test_what_grpc_cancelled_by_itself_is_repeated_and_what_the_server_did_is_not() -> None:
    assert is_passing(Unavailable("cancelled", code=grpc.StatusCode.CANCELLED))
    assert not is_passing(Unavailable("no", code=grpc.StatusCode.CANCELLED, reason="STOPPED", domain="sendoff"))
