"""An answer grows part by part: what is shown as it comes is in the order of the parts that it adds up to."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)

from sendoff_server.models.answer import GrowingAnswer
from sendoff_server.models.port import Delta, DeltaKind

_pieces = st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "bc", " ", "é", "\ud83c", "\udf0d"])), max_size=12)


def _taken(events: Sequence[ModelResponseStreamEvent]) -> tuple[list[Delta], list[tuple[DeltaKind, str]]]:
    """The deltas, and the kinds and texts of the parts."""
    growing = GrowingAnswer("some")
    deltas = [delta for event in events if (delta := growing.take(event)) is not None]
    deltas += growing.end()
    parts = [
        (DeltaKind.TEXT, part.text.text) if part.HasField("text") else (DeltaKind.REASONING, part.reasoning.reasoning)
        for part in growing.parts()
    ]
    return deltas, parts


@given(_pieces)
def test_text_and_reasoning_that_take_turns_are_parts_in_that_order(pieces: list[tuple[bool, str]]) -> None:
    """Some providers tell both in turns, and the library knows them as one part each."""
    begun: dict[bool, int] = {}
    events: list[ModelResponseStreamEvent] = []
    for is_text, text in pieces:
        if is_text not in begun:
            begun[is_text] = len(begun)
            part = TextPart(text) if is_text else ThinkingPart(text, id="reasoning_content")
            events.append(PartStartEvent(index=begun[is_text], part=part))
        else:
            more = TextPartDelta(text) if is_text else ThinkingPartDelta(content_delta=text)
            events.append(PartDeltaEvent(index=begun[is_text], delta=more))
    deltas, parts = _taken(events)
    assert [delta.part_index for delta in deltas] == sorted(delta.part_index for delta in deltas)
    for index, (kind, text) in enumerate(parts):
        assert text == "".join(delta.text for delta in deltas if delta.part_index == index)
        assert {delta.kind for delta in deltas if delta.part_index == index} == {kind}


def test_a_signature_that_comes_late_belongs_to_the_part_that_it_signs() -> None:
    events: list[ModelResponseStreamEvent] = [
        PartStartEvent(index=0, part=ThinkingPart("hm", id="rs_1")),
        PartStartEvent(index=1, part=TextPart("yes")),
        PartDeltaEvent(index=0, delta=ThinkingPartDelta(signature_delta="sealed")),
    ]
    deltas, parts = _taken(events)
    assert [delta.text for delta in deltas] == ["hm", "yes"]
    assert parts == [(DeltaKind.REASONING, "hm"), (DeltaKind.TEXT, "yes")]
