"""Both published pages of the asynchronous call: each member and each word that they list is read, kept and told.

The newer page has everything that the older one has. Where the pages are known to be wrong, what callers find is right.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.gateway.codec.reading import read
from sendoff_server.gateway.codec.shapes import enum_words
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.nouns.runs import API_REASONS, API_STATUSES, run_json
from sendoff_server.validation.violations import Violations
from tests.fixtures.server import Serve
from tests.gateway.sdk import ended, url

OLDER_TYPES = [
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
]
NEWER_TYPES = [*OLDER_TYPES, "summary_message", "event_message"]
STATUSES = ["created", "running", "completed", "failed", "cancelled"]
OLDER_REASONS = [
    "end_turn",
    "error",
    "llm_api_error",
    "invalid_llm_response",
    "invalid_tool_call",
    "max_steps",
    "no_tool_call",
    "tool_rule",
    "cancelled",
    "requires_approval",
]
NEWER_REASONS = [
    *OLDER_REASONS,
    "max_tokens_exceeded",
    "insufficient_credits",
    "context_window_overflow_in_system_prompt",
]

# ---- requests: every member, with a value that is not its default ----

OLDER_MEMBERS: dict[str, Any] = {
    "assistant_message_tool_kwarg": "text",
    "assistant_message_tool_name": "say",
    "callback_url": "https://receiver.example/hook",
    "enable_thinking": "false",
    "include_return_message_types": OLDER_TYPES,
    "max_steps": 7,
    "use_assistant_message": False,
}
NEWER_MEMBERS: dict[str, Any] = {
    **OLDER_MEMBERS,
    "client_skills": [{"description": "Fill forms", "location": "skills/pdf/SKILL.md", "name": "pdf"}],
    "client_tools": [{"name": "mine", "description": "of the caller", "parameters": {"type": "object"}}],
    "include_compaction_messages": True,
    "include_return_message_types": NEWER_TYPES,
    "override_model": "openai/gpt-5-mini",
    "override_system": "Be brief.",
    "return_logprobs": True,
    "return_token_ids": True,
    "top_logprobs": 5,
}
TEXT = {"type": "text", "text": "hello", "signature": "s"}
IMAGES = [
    {"type": "image", "source": {"type": "url", "url": "https://images.example/a.png"}},
    {"type": "image", "source": {"type": "base64", "data": "aGk=", "media_type": "image/png", "detail": "low"}},
    {
        "type": "image",
        "source": {
            "type": "letta",
            "file_id": "file-1",
            "data": "aGk=",
            "detail": "auto",
            "media_type": "image/png",
        },
    },
]
PARTS = [
    TEXT,
    *IMAGES,
    {"type": "tool_call", "id": "call_1", "input": {"a": [1]}, "name": "look", "signature": "s"},
    {"type": "tool_return", "content": "4", "is_error": True, "tool_call_id": "call_1"},
    {"type": "reasoning", "is_native": True, "reasoning": "so", "signature": "s"},
    {"type": "redacted_reasoning", "data": "x"},
    {"type": "omitted_reasoning", "signature": "s"},
    {
        "type": "summarized_reasoning",
        "id": "r-1",
        "summary": [{"index": 1, "text": "first"}],
        "encrypted_content": "x",
    },
]
MESSAGE = {
    "type": "message",
    "role": "user",
    "content": "hello",
    "batch_item_id": "batch-1",
    "group_id": "group-1",
    "name": "Ann",
    "otid": "o-1",
    "sender_id": "identity-1",
}
APPROVED = {"type": "approval", "approve": True, "tool_call_id": "call_1", "reason": "fine"}
RETURNED = {"type": "tool", "status": "error", "tool_call_id": "call_2", "tool_return": "no", "stderr": ["e"]}
RETURNED_PARTS = {**RETURNED, "status": "success", "tool_return": [TEXT, IMAGES[0]], "stdout": ["o"]}
APPROVAL = {
    "type": "approval",
    "approval_request_id": "message-1",
    "approvals": [APPROVED, RETURNED],
    "approve": False,
    "group_id": "group-1",
    "reason": "no",
}
RETURNED_UNTYPED = {name: value for name, value in RETURNED_PARTS.items() if name != "type"}
TOOL_RETURN = {"type": "tool_return", "tool_returns": [RETURNED_UNTYPED], "group_id": "group-1", "otid": "o-3"}

BODIES: list[dict[str, Any]] = [
    {**OLDER_MEMBERS, "input": "hello"},
    {**NEWER_MEMBERS, "input": "hello"},
    {"input": PARTS},
    {"messages": [MESSAGE]},
    *({"messages": [{**MESSAGE, "role": role}]} for role in ("user", "system", "assistant")),
    {"messages": [{**MESSAGE, "content": PARTS}]},
    {"messages": [APPROVAL]},
    {"messages": [{**APPROVAL, "otid": "o-2", "approvals": [RETURNED_PARTS]}]},
    {"messages": [TOOL_RETURN, MESSAGE]},
]


def _read(body: dict[str, Any]) -> v1.CreateMessageAsyncRequest:
    message, found = v1.CreateMessageAsyncRequest(), Violations()
    read(message, body, "", found)
    found.refuse()
    return message


def _has(told: Any, given: Any, path: str = "") -> None:
    """All that was given is told, as it was given."""
    if isinstance(given, dict):
        for name, value in given.items():
            assert name in told, f"{path}.{name} was lost"
            _has(told[name], value, f"{path}.{name}")
    elif isinstance(given, list):
        assert len(told) == len(given), path
        for n, (one, other) in enumerate(zip(told, given, strict=True)):
            _has(one, other, f"{path}[{n}]")
    else:
        assert told == given, path


@pytest.mark.parametrize("body", BODIES, ids=lambda body: "+".join(body) if len(body) < 3 else f"{len(body)} members")
def test_every_member_of_the_pages_is_read_and_kept(body: dict[str, Any]) -> None:
    _has(written(_read(body)), body)


def test_an_item_of_a_tool_return_has_its_type_or_not() -> None:
    typed = {**TOOL_RETURN, "tool_returns": [{**RETURNED_PARTS, "type": "tool"}]}

    assert _read({"messages": [typed]}) == _read({"messages": [TOOL_RETURN]})


def test_what_the_newer_page_adds_may_be_null_as_if_it_were_absent() -> None:
    older = {**OLDER_MEMBERS, "messages": [MESSAGE]}
    added = {"client_skills", "client_tools", "override_model", "override_system", "top_logprobs"}

    assert _read({**older, **dict.fromkeys(added)}) == _read(older)


@pytest.mark.parametrize(
    ("words", "enum", "ours"),
    [
        (NEWER_TYPES, v1.MessageType.DESCRIPTOR, set()),
        (["user", "system", "assistant"], v1.Role.DESCRIPTOR, set()),
        (["success", "error"], v1.ToolReturnStatus.DESCRIPTOR, set()),
        (STATUSES, v1.RunStatus.DESCRIPTOR, set()),
    ],
)
def test_the_words_of_the_pages_are_the_words_of_the_door(words: list[str], enum: Any, ours: set[str]) -> None:
    assert set(enum_words(enum)) - ours == set(words)


def test_the_door_tells_the_statuses_and_stop_reasons_of_the_pages_and_no_others() -> None:
    assert set(API_STATUSES) == set(STATUSES)
    assert set(API_REASONS) == set(NEWER_REASONS)
    for number in v1.StopReason.values():
        if number:
            told = run_json(v1.Run(status=v1.RUN_STATUS_FAILED, stop_reason=v1.StopReason.ValueType(number)))
            assert told["stop_reason"] in NEWER_REASONS


# ---- the answer ----

MOMENT = "2019-12-27T18:11:19.117000Z"
ANSWER: dict[str, Any] = {
    "id": "run-123e4567-e89b-12d3-a456-426614174000",
    "status": "created",
    "created_at": MOMENT,
    "completed_at": MOMENT,
    "agent_id": "agent_id",
    "conversation_id": "conversation_id",
    "base_template_id": "base_template_id",
    "background": True,
    "metadata": {"foo": "bar"},
    "request_config": {
        "use_assistant_message": True,
        "assistant_message_tool_name": "assistant_message_tool_name",
        "assistant_message_tool_kwarg": "assistant_message_tool_kwarg",
        "include_return_message_types": ["system_message"],
    },
    "stop_reason": "end_turn",
    "callback_url": "callback_url",
    "callback_sent_at": MOMENT,
    "callback_status_code": 0,
    "callback_error": "callback_error",
    "ttft_ns": 0,
    "total_duration_ns": 0,
}
"""The example of both pages, in the order in which the API answers; the older one has no conversation."""


def _example() -> v1.Run:
    at = Timestamp()
    at.FromJsonString(MOMENT)
    run = v1.Run(
        id=ANSWER["id"],
        status=v1.RUN_STATUS_CREATED,
        create_time=at,
        complete_time=at,
        agent_id="agent_id",
        conversation_id="conversation_id",
        base_template_id="base_template_id",
        background=True,
        metadata=v1.JsonObject(json='{"foo":"bar"}'),
        stop_reason=v1.STOP_REASON_END_TURN,
        ttft_ns=0,
        total_duration_ns=0,
    )
    run.callback.url, run.callback.last_status_code, run.callback.last_error = "callback_url", 0, "callback_error"
    run.callback.last_attempt_time.CopyFrom(at)
    read(run.request_config, ANSWER["request_config"], "", Violations())
    return run


def test_a_run_is_told_as_in_the_example_of_the_pages() -> None:
    told = run_json(_example())

    assert list(told) == list(ANSWER)
    assert list(told["request_config"]) == list(ANSWER["request_config"])
    assert {**told, "metadata": ANSWER["metadata"]} == ANSWER
    assert told["metadata"].items() >= ANSWER["metadata"].items()


def test_what_a_run_has_not_is_null_and_never_left_out() -> None:
    told = run_json(v1.Run(id="run-1", agent_id="agent-1", status=v1.RUN_STATUS_CREATED))

    assert list(told) == list(ANSWER)
    always = {"id", "status", "created_at", "agent_id", "metadata"}
    assert {name for name, value in told.items() if value is not None} == always


# ---- what the pages have wrong ----


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(http_address="127.0.0.1:0") as server, httpx.AsyncClient(base_url=url(server)) as connected:
        yield connected


async def test_the_example_call_has_no_message_and_is_refused(http: httpx.AsyncClient) -> None:
    refused = await http.post("/v1/agents/agent-123e4567-e89b-42d3-8456-426614174000/messages/async", json={})

    assert refused.status_code == 422
    assert "Must specify either 'input' or 'messages'" in refused.json()["detail"]


async def test_the_example_run_id_is_no_uuid4_and_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/v1/runs/{ANSWER['id']}")).status_code == 400


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"input": [{"text": "hello"}]}, "input[0].type"),
        ({"messages": [{**APPROVAL, "approvals": [{"approve": True, "tool_call_id": "c"}]}]}, "approvals[0].type"),
        ({"input": [{"type": "image", "source": {"url": "https://x.example/a.png"}}]}, "input[0].source.type"),
    ],
)
async def test_the_type_of_a_part_is_called_optional_and_is_needed(
    http: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    refused = await http.post("/v1/agents/agent-123e4567-e89b-42d3-8456-426614174000/messages/async", json=body)

    assert refused.status_code == 422
    assert path in refused.json()["detail"]


@pytest.mark.parametrize(("number", "status"), [(-1, 422), (0, 200), (20, 200), (21, 422)])
async def test_the_range_of_top_logprobs_holds(serve: Serve, number: int, status: int) -> None:
    async with serve(http_address="127.0.0.1:0") as server, httpx.AsyncClient(base_url=url(server)) as http:
        agent = (await http.post("/v1/agents/", json={"model": "scripted/echo"})).json()
        body = {"input": "hello", "return_logprobs": True, "top_logprobs": number}
        answer = await http.post(f"/v1/agents/{agent['id']}/messages/async", json=body)
        assert answer.status_code == status
        if status == 200:
            await ended(server, answer.json()["id"])
