"""Hints as NOTIFY takes them: any text, in payloads that are small enough."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server import ids
from sendoff_server.store.hints import Gone, Hint, LanesWait, Text, Watches, Wrote
from sendoff_server.store.postgres.hint_payloads import read, written

ME, YOU = ids.new("replica"), ids.new("replica")
POSTGRES_MAX_BYTES = 7_999
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
times = st.sampled_from([1, 30, 300])


def sent(hints: Sequence[Hint]) -> list[tuple[str | None, Hint]]:
    """What arrives, with to whom it was sent."""
    arrived: list[tuple[str | None, Hint]] = []
    for to, payload in written(ME, hints):
        assert len(payload.encode()) <= POSTGRES_MAX_BYTES
        assert "\0" not in payload
        sender, read_hints = read(payload)
        assert sender == ME
        arrived += [(to, hint) for hint in read_hints]
    return arrived


@given(any_text, times, st.sampled_from(["text", "reasoning", "tool_arguments"]), st.integers(0, 1 << 40))
def test_any_text_arrives_as_it_is_in_pieces_whose_offsets_fit(text: str, times: int, kind: str, offset: int) -> None:
    delta = v1.MessageDelta(message_id=ids.new("message"), part_index=3, offset=offset)
    setattr(delta, kind, text * times)
    arrived = ""
    for to, hint in sent([Text(YOU, "run-1", 7, delta)]):
        assert isinstance(hint, Text)
        assert (to, hint.run_id, hint.sequence) == (YOU, "run-1", 7)
        assert (hint.delta.message_id, hint.delta.part_index) == (delta.message_id, 3)
        assert hint.delta.offset == offset + len(arrived)
        arrived += getattr(hint.delta, kind)
    assert arrived == text * times


def test_text_of_nul_and_of_characters_beyond_the_first_plane_arrives() -> None:
    text = "\0𝄞" * 4_000
    pieces = sent([Text(YOU, "run-1", 7, v1.MessageDelta(message_id="message-1", text=text))])
    assert len(pieces) > 1
    assert "".join(hint.delta.text for _, hint in pieces if isinstance(hint, Text)) == text


def test_small_pieces_for_one_replica_share_a_payload_and_go_to_nobody_else() -> None:
    small = [Text(to, f"run-{n}", 7, v1.MessageDelta(text="x")) for n in range(20) for to in (YOU, ME)]
    assert [to for to, _ in written(ME, small)] == [YOU, ME]


def test_runs_of_any_number_are_told() -> None:
    run_ids = [ids.new("run") for _ in range(1_000)]
    told = [run_id for _, hint in sent([Wrote(run_ids)]) if isinstance(hint, Wrote) for run_id in hint.run_ids]
    assert told == run_ids


def test_who_watches_is_told() -> None:
    run_ids = [ids.new("run") for _ in range(900)]
    watches = Watches(begin=run_ids[:300], still=dict.fromkeys(run_ids[300:600], 123_456), over=run_ids[600:])
    hints = [hint for _, hint in sent([watches]) if isinstance(hint, Watches)]
    assert [run_id for hint in hints for run_id in hint.begin] == run_ids[:300]
    assert {run_id: held for hint in hints for run_id, held in hint.still.items()} == watches.still
    assert [run_id for hint in hints for run_id in hint.over] == run_ids[600:]


def test_what_was_deleted_is_told() -> None:
    owner_ids = [ids.new("agent") for _ in range(300)]
    assert [
        owner_id for _, hint in sent([Gone(owner_ids)]) if isinstance(hint, Gone) for owner_id in hint.owner_ids
    ] == (owner_ids)


def test_that_lanes_wait_is_told() -> None:
    assert sent([LanesWait()]) == [(None, LanesWait())]


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "text",
        "tomorrow replica-1 run-1",
        "text replica-1 run-1:x:AAAA",
        "text replica-1 run-1:7:!",
        "text replica-1 run-1:7://///w==",
        "text replica-1 run-1",
        "watches replica-1 =run-1:many",
    ],
)
def test_what_cannot_be_understood_is_passed_over(payload: str) -> None:
    assert read(payload)[1] == []
