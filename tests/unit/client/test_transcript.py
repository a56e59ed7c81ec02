"""A transcript is what the model has written, whatever order and pieces it came in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff.transcript import Transcript
from tests.unit.client.logs import delta, said, steady


def final(message: v1.Message, sequence: int = 1) -> v1.RunEvent:
    return v1.RunEvent(sequence=sequence, message=message)


def retracted(message_id: str) -> v1.RunEvent:
    return v1.RunEvent(message_retracted=v1.MessageRetracted(message_id=message_id))


@steady
@given(st.text(max_size=30), st.lists(st.integers(0, 30)), st.data())
def test_pieces_make_the_text_however_it_is_cut_and_repeated(text: str, cuts: list[int], data: st.DataObject) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    transcript, shown = Transcript(), ""

    for begin, stop in pairwise(places):
        known = data.draw(st.integers(0, begin))  # some of what is known comes again
        for change in transcript.apply(delta("m", text[known:stop], offset=known)):
            assert not change.rewritten
            shown += change.added

    assert transcript.text == shown == text


def test_a_delta_that_replaces_is_shown_from_where_it_differs() -> None:
    transcript = Transcript()
    transcript.apply(delta("m", "Hello"))

    (longer,) = transcript.apply(delta("m", "Hello there", replaces=True))
    (other,) = transcript.apply(delta("m", "Good morning", replaces=True))

    assert (longer.added, longer.rewritten) == (" there", False)
    assert (other.added, other.rewritten) == ("Good morning", True)
    assert transcript.text == "Good morning"


def test_a_piece_behind_a_lost_one_waits_for_the_text_that_replaces() -> None:
    transcript = Transcript()
    transcript.apply(delta("m", "Hello"))

    assert transcript.apply(delta("m", "friend", offset=11)) == []
    transcript.apply(delta("m", "Hello my friend", replaces=True))

    assert transcript.text == "Hello my friend"


def test_the_final_message_has_the_last_word() -> None:
    transcript = Transcript()
    transcript.apply(delta("m", "Hel"))

    (change,) = transcript.apply(final(said("m", "Hello")))

    assert change.added == "lo"
    assert transcript.apply(delta("m", "lo there", offset=3)) == []
    assert transcript.text == "Hello"
    assert [part.is_final for part in transcript.parts] == [True]


def test_the_messages_of_one_answer_end_the_parts_of_their_kind() -> None:
    transcript = Transcript()
    transcript.apply(v1.MessageDelta(message_id="m", part_index=0, reasoning="I thi"))
    transcript.apply(delta("m", "Hel", part_index=1))
    transcript.apply(v1.MessageDelta(message_id="m", part_index=2, tool_arguments='{"a"'))

    calls = [v1.ToolCall(arguments='{"a":1}'), v1.ToolCall(arguments="{}")]
    transcript.apply(final(v1.Message(id="m", reasoning_message=v1.ReasoningMessage(reasoning="I think"))))
    transcript.apply(final(said("m", "Hello")))
    transcript.apply(final(v1.Message(id="m", tool_call_message=v1.ToolCallMessage(tool_calls=calls))))

    assert [(part.part_index, part.kind, part.text, part.is_final) for part in transcript.parts] == [
        (0, "reasoning", "I think", True),
        (1, "text", "Hello", True),
        (2, "tool_arguments", '{"a":1}', True),
        (3, "tool_arguments", "{}", True),
    ]
    assert transcript.text == "Hello"


def test_what_is_retracted_is_forgotten_and_may_be_written_anew() -> None:
    transcript = Transcript()
    transcript.apply(final(said("first", "Stays.")))
    transcript.apply(delta("m", "Hello"))

    (change,) = transcript.apply(retracted("m"))
    assert (change.added, change.rewritten) == ("", True)
    assert transcript.text == "Stays."

    assert transcript.apply(delta("m", "there", offset=6)) == []
    transcript.apply(delta("m", "Good morning"))
    assert transcript.text == "Stays.\n\nGood morning"


def test_a_snapshot_is_what_was_so_far() -> None:
    transcript = Transcript()
    snapshot = v1.RunSnapshot(
        messages=[v1.Message(id="u", user_message=v1.UserMessage(content=v1.Content(text="Hi"))), said("a", "One.")],
        in_progress=[delta("b", "Tw", replaces=True)],
    )

    transcript.apply(snapshot)
    transcript.apply(delta("b", "o.", offset=2))

    assert transcript.text == "One.\n\nTwo."


def test_parts_that_were_imported_are_text_too() -> None:
    parts = [v1.ContentPart(text=v1.Text(text="Hel")), v1.ContentPart(text=v1.Text(text="lo"))]
    content = v1.Content(parts=v1.Content.Parts(parts=parts))
    transcript = Transcript()

    transcript.apply(final(v1.Message(id="m", assistant_message=v1.AssistantMessage(content=content))))

    assert transcript.text == "Hello"


def test_events_without_text_change_nothing() -> None:
    transcript = Transcript()

    assert transcript.apply(v1.RunEvent(step_started=v1.StepStarted())) == []
    assert transcript.parts == []
