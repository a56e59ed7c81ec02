"""Callers of tomorrow with the server of today: what it cannot honour it refuses by name, as far as it can see it."""

from __future__ import annotations

import grpc.aio
from google.protobuf import json_format

from sendoff_server.app import Server
from tests.evolution import wire_calls
from tests.evolution.contracts import PACKAGE
from tests.evolution.exchanges import Exchange
from tests.evolution.repeating import reason_of
from tests.evolution.storyteller import NOBODY, Fields
from tests.evolution.today import TODAY
from tests.evolution.tomorrow import TOMORROW, told, untold

SEND, CREATE = f"{PACKAGE}.RunService/CreateMessageAsync", f"{PACKAGE}.AgentService/CreateAgent"
TO_NOBODY: Fields = {"agent_id": f"agent-{NOBODY}"}
HELLO: Fields = {"input": {"text": "Hello"}}
NEW: Fields = {"text": "new"}


async def asked(server: Server, method: str, request: bytes) -> Exchange:
    async with grpc.aio.insecure_channel(server.grpc.address) as channel:
        return await wire_calls.ask(channel, method, request)


REFUSED: list[tuple[str, Fields, str]] = [
    (SEND, HELLO | {"scheduling": {"when_busy": "WHEN_BUSY_NOVELTY"}}, "scheduling.when_busy"),
    (SEND, HELLO | {"scheduling": {"when_pending": "WHEN_PENDING_NOVELTY"}}, "scheduling.when_pending"),
    (SEND, HELLO | {"limits": {"on_action_timeout": "ON_TIMEOUT_NOVELTY"}}, "limits.on_action_timeout"),
    (SEND, {"new_payload": NEW}, "payload"),
    (SEND, {"messages": {"messages": [{"new_kind": NEW}]}}, "messages.messages[0]"),
    (SEND, {"input": {"parts": {"parts": [{"new_part": NEW}]}}}, "input.parts.parts[0]"),
    (CREATE, {"agent": {"tool_rules": [{"tool_name": "a", "new_type": NEW}]}}, "agent.tool_rules[0]"),
]


async def test_a_value_or_an_arm_that_it_does_not_know_is_refused_by_name(server: Server) -> None:
    for method, fields, named in REFUSED:
        request = TOMORROW.request(method, (TO_NOBODY if method == SEND else {}) | fields)

        refused = await asked(server, method, request.SerializeToString())

        assert (refused.code, *reason_of(refused)) == ("INVALID_ARGUMENT", "INVALID_REQUEST", [named])


async def test_fields_that_it_does_not_know_stay_with_what_it_keeps(server: Server) -> None:
    fields: Fields = {"agent": {"name": "subject", "model_settings": {"temperature": 0.5}}}
    request = told("CreateAgentRequest", TODAY.request(CREATE, fields).SerializeToString(), values=False)

    made = await asked(server, CREATE, request)
    assert made.ok, made.details
    agent = TOMORROW.parse_response(CREATE, made.responses[0])
    get = f"{PACKAGE}.AgentService/GetAgent"
    again = await asked(server, get, TODAY.request(get, {"agent_id": agent.id}).SerializeToString())

    read = TOMORROW.parse_response(get, again.responses[0])
    assert untold(read) == []
    assert json_format.MessageToDict(read) == json_format.MessageToDict(agent)


async def test_a_request_with_fields_that_it_does_not_know_is_the_same_request_when_it_comes_again(
    server: Server,
) -> None:
    made = await asked(server, CREATE, b"")
    agent = TODAY.parse_response(CREATE, made.responses[0])
    fields = HELLO | {"agent_id": agent.id, "request_id": "novel-1"}
    request = told("CreateMessageAsyncRequest", TODAY.request(SEND, fields).SerializeToString(), values=False)

    first, second = [await asked(server, SEND, request) for _ in range(2)]

    runs = [TODAY.parse_response(SEND, each.responses[0]) for each in (first, second)]
    assert runs[0].id == runs[1].id
    assert second.headers == {"idempotency-replayed": "true"}
