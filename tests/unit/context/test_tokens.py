"""Guesses of tokens: never nothing for something, more for more, and not fooled by the bytes of pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.context import tokens
from tests.unit.context.histories import answered, called, histories, returned, said, thought


@given(st.text(), st.text())
def test_text_is_never_less_than_its_parts_allow(one: str, two: str) -> None:
    both = tokens.of_text(one + two)
    assert max(tokens.of_text(one), tokens.of_text(two)) <= both <= tokens.of_text(one) + tokens.of_text(two)
    assert (tokens.of_text(one) > 0) == bool(one)


def test_english_is_about_four_bytes_a_token_and_json_less() -> None:
    assert tokens.of_text("Seven lanterns burn.") == 5
    assert tokens.of_json('{"people": [1,2]}') > tokens.of_text('{"people": [1,2]}')
    assert tokens.of_text("七つの灯") > tokens.of_text("abcd")


@given(histories())
def test_every_entry_that_a_model_is_shown_counts(history: list[v1.Message]) -> None:
    assert all(tokens.of_entry(entry) > tokens.ENTRY_TOKENS for entry in history)
    assert tokens.of_entries(history) == sum(map(tokens.of_entry, history))


LONG = "lantern " * 100
LOCAL = v1.ToolReturn(tool_call_id="c", tool_return=v1.Content(text=LONG))


@pytest.mark.parametrize(
    "entry",
    [
        said(LONG),
        answered(LONG),
        thought(LONG),
        returned("c", text=LONG),
        v1.Message(system_message=v1.SystemMessage(content=LONG)),
        v1.Message(summary_message=v1.SummaryMessage(summary=LONG)),
        v1.Message(hidden_reasoning_message=v1.HiddenReasoningMessage(state="redacted", hidden_reasoning=LONG)),
        v1.Message(
            approval_response_message=v1.ApprovalResponseMessage(approvals=[v1.ActionDecision(tool=LOCAL)]),
        ),
        v1.Message(
            tool_return_message=v1.ToolReturnMessage(
                tool_returns=[v1.ToolReturn(tool_call_id="c", stdout=v1.OutputLines(lines=[LONG]))]
            )
        ),
        v1.Message(
            approval_request_message=v1.ApprovalRequestMessage(tool_calls=[v1.ToolCall(name="t", arguments=LONG)])
        ),
    ],
    ids=lambda entry: entry.WhichOneof("kind"),
)
def test_each_kind_is_charged_for_its_words(entry: v1.Message) -> None:
    assert 200 <= tokens.of_entry(entry) <= 280


@pytest.mark.parametrize(
    ("part", "least"),
    [
        (v1.ContentPart(text=v1.Text(text=LONG)), 200),
        (v1.ContentPart(tool_call=v1.ToolCallPart(name="t", input=v1.JsonObject(json=LONG))), 260),
        (v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c", content=LONG)), 200),
        (v1.ContentPart(reasoning=v1.Reasoning(reasoning=LONG)), 200),
    ],
)
def test_each_part_is_charged_for_its_words(part: v1.ContentPart, least: int) -> None:
    content = v1.Content(parts=v1.Content.Parts(parts=[part]))
    assert least <= tokens.of_content(content) <= least + 30


def test_a_picture_takes_the_same_whatever_its_bytes() -> None:
    def picture(size: int) -> v1.Message:
        image = v1.Image(base64=v1.Image.Base64(data=b"x" * size, media_type="image/png"))
        parts = v1.Content.Parts(parts=[v1.ContentPart(image=image)])
        return v1.Message(user_message=v1.UserMessage(content=v1.Content(parts=parts)))

    assert tokens.of_entry(picture(10)) == tokens.of_entry(picture(5_000_000)) > tokens.IMAGE_TOKENS


def test_what_a_model_is_not_shown_is_free() -> None:
    assert tokens.of_entry(v1.Message(event_message=v1.EventMessage(event_type="compaction"))) == 0
    assert tokens.of_entry(called()) == 0
