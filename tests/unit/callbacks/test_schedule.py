"""When a delivery is tried again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sendoff_server.callbacks.schedule import (
    JITTER,
    LONGEST_ASKED_S,
    LONGEST_PAUSE_S,
    is_delivered,
    is_final,
    next_attempt_ns,
    pause_s,
    retry_after_s,
)
from sendoff_server.clock import SECOND_NS

NOW_S = 1_700_000_000
NOW_NS = NOW_S * SECOND_NS
HOUR_S = 3_600


def test_pauses_grow_until_the_longest() -> None:
    pauses = [pause_s(attempts, 0.5) for attempts in range(1, 40)]
    assert pauses[:3] == [2, 6, 18]
    assert all(earlier <= later for earlier, later in pairwise(pauses))
    assert pauses[-1] == pause_s(10**9, 0.5) == LONGEST_PAUSE_S


@pytest.mark.parametrize("attempts", [1, 5, 30])
def test_chance_makes_a_pause_a_fifth_shorter_or_longer(attempts: int) -> None:
    usual = pause_s(attempts, 0.5)
    assert pause_s(attempts, 0.0) == pytest.approx(usual * (1 - JITTER))
    assert pause_s(attempts, 1.0) == pytest.approx(usual * (1 + JITTER))


def test_tries_go_on_for_72_hours_and_are_about_20() -> None:
    last_ns = NOW_NS + 72 * HOUR_S * SECOND_NS
    tried = [NOW_NS]
    while (following := next_attempt_ns(tried[-1], pause_s(len(tried), 0.5), last_ns)) is not None:
        tried.append(following)
    assert 15 <= len(tried) <= 25
    assert last_ns - 6 * HOUR_S * SECOND_NS <= tried[-1] <= last_ns


def test_a_receiver_may_ask_for_a_longer_pause_but_not_for_a_shorter_one_or_for_ever() -> None:
    assert pause_s(1, 0.5, 100.0) == 100.0
    assert pause_s(9, 0.5, 1.0) == pause_s(9, 0.5)
    assert pause_s(1, 0.5, 10.0**9) == LONGEST_ASKED_S


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1e9", 0.0),
        ("٣", 0.0),
        ("9" * 400, LONGEST_ASKED_S),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        ("Tue, 14 Nov 2023 22:13:19 GMT", 0.0),
        ("Tue, 99 Nov 2023 22:13:19 GMT", 0.0),
        ("Tue, 14 Nov 99999 22:13:19 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_else_nothing(header: str, expected: float) -> None:
    assert retry_after_s(header, NOW_NS) == expected


def test_any_2xx_is_receipt_and_410_the_wish_for_no_more() -> None:
    statuses = range(100, 600)
    assert [status for status in statuses if is_delivered(status)] == list(range(200, 300))
    assert [status for status in statuses if is_final(status)] == [410]
