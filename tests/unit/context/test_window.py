"""When a window is full, and how much of it may stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.context.window import ASSUMED_TOKENS, Window, off_by

WINDOWS = st.builds(Window, st.integers(200, 2_000_000), st.booleans())


def test_the_window_is_the_model_s_or_assumed() -> None:
    assert Window.of(v1.Model(context_window=4096)) == Window(4096, is_known=True)
    assert Window.of(v1.Model()) == Window(ASSUMED_TOKENS, is_known=False)


@given(WINDOWS, st.integers(0, 3_000_000))
def test_after_a_compaction_the_window_is_not_full_unless_the_fixed_part_fills_it(window: Window, fixed: int) -> None:
    kept = window.kept_tokens(fixed)
    assert 0 <= kept <= window.tokens * 0.3
    if fixed + window.summary_tokens <= window.tokens * 0.5:
        assert fixed + window.summary_tokens + kept <= window.tokens * 0.5
        assert not window.is_full(fixed + window.summary_tokens * 2 + kept) or window.tokens < 400
    else:
        assert kept == 0


def test_nine_tenths_are_full() -> None:
    window = Window(1000, is_known=True)
    assert (window.is_full(900), window.is_full(901)) == (False, True)


def test_a_run_is_refused_unasked_only_where_the_guess_is_surely_right() -> None:
    assert not Window(1000, is_known=True).surely_too_small(1200)
    assert Window(1000, is_known=True).surely_too_small(1201)
    assert not Window(1000, is_known=False).surely_too_small(10**9)


@pytest.mark.parametrize(("window", "words"), [(1_000, 60), (4_096, 102), (32_000, 800), (1_000_000, 1_000)])
def test_a_summary_is_short_in_a_small_window(window: int, words: int) -> None:
    assert Window(window, is_known=True).summary_tokens == words


@given(WINDOWS, st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_provider_that_counts_more_shrinks_the_window_within_reason(window: Window, guess: int, count: int) -> None:
    wrong = off_by(guess, count)
    assert 1 <= wrong <= 4
    assert window.tokens // 4 <= window.divided(wrong).tokens <= window.tokens
    assert window.at_most(guess).tokens == max(1, min(guess, window.tokens))


def test_a_limit_counts_where_it_is_less_than_the_window() -> None:
    model = v1.Model(context_window=4096)
    assert Window.of(model, 1000) == Window(1000, is_known=True)
    assert Window.of(model, 9000) == Window(4096, is_known=True)
    assert Window.of(v1.Model(), 50_000) == Window(50_000, is_known=True)


@given(WINDOWS, st.integers(0, 3_000_000), st.floats(0.01, 1))
def test_a_share_of_the_window_is_kept_as_far_as_there_is_room(window: Window, fixed: int, share: float) -> None:
    kept = window.kept_tokens(fixed, share)
    assert 0 <= kept <= window.tokens * share
    assert kept == 0 or not window.is_full(fixed + window.summary_tokens + kept)
