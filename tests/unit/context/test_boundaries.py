"""Where a history is cut: what is left is valid, as long as may be, and shorter than before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.context import tokens
from sendoff_server.context.boundaries import ANSWERED, SPOKEN, first_kept, from_a_turn_on
from tests.unit.context.histories import answered, called, check_valid, histories, placed, returned, said, thought


@given(histories(), st.integers(0, 300))
def test_what_is_kept_is_valid_and_fits_and_something_goes(history: list[v1.Message], budget: int) -> None:
    index = first_kept(history, budget)
    kept = history[index:]
    check_valid(kept)
    assert tokens.of_entries(kept) <= budget
    assert index >= 1 or not history
    if kept:
        assert kept[0].WhichOneof("kind") in SPOKEN | ANSWERED
        assert kept[0].id != history[index - 1].id, "half an answer is kept"


@given(histories(), st.integers(0, 300))
def test_no_longer_part_that_begins_a_turn_would_have_fitted(history: list[v1.Message], budget: int) -> None:
    index = first_kept(history, budget)
    longer = range(1, index)
    turns = [i for i in longer if history[i].WhichOneof("kind") in SPOKEN]
    assert all(tokens.of_entries(history[i:]) > budget for i in turns)


@given(histories())
def test_a_history_without_a_summary_begins_where_somebody_speaks(history: list[v1.Message]) -> None:
    for start in range(len(history) + 1):
        kept = list(from_a_turn_on(history[start:]))
        check_valid(kept)
        assert not kept or kept[0].WhichOneof("kind") in SPOKEN


def test_a_single_long_turn_is_cut_between_its_answers() -> None:
    steps = [[thought("hm"), called(f"c{n}")] if n % 2 == 0 else [returned(f"c{n - 1}")] for n in range(8)]
    history = placed([[said("Look around.")], *steps])
    index = first_kept(history, tokens.of_entries(history[-4:]))
    assert history[index].HasField("reasoning_message")
    assert 0 < len(history) - index <= 4
    check_valid(history[index:])


def test_somebody_s_words_between_a_call_and_its_return_are_no_place_to_begin() -> None:
    history = placed([[said("Look.")], [called("c")], [said("Well?")], [returned("c")], [answered("Seen.")]])
    index = first_kept(history, tokens.of_entries(history[2:]))
    assert [entry.WhichOneof("kind") for entry in history[index:]] == ["assistant_message"]


def test_approvals_and_imported_calls_count_as_calls() -> None:
    part = v1.ContentPart(tool_call=v1.ToolCallPart(id="c", name="look"))
    call = v1.AssistantMessage(content=v1.Content(parts=v1.Content.Parts(parts=[part])))
    decision = v1.ActionDecision(approval=v1.Approval(tool_call_id="c", approve=True))
    history = placed(
        [
            [v1.Message(assistant_message=call)],
            [said("Well?")],
            [v1.Message(approval_response_message=v1.ApprovalResponseMessage(approvals=[decision]))],
        ]
    )
    assert first_kept(history, 1000) == len(history)
