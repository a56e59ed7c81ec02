"""How many attempts a receiver may have under way, with time in the test's hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sendoff_server.callbacks import breaker as breaker_module
from sendoff_server.callbacks.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE, PER_RECEIVER, Breaker

BAD = "bad.example:443"


def breaker(at_once: int = 100, chance: Callable[[], float] = lambda: 0.5) -> Breaker:
    return Breaker(at_once, chance)


def fail(made: Breaker, receiver: str, now_s: float, times: int = 1) -> float | None:
    """One attempt after the other; what the last one brings about."""
    pause_s = None
    for _ in range(times):
        made.begin(receiver)
        pause_s = made.failed(receiver, now_s)
        made.end(receiver)
    return pause_s


def may(made: Breaker, receiver: str, now_s: float) -> int:
    return made.room(now_s).get(receiver, PER_RECEIVER)


def test_one_that_does_well_has_what_is_left_of_its_share() -> None:
    made = breaker()
    assert may(made, "good", 0) == PER_RECEIVER
    for left in reversed(range(PER_RECEIVER)):
        made.begin("good")
        assert may(made, "good", 0) == left
    made.end("good")
    made.succeeded("good")
    assert may(made, "good", 0) == 1


def test_nothing_is_remembered_of_one_that_does_well() -> None:
    made = breaker()
    made.begin("good")
    made.succeeded("good")
    made.end("good")
    assert made.room(0) == {}


def test_after_a_failure_it_has_one_at_a_time_until_one_succeeds() -> None:
    made = breaker()
    fail(made, BAD, 0)
    assert may(made, BAD, 0) == 1
    made.begin(BAD)
    assert may(made, BAD, 0) == 0
    made.succeeded(BAD)
    assert may(made, BAD, 0) == PER_RECEIVER - 1


def test_its_first_failures_make_no_pause() -> None:
    made = breaker()
    assert fail(made, BAD, 0, PATIENCE - 1) is None
    assert may(made, BAD, 0) == 1


def test_failures_in_a_row_make_a_pause_and_a_success_between_them_makes_none() -> None:
    made = breaker()
    fail(made, BAD, 0, PATIENCE - 1)
    made.succeeded(BAD)
    assert fail(made, BAD, 0, PATIENCE - 1) is None
    assert fail(made, BAD, 0) == FIRST_PAUSE_S


def test_a_pause_is_over_at_its_time_and_then_it_is_probed_by_one() -> None:
    made = breaker()
    fail(made, BAD, 100, PATIENCE)
    assert may(made, BAD, 100) == 0
    assert may(made, BAD, 100 + FIRST_PAUSE_S - 0.001) == 0
    assert may(made, BAD, 100 + FIRST_PAUSE_S) == 1
    made.begin(BAD)
    assert may(made, BAD, 100 + FIRST_PAUSE_S) == 0


def test_a_probe_that_tells_nothing_leaves_the_next_one_to_be_made() -> None:
    made = breaker()
    fail(made, BAD, 0, PATIENCE)
    made.begin(BAD)
    made.end(BAD)
    assert may(made, BAD, FIRST_PAUSE_S) == 1


def test_each_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    made = breaker()
    now_s = 0.0
    pauses = [fail(made, BAD, now_s, PATIENCE)]
    for _ in range(40):
        now_s += pauses[-1] or 0
        pauses.append(fail(made, BAD, now_s))
    assert pauses[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert set(pauses[6:]) == {LONGEST_PAUSE_S}


@pytest.mark.parametrize(("chance", "pause_s"), [(0.0, 4.0), (1.0, 6.0)])
def test_pauses_differ_so_that_what_failed_together_does_not_come_back_together(chance: float, pause_s: float) -> None:
    assert fail(breaker(chance=lambda: chance), BAD, 0, PATIENCE) == pytest.approx(pause_s)


def test_failures_of_attempts_that_had_begun_before_the_pause_do_not_lengthen_it() -> None:
    made = breaker()
    fail(made, BAD, 0, PATIENCE)
    assert fail(made, BAD, 1, 10) is None
    assert may(made, BAD, FIRST_PAUSE_S) == 1
    assert fail(made, BAD, FIRST_PAUSE_S) == 2 * FIRST_PAUSE_S


def test_a_success_of_one_that_had_begun_before_the_pause_ends_it() -> None:
    made = breaker()
    fail(made, BAD, 0, PATIENCE)
    made.succeeded(BAD)
    assert may(made, BAD, 0) == PER_RECEIVER


def many(made: Breaker, count: int) -> Sequence[str]:
    """So many that fail."""
    receivers = [f"{number}.example:80" for number in range(count)]
    for receiver in receivers:
        fail(made, receiver, 0)
    return receivers


def offered(made: Breaker, receivers: Sequence[str]) -> list[str]:
    room = made.room(0)
    return [receiver for receiver in receivers if room[receiver]]


def test_those_that_fail_share_half_of_the_attempts_and_the_others_lose_nothing() -> None:
    made = breaker(at_once=10)
    receivers = many(made, 20)
    assert len(offered(made, receivers)) == 5
    for taken in range(1, 6):
        made.begin(offered(made, receivers)[0])
        assert len(offered(made, receivers)) == 5 - taken
    assert may(made, "good", 0) == PER_RECEIVER


def test_those_that_fail_take_turns_so_that_none_waits_for_ever() -> None:
    made = breaker(at_once=10)
    receivers = many(made, 20)
    turns = [offered(made, receivers) for _ in range(4)]
    assert sorted(receiver for turn in turns for receiver in turn) == sorted(receivers)


def test_one_attempt_at_a_time_is_left_for_those_that_fail_however_small_the_server() -> None:
    made = breaker(at_once=1)
    assert len(offered(made, many(made, 3))) == 1


def test_so_many_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "MOST_FAILING", 3)
    made = breaker()
    many(made, 5)
    assert set(made.room(0)) == {"2.example:80", "3.example:80", "4.example:80"}
