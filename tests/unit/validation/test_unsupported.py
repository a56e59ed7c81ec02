"""What does not work yet is refused by name, each line of the table on its own (P12)."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.validation.unsupported import NOT_YET
from tests.unit.validation.checking import unsupported
from tests.unit.validation.rule_cases import (
    AGENT,
    CONVERSATION,
    RUN,
    approval,
    create,
    returning,
    seconds,
    with_call,
    with_image,
    with_parts,
)


def limits(**fields: Any) -> v1.CreateMessageAsyncRequest:
    return create(limits=v1.Limits(**fields))


def scheduling(**fields: Any) -> v1.CreateMessageAsyncRequest:
    return create(scheduling=v1.Scheduling(**fields))


ASKING: dict[str, tuple[Message, str]] = {
    "Scheduling.when_busy": (scheduling(when_busy=v1.WHEN_BUSY_STEER), "scheduling.when_busy"),
    "ListRunsRequest.filter": (v1.ListRunsRequest(filter="labels.a = 1"), "filter"),
}
"""By line of the table: a request that asks for it, and the path of the field."""

NOT_ASKING = (
    create(client_tools=[v1.ClientTool(name="t")]),
    limits(max_total_tokens=1, max_cost_microusd=1),
    create(
        conversation_id="default",
        include_compaction_messages=True,
        return_logprobs=False,
        return_token_ids=False,
        enable_thinking="true",
        use_assistant_message=False,
        assistant_message_tool_name="say",
        assistant_message_tool_kwarg="words",
        include_return_message_types=v1.MessageTypes(),
        override_system="be brief",
        callback_url="https://example.com",
        callback=v1.CallbackOptions(event_types=["run.started"], include_run=True),
        override_model="scripted/echo",
        client_skills=[v1.ClientSkill(name="s")],
        validate_only=True,
        labels={"a": "b"},
    ),
    create(conversation_id=CONVERSATION),
    create(client_tools=[v1.ClientTool(name="t")]),
    limits(max_steps=3, run_timeout=seconds(1)),
    scheduling(when_busy=v1.WHEN_BUSY_ENQUEUE, priority=1, fairness_key="k", start_time=Timestamp(seconds=1)),
    scheduling(when_busy=v1.WHEN_BUSY_REJECT),
    scheduling(retention=seconds(3_600)),
    scheduling(when_busy=v1.WHEN_BUSY_INTERRUPT, when_pending=v1.WHEN_PENDING_ENQUEUE),
    scheduling(when_busy=v1.WHEN_BUSY_ROLLBACK, when_pending=v1.WHEN_PENDING_REJECT),
    limits(queue_ttl=seconds(1), action_timeout=seconds(1), on_action_timeout=v1.ON_TIMEOUT_FAIL_TURN),
    approval(),
    returning(),
    with_image(url=v1.Image.Url(url="https://example.com/a.png")),
    with_parts(v1.ContentPart(reasoning=v1.Reasoning(reasoning="r"))),
    with_call(),
    v1.WatchRunRequest(run_id=RUN, include_deltas=True, snapshot=True),
    v1.WaitRunRequest(run_id=RUN, until=v1.WAIT_UNTIL_STARTED),
    v1.WaitRunRequest(run_id=RUN, until=v1.WAIT_UNTIL_TERMINAL),
    v1.WaitRunRequest(run_id=RUN, until=v1.WAIT_UNTIL_TURN_END),
    v1.WatchRunRequest(run_id=RUN, follow_continuations=True),
    v1.CancelRunRequest(run_id=RUN, rollback=True),
    v1.UpdateAgentRequest(agent_id=AGENT, agent=v1.Agent(name="n")),
)


@pytest.mark.parametrize("line", NOT_YET)
def test_asking_for_it_is_refused_with_the_field_s_name(line: str) -> None:
    request, path = ASKING[line]
    assert unsupported(request) == [path]


def test_the_table_names_fields_of_the_contract_only_and_each_has_a_request_here() -> None:
    assert set(ASKING) == set(NOT_YET)


@pytest.mark.parametrize("request_", NOT_ASKING)
def test_what_works_and_what_is_left_at_its_default_is_not_refused(request_: Message) -> None:
    assert unsupported(request_) == []
