"""What the model is shown of a conversation that was compacted, and how full that makes its window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.body import Done, Work
from sendoff_server.context import summary, tokens
from sendoff_server.context.context import Context, assembled, fill
from sendoff_server.context.history_memory import Measured
from sendoff_server.store.port import INPUT_PLACE, POSITION_SHIFT
from sendoff_server.store.questions import History
from tests.unit.context.histories import answered, called, check_valid, histories, returned, said

SEQ = 7
BEGAN = SEQ << POSITION_SHIFT
COMPACTION = summary.Compaction(
    trigger="t", summary="Lanterns.", tokens_before=9, window=10, messages_before=8, messages_after=2
)


def work() -> Work:
    entry = said("Well?")
    entry.position = BEGAN + INPUT_PLACE
    run, request = v1.Run(id="run-1"), v1.CreateMessageAsyncRequest()
    return Work(tenant="t", lane="l", seq=SEQ, run=run, request=request, input=[entry])


def shown_of(history: History, *own: v1.Message, answered: bool = False) -> Context:
    return assembled(history, Done(entries=list(own), answered=answered), work(), "")


def compacted(position: int, context_start: int) -> list[v1.Message]:
    event, told = summary.structured(COMPACTION)
    event.position, told.position, told.context_start = position, position + 1, context_start
    return [event, told]


@given(histories(), st.data())
def test_a_context_is_summary_then_what_was_kept_then_the_input(history: list[v1.Message], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(history)))
    keep = data.draw(st.integers(0, at))
    for entry in history[at:]:
        entry.position += 2
    start = history[keep].position if keep < len(history) else BEGAN
    entries = [*history[:at], *compacted(10 + at, start), *history[at:]]
    shown = shown_of(History(entries, True, entries[at + 1]), *work().input).messages
    assert shown[0].summary_message.summary == f"{summary.NOTE}\n\nLanterns."
    assert shown[1:-1] == [entry for entry in history if entry.position >= start]
    assert shown[-1] == work().input[0]


@given(histories())
def test_without_a_compaction_a_context_begins_where_somebody_speaks(history: list[v1.Message]) -> None:
    for start in range(len(history)):
        shown = shown_of(History(history[start:], is_whole=False), *work().input).messages
        check_valid(shown)
        assert shown[0].WhichOneof("kind") == "user_message"


def test_only_the_newest_of_two_compactions_counts() -> None:
    own = [*work().input, *compacted(BEGAN + 1010, BEGAN), *compacted(BEGAN + 1012, BEGAN)]
    context = shown_of(History([], True), *own)
    assert [entry.WhichOneof("kind") for entry in context.messages] == ["summary_message", "user_message"]
    assert context.newest_position == BEGAN + 1013


def test_a_context_is_plain_only_if_all_of_it_is() -> None:
    shows = v1.Message(position=BEGAN + 1024)
    returned = shows.tool_return_message.tool_returns.add(tool_call_id="call-1")
    returned.tool_return.parts.parts.add().image.letta.file_id = "file-1"
    asked = said("Where?")
    asked.position = BEGAN + 1
    assert shown_of(History([asked], True, is_plain=True), *work().input).is_plain
    assert not shown_of(History([asked], True), *work().input).is_plain
    assert not shown_of(History([asked], True, is_plain=True), *work().input, shows).is_plain


def test_input_is_shown_once_and_last_until_it_is_answered() -> None:
    (asked,) = work().input
    settled, answer = returned("call-1"), answered("Yes.")
    settled.position, answer.position = BEGAN + 1, BEGAN + 1024
    past = [said("Look."), called("call-1")]
    past[0].position, past[1].position = 1, 2
    waiting = shown_of(History(past, True), settled, asked)
    assert (waiting.history, waiting.input) == ([*past, settled], [asked])
    going_on = shown_of(History(past, True), settled, asked, answer, answered=True)
    assert (going_on.history, list(going_on.input)) == ([*past, settled, asked, answer], [])


def test_a_run_that_compacts_itself_leaves_its_own_beginning_behind() -> None:
    steps = [called("a"), returned("a"), called("b"), returned("b")]
    for place, entry in enumerate(steps):
        entry.position = BEGAN + 2_000 + place
    own = [*work().input, *steps[:2], *compacted(BEGAN + 2_500, steps[2].position), *steps[2:]]
    context = shown_of(History([said("Before.")], is_whole=False), *own, answered=True)
    assert context.messages[0].HasField("summary_message")
    assert context.messages[1:] == steps[2:]
    assert context.is_whole


def test_both_forms_of_a_compaction_read_the_same() -> None:
    (alert,) = summary.as_alert(COMPACTION, "2026-01-01T00:00:00+00:00")
    _, told = summary.structured(COMPACTION)
    assert summary.as_told(alert).summary_message == summary.as_told(told).summary_message
    assert summary.kept_words(summary.as_told(alert)) == "Lanterns."


def counted(position: int, handle: str = "m") -> Measured:
    return Measured(handle, position, system_tokens=2, tokens=500)


def context(system: str = "x" * 8) -> Context:
    history = [said("x" * 40), answered("x" * 40)]
    history[0].position, history[1].position = 1, 2
    return Context(system=system, history=history, input=work().input)


def test_what_the_provider_counted_is_trusted_and_the_rest_guessed() -> None:
    newer = tokens.of_entry(work().input[0])
    assert fill(context(), "m", counted(2)) == 500 + newer
    assert fill(context(system="x" * 48), "m", counted(2)) == 500 + newer + 10, "a longer system prompt"


@pytest.mark.parametrize("measured", [None, counted(2, "other"), counted(99)], ids=["none", "other model", "gone"])
def test_a_count_of_something_else_is_not_used(measured: Measured | None) -> None:
    assert fill(context(), "m", measured) == context().estimated_tokens == 2 + 14 + 14 + 6
