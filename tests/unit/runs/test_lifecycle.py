"""Pure rules of a run's life."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server import ids, lifecycle
from sendoff_server.runs.accepting import fingerprint, keys_of, normalised
from sendoff_server.runs.draft import Draft
from sendoff_server.runs.usage import add_usage
from tests.fixtures.clock import ManualClock

REASONS = [value for value in v1.StopReason.values() if value != v1.STOP_REASON_UNSPECIFIED]


@pytest.mark.parametrize("reason", REASONS, ids=v1.StopReason.Name)
def test_every_stop_reason_has_a_terminal_status(reason: v1.StopReason.ValueType) -> None:
    assert lifecycle.status_for(reason) in lifecycle.TERMINAL


def accepted_run(clock: ManualClock) -> v1.Run:
    request = v1.CreateMessageAsyncRequest(agent_id=ids.new("agent"), input=v1.Content(text="hi"))
    return lifecycle.new_run(request, "key", clock.now_ns(), ids.new("run"))


def test_a_draft_numbers_its_events_without_gaps_and_ends_with_finished() -> None:
    draft = Draft(accepted_run(ManualClock()), ManualClock())
    draft.start()
    first = draft.progress()
    draft.end(v1.STOP_REASON_END_TURN)
    last = draft.progress()
    events = [*first.events, *last.events]
    assert [e.sequence for e in events] == list(range(2, 2 + len(events)))
    assert (first.after_sequence, last.after_sequence) == (1, first.run.last_sequence)
    assert events[-1].HasField("finished")
    assert events[-1].finished.run == last.run


def test_what_was_handed_over_does_not_change_any_more() -> None:
    draft = Draft(accepted_run(ManualClock()), ManualClock())
    draft.start()
    progress = draft.progress()
    before = progress.run.SerializeToString(deterministic=True)
    draft.end(v1.STOP_REASON_CANCELLED)
    assert progress.run.SerializeToString(deterministic=True) == before


def test_a_terminal_run_can_not_be_ended_again() -> None:
    draft = Draft(accepted_run(ManualClock()), ManualClock())
    draft.end(v1.STOP_REASON_CANCELLED)
    with pytest.raises(AssertionError):
        draft.end(v1.STOP_REASON_END_TURN)


def test_a_failed_run_says_why_and_others_have_no_error() -> None:
    for reason in REASONS:
        draft = Draft(accepted_run(ManualClock()), ManualClock())
        draft.end(reason)
        assert draft.run.HasField("error") == (draft.run.status == v1.RUN_STATUS_FAILED)


def test_input_messages_are_the_same_whenever_they_are_made() -> None:
    run = accepted_run(ManualClock())
    create = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="hi"), otid="mine", name="Ann")
    request = v1.CreateMessageAsyncRequest(
        messages=v1.InputMessages(messages=[v1.InputMessage(message=create), v1.InputMessage(message=create)])
    )
    made = lifecycle.input_messages(run, request, 7)
    assert made == lifecycle.input_messages(run, request, 7)
    assert [m.otid for m in made] == ["mine", "mine"]
    assert made[0].id != made[1].id
    assert made[0].position < made[1].position < lifecycle.output_position(7, 0, 0)
    assert lifecycle.output_position(7, 1000, 1023) < lifecycle.input_messages(run, request, 8)[0].position


def test_one_lone_text_part_is_a_plain_string() -> None:
    part = v1.ContentPart(text=v1.Text(text="hi"))
    request = v1.CreateMessageAsyncRequest(input=v1.Content(parts=v1.Content.Parts(parts=[part])))
    (message,) = lifecycle.input_messages(accepted_run(ManualClock()), request, 1)
    assert message.user_message.content.text == "hi"


def otids(*values: str) -> v1.CreateMessageAsyncRequest:
    messages = [v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, otid=value or None)) for value in values]
    return v1.CreateMessageAsyncRequest(messages=v1.InputMessages(messages=messages))


def test_otids_are_keys_only_when_every_message_has_one() -> None:
    assert [key.value for key in keys_of(otids("a", "b"), "", "lane")] == ["a", "b"]
    assert keys_of(otids("a", ""), "", "lane") == []


def test_the_key_is_no_part_of_the_fingerprint_and_all_else_is() -> None:
    request = otids("a")
    keyed = otids("a")
    keyed.request_id = "k"
    other = otids("a")
    other.max_steps = 3
    assert fingerprint(request) == fingerprint(keyed) != fingerprint(other)


def test_the_default_conversation_has_one_spelling() -> None:
    named = otids("a")
    named.conversation_id = "default"
    assert fingerprint(normalised(named, None)) == fingerprint(normalised(otids("a"), None))
    assert named.conversation_id == "default"


def test_a_conversation_s_agent_may_be_told_or_left_out() -> None:
    bare, full = otids("a"), otids("a")
    bare.conversation_id = full.conversation_id = "conv-1"
    bare.ClearField("agent_id")
    full.agent_id = "agent-1"
    conversation = v1.Conversation(id="conv-1", agent_id="agent-1")
    assert normalised(bare, conversation) == normalised(full, conversation) == full
    assert not bare.agent_id


def test_the_request_s_model_wins_over_the_conversation_s_and_that_over_the_agent_s() -> None:
    plain, overriding = v1.CreateMessageAsyncRequest(), v1.CreateMessageAsyncRequest(override_model="a/request")
    agent, conversation = v1.Agent(model="a/agent"), v1.Conversation(model="a/conversation")
    assert lifecycle.model_of(plain, None, agent) == lifecycle.model_of(plain, v1.Conversation(), agent) == "a/agent"
    assert lifecycle.model_of(plain, conversation, agent) == "a/conversation"
    assert (
        lifecycle.model_of(overriding, conversation, agent)
        == lifecycle.model_of(overriding, None, agent)
        == "a/request"
    )


def test_unknown_usage_stays_unknown_and_known_usage_adds_up() -> None:
    total = v1.Usage()
    add_usage(total, v1.Usage(prompt_tokens=3, total_tokens=5))
    add_usage(total, v1.Usage(prompt_tokens=4, total_tokens=9))
    assert (total.prompt_tokens, total.step_count, total.context_tokens) == (7, 2, 9)
    assert not total.HasField("reasoning_tokens")


def test_ids_are_letta_shaped_and_otids_follow_the_part() -> None:
    made = ids.new("message")
    assert ids.pattern("message").fullmatch(made)
    assert ids.derive("step", "x", 1) == ids.derive("step", "x", 1) != ids.derive("step", "x", 2)
    beside = ids.derive_beside(made, "step", 1)
    assert ids.pattern("step").fullmatch(beside)
    assert beside == ids.derive_beside(made, "step", 1) != ids.derive_beside(made, "step", 2)
    assert beside != ids.derive_beside(ids.new("message"), "step", 1)
    assert beside.removeprefix("step-")[:13] == made.removeprefix("message-")[:13]
    assert int(ids.otid(made, 1).replace("-", ""), 16) - int(ids.otid(made, 0).replace("-", ""), 16) == 1
