"""What is said of whole requests, beyond the single rules."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server.errors import InvalidRequest
from sendoff_server.store import questions
from sendoff_server.validation import callback_options, check_create_message, check_idempotency_key, payload_violation
from sendoff_server.validation.limits import MAX_VIOLATIONS
from tests.unit.validation.checking import violated
from tests.unit.validation.rule_cases import (
    AGENT,
    CONVERSATION,
    MESSAGE,
    RUN,
    agent,
    create,
    part,
    returned,
    said,
    seconds,
    sending,
    with_image,
    with_parts,
)

ONLY_FOR_ASSISTANTS = {
    "tool_call": v1.ContentPart(tool_call=v1.ToolCallPart(id="c", name="n")),
    "tool_return": v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c")),
    "reasoning": v1.ContentPart(reasoning=v1.Reasoning(reasoning="r")),
    "redacted_reasoning": v1.ContentPart(redacted_reasoning=v1.RedactedReasoning(data="d")),
    "omitted_reasoning": v1.ContentPart(omitted_reasoning=v1.OmittedReasoning()),
    "summarized_reasoning": v1.ContentPart(summarized_reasoning=v1.SummarizedReasoning(id="s")),
}
MESSAGE_INPUT = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="hi")))
APPROVAL_INPUT = v1.InputMessage(approval=v1.ApprovalCreate())
RETURN_INPUT = v1.InputMessage(tool_return=v1.ToolReturnCreate(tool_returns=[returned()]))


def test_every_violation_is_told_at_once_in_the_order_of_the_request() -> None:
    request = create(
        agent_id="agent-1",
        input=None,
        messages=v1.InputMessages(
            messages=[
                v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER)),
                v1.InputMessage(message=v1.MessageCreate(content=v1.Content(text=""), otid="")),
            ]
        ),
        max_steps=0,
        top_logprobs=21,
        request_id="",
    )
    with pytest.raises(InvalidRequest) as raised:
        check_create_message(request)
    told = [(violation.field, violation.description) for violation in raised.value.violations]
    assert told == [
        ("agent_id", "must be an id like agent-00000000-0000-4000-8000-000000000000, is 'agent-1'"),
        (f"{MESSAGE}.content", "must be set"),
        ("messages.messages[1].message.role", "must be told"),
        ("messages.messages[1].message.content.text", "must not be empty"),
        ("messages.messages[1].message.otid", "must not be empty"),
        ("max_steps", "must be at least 1, is 0"),
        ("top_logprobs", "must be at most 20, is 21"),
        ("top_logprobs", "requires return_logprobs"),
        ("request_id", "must not be empty"),
    ]


def test_a_request_that_is_wrong_all_over_is_told_a_hundred_violations_and_no_more() -> None:
    request = sending(*[v1.InputMessage()] * 1_000)
    assert len(violated(request)) == MAX_VIOLATIONS


@pytest.mark.parametrize("role", [v1.ROLE_USER, v1.ROLE_SYSTEM])
@pytest.mark.parametrize("kind", ONLY_FOR_ASSISTANTS)
def test_users_and_systems_say_text_and_images_only(role: v1.Role.ValueType, kind: str) -> None:
    content = v1.Content(parts=v1.Content.Parts(parts=[part(), ONLY_FOR_ASSISTANTS[kind]]))
    assert violated(said(role=role, content=content)) == [f"{MESSAGE}.content.parts.parts[1].{kind}"]


def test_assistants_may_say_every_kind_of_part() -> None:
    assert violated(with_parts(part(), *ONLY_FOR_ASSISTANTS.values())) == []


@pytest.mark.parametrize(("kind", "late"), [("approval", APPROVAL_INPUT), ("tool_return", RETURN_INPUT)])
def test_answers_stand_first_or_nowhere(kind: str, late: v1.InputMessage) -> None:
    assert violated(sending(late, MESSAGE_INPUT)) == []
    assert violated(sending(MESSAGE_INPUT, late)) == [f"messages.messages[1].{kind}"]
    assert violated(sending(late, late)) == [f"messages.messages[1].{kind}"]


def test_input_is_a_user_s_message_or_it_is_refused() -> None:
    assert violated(create(input=v1.Content())) == ["input"]
    assert violated(create(input=v1.Content(text=""))) == ["input.text"]
    assert violated(create(input=v1.Content(parts=v1.Content.Parts()))) == ["input.parts.parts"]


def test_the_payload_is_input_or_messages_and_not_both() -> None:
    assert payload_violation(has_input=True, has_messages=False) is None
    assert payload_violation(has_input=False, has_messages=True) is None
    neither = payload_violation(has_input=False, has_messages=False)
    both = payload_violation(has_input=True, has_messages=True)
    assert neither is not None
    assert both is not None
    assert (neither.field, neither.description) == ("payload", "set input or messages")
    assert (both.field, both.description) == ("payload", "set input or messages, not both")


def test_a_conversation_stands_for_its_agent() -> None:
    assert violated(create(agent_id="", conversation_id=CONVERSATION)) == []
    assert violated(create(agent_id="", conversation_id="conv-1")) == ["conversation_id"]
    assert violated(create(agent_id="agent-1", conversation_id=CONVERSATION)) == ["agent_id"]
    assert violated(create(conversation_id="")) == ["conversation_id"]


@pytest.mark.parametrize(
    "url",
    [
        "example.com/hook",
        "//example.com/hook",
        "javascript:alert(1)",
        "http:///hook",
        "http:hook",
        "http://exa mple.com",
        "http://example.com/\r\nX: y",
        "http://[::1",
        "http://example.com:99999/",
        "http://example.com:0/",
        " http://example.com",
    ],
)
def test_a_callback_url_is_an_absolute_http_url(url: str) -> None:
    assert violated(create(callback_url=url)) == ["callback_url"]


def test_an_image_url_may_hold_the_image() -> None:
    assert violated(with_image(url=v1.Image.Url(url="data:image/png;base64,eA=="))) == []
    assert violated(with_image(url=v1.Image.Url(url="data:nothing"))) != []


def test_all_that_is_wrong_with_how_to_call_back_is_told_at_once() -> None:
    types = ["run.finished", "run.message", "run.finished"]
    options = v1.CallbackOptions(event_types=types, secret_id="whsec_1")
    assert violated(create(callback=options)) == [
        "callback",
        "callback.event_types[1]",
        "callback.event_types[2]",
        "callback.secret_id",
    ]


def test_types_of_events_are_not_named_more_often_than_there_are_some() -> None:
    options = v1.CallbackOptions(event_types=["run.finished"] * 4)
    assert violated(create(callback_url="https://example.com", callback=options)) == ["callback.event_types"]


def test_the_types_of_events_are_the_store_s() -> None:
    assert callback_options.EVENT_TYPES == questions.EVENT_TYPES


@pytest.mark.parametrize("name", ["id", "etag"])
def test_what_the_server_makes_is_refused_in_a_new_agent(name: str) -> None:
    assert violated(agent(**{name: "x"})) == [f"agent.{name}"]


def test_times_are_refused_in_a_new_agent() -> None:
    bad = agent()
    bad.agent.create_time.seconds = 1
    bad.agent.update_time.seconds = 1
    assert violated(bad) == ["agent.create_time", "agent.update_time"]


def test_an_agent_that_was_read_can_be_sent_back() -> None:
    read = v1.Agent(id=AGENT, etag="1", name="new")
    read.create_time.seconds = 1
    assert violated(v1.UpdateAgentRequest(agent_id=AGENT, agent=read)) == []


def test_an_update_names_one_agent_and_fields_that_can_change() -> None:
    request = v1.UpdateAgentRequest(agent_id=AGENT, agent=v1.Agent(id=AGENT.replace("1", "2")))
    request.update_mask.paths.extend(["name", "create_time", "metadata.json"])
    assert violated(request) == ["agent.id", "update_mask.paths[1]", "update_mask.paths[2]"]


def test_a_wait_has_one_thing_to_wait_for() -> None:
    request = v1.WaitRunRequest(run_id=RUN, changed_after_sequence=1, until=v1.WAIT_UNTIL_STARTED)
    assert violated(request) == ["until"]


def test_a_duration_with_nanos_that_do_not_fit_its_seconds_is_refused() -> None:
    odd = seconds(5)
    odd.nanos = 2_000_000_000
    assert violated(v1.WaitRunRequest(run_id=RUN, timeout=odd)) == ["timeout"]
    odd.nanos = -1
    assert violated(v1.WaitRunRequest(run_id=RUN, timeout=odd)) == ["timeout"]


def test_the_default_conversation_needs_its_agent() -> None:
    assert violated(v1.ListRunsRequest(conversation_id="default")) == ["conversation_id"]
    assert violated(v1.ListRunsRequest(conversation_id="default", agent_id=AGENT)) == []


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_create_message(create(agent_id="x" * 10_000))
    assert len(raised.value.message) < 200


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_idempotency_key_has_the_bounds_of_a_request_id(key: str) -> None:
    check_idempotency_key("k" * 255)
    with pytest.raises(InvalidRequest) as raised:
        check_idempotency_key(key)
    assert [violation.field for violation in raised.value.violations] == ["idempotency-key"]


# ---- conversations ----


def test_a_conversation_is_made_without_what_the_server_makes() -> None:
    for field, value in {"id": CONVERSATION, "agent_id": AGENT, "etag": "1", "queued_runs": 1}.items():
        made = v1.Conversation(**{field: value})  # type: ignore[arg-type]  # each of its own type
        assert violated(v1.CreateConversationRequest(agent_id=AGENT, conversation=made)) == [f"conversation.{field}"]
        forked = v1.ForkConversationRequest(conversation_id=CONVERSATION, conversation=made)
        assert violated(forked) == [f"conversation.{field}"]


def test_a_conversation_that_was_read_can_be_sent_back() -> None:
    read = v1.Conversation(id=CONVERSATION, agent_id=AGENT, etag="1", queued_runs=3, active_run_id=RUN)
    assert violated(v1.UpdateConversationRequest(conversation_id=CONVERSATION, conversation=read)) == []
    read.id = CONVERSATION.replace("3", "4")
    assert violated(v1.UpdateConversationRequest(conversation_id=CONVERSATION, conversation=read)) == [
        "conversation.id"
    ]


def test_an_update_of_a_conversation_names_what_can_be_changed() -> None:
    request = v1.UpdateConversationRequest(conversation_id=CONVERSATION)
    request.update_mask.paths.extend(["summary", "model", "metadata", "labels", "agent_id", "labels.a"])
    assert violated(request) == ["update_mask.paths[4]", "update_mask.paths[5]"]


def test_where_messages_are_read_and_forked_the_default_conversation_needs_its_agent() -> None:
    for kind in (v1.ListMessagesRequest, v1.ForkConversationRequest):
        assert violated(kind(conversation_id="default")) == ["agent_id"]
        assert violated(kind(conversation_id="default", agent_id=AGENT)) == []
        assert violated(kind(conversation_id=CONVERSATION, agent_id="")) == ["agent_id"]
        assert violated(kind(conversation_id=CONVERSATION)) == []


def test_conversations_of_an_agent_are_asked_for_by_its_id() -> None:
    assert violated(v1.ListConversationsRequest(agent_id="agent-1")) == ["agent_id"]
    assert violated(v1.ListConversationsRequest()) == []


def test_metadata_of_a_conversation_is_a_json_object() -> None:
    made = v1.Conversation(metadata=v1.JsonObject(json="[]"))
    request = v1.CreateConversationRequest(agent_id=AGENT, conversation=made)
    assert violated(request) == ["conversation.metadata.json"]


def test_arguments_of_tool_rules_are_json_objects() -> None:
    broken = v1.JsonObject(json="[1]")
    constrain = v1.ToolRule.ConstrainChildTools(
        children=["pay"], child_arg_nodes=[v1.ToolRule.ChildArguments(name="pay", args=broken)]
    )
    rules = [
        v1.ToolRule(tool_name="look", run_first=v1.ToolRule.RunFirst(args=broken)),
        v1.ToolRule(tool_name="look", constrain_child_tools=constrain),
    ]
    assert violated(agent(tool_rules=rules)) == [
        "agent.tool_rules[0].run_first.args.json",
        "agent.tool_rules[1].constrain_child_tools.child_arg_nodes[0].args.json",
    ]


def test_steps_of_a_run_go_by_index_and_those_of_all_by_time() -> None:
    assert violated(v1.ListStepsRequest(run_id=RUN, order_by="start_time")) == ["order_by"]
    assert violated(v1.ListStepsRequest(order_by="index desc")) == ["order_by"]
    assert violated(v1.ListStepsRequest(order_by="start_time asc")) == []


def test_messages_of_all_conversations_of_an_agent_are_asked_for_by_its_id() -> None:
    assert violated(v1.ListMessagesRequest(agent_id="agent-1")) == ["agent_id"]
    assert violated(v1.ListMessagesRequest(agent_id=AGENT)) == []
