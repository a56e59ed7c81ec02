"""What the model is given to summarize, and what is kept of its answer."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.context import summary, tokens
from tests.unit.context.histories import answered, called, histories, returned, said, thought

EARLIER = summary.as_told(v1.Message(summary_message=v1.SummaryMessage(summary="They met at noon.")))


def test_a_transcript_tells_who_said_and_did_what() -> None:
    entries = [said("Look."), thought("secret"), called("c"), returned("c", text="a cat"), answered("A cat.")]
    assert summary.transcript(EARLIER, entries, 1000).splitlines() == [
        "The conversation to shorten:",
        f"[{summary.NOTE}",
        "",
        "They met at noon.]",
        "user: Look.",
        'assistant: [calls look with {"at": "it"}]',
        "tool: a cat",
        "assistant: A cat.",
    ]


@given(histories(), st.integers(-10, 400), st.booleans())
def test_a_transcript_keeps_to_its_length_and_says_what_it_leaves_out(
    history: list[v1.Message], most: int, has_earlier: bool
) -> None:
    text = summary.transcript(EARLIER if has_earlier else None, history, most)
    assert tokens.of_text(text) <= max(0, most) + 40
    whole = summary.transcript(None, history, 100_000)
    assert "left out" not in whole
    if not has_earlier and tokens.of_text(whole) <= most:
        assert text == whole


def test_one_long_message_does_not_push_out_the_others() -> None:
    entries = [said("My name is Ada."), said("x" * 4000), said("Goodbye.")]
    text = summary.transcript(None, entries, 200)
    assert "Ada" in text
    assert "Goodbye" in text
    assert "xxx ..." in text


@given(st.text(), st.integers(0, 50))
def test_what_is_clipped_fits_and_is_a_beginning(text: str, most: int) -> None:
    short = summary.clipped(text, most)
    assert len(short.encode()) <= max(most, 4)
    assert text.startswith(short.removesuffix(" ..."))


def test_a_summary_that_is_much_too_long_is_cut() -> None:
    parts = [v1.ContentPart(reasoning=v1.Reasoning(reasoning="hm")), v1.ContentPart(text=v1.Text(text=" y" * 5000))]
    assert tokens.of_text(summary.words_of(parts, 60)) <= 120
    assert summary.words_of(parts[:1], 60) == ""


def told(**fields: object) -> str:
    base = {"trigger": "t", "summary": "", "tokens_before": 1, "window": 1, "messages_before": 1, "messages_after": 1}
    compaction = summary.Compaction(**{**base, **fields})  # type: ignore[arg-type]  # test data by name
    event, entry = summary.structured(compaction)
    failure = json.loads(event.event_message.event_data.json).get("summary_failure")
    assert failure == fields.get("failure")
    return entry.summary_message.summary


def test_what_a_summary_does_not_tell_of_is_said() -> None:
    assert told(summary="S") == "S"
    assert told(failure="MODEL_REFUSED") == summary.NO_SUMMARY
    assert told(summary="S", failure="MODEL_REFUSED") == f"S\n\n{summary.LEFT_OUT}"
    again = told(summary=f"S\n\n{summary.LEFT_OUT}", failure="MODEL_REFUSED")
    assert again == f"S\n\n{summary.LEFT_OUT}"
    assert told(summary="S", has_gap=True) == f"S\n\n{summary.GAP}"
