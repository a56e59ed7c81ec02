"""Whatever is wrong with a request, the real server says so with code, reason and field, and stores nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from sendoff import v1
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from tests.fixtures.server import Serve
from tests.unit.api.told import Told

NO_AGENT = "agent-00000000-0000-4000-8000-000000000000"
NO_RUN = "run-00000000-0000-4000-8000-000000000000"
HELLO = v1.Content(text="hello")
INVALID = grpc.StatusCode.INVALID_ARGUMENT
ID_FIELDS = {
    "RunService": {
        "GetRun": v1.GetRunRequest,
        "WaitRun": v1.WaitRunRequest,
        "ListRunEvents": v1.ListRunEventsRequest,
        "ListRunMessages": v1.ListRunMessagesRequest,
        "CancelRun": v1.CancelRunRequest,
        "WatchRun": v1.WatchRunRequest,
    },
    "AgentService": {
        "GetAgent": v1.GetAgentRequest,
        "UpdateAgent": v1.UpdateAgentRequest,
        "DeleteAgent": v1.DeleteAgentRequest,
    },
}
BY_ID = [(service, method, kind) for service, methods in ID_FIELDS.items() for method, kind in methods.items()]


@dataclass
class Callers:
    """Stubs of a real server, and an agent that there is."""

    channel: grpc.aio.Channel
    runs: RunServiceStub
    agents: AgentServiceStub
    agent_id: str

    async def refused(self, method: str, request: Message) -> Told:
        """How the server refuses a request."""
        call = getattr(self.runs, method, None) or getattr(self.agents, method)
        answer = call(request)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await (anext(aiter(answer)) if method == "WatchRun" else answer)
        return Told(raised.value)

    async def refused_bytes(self, method: str, data: bytes) -> Told:
        """How the server refuses bytes that no generated client would send."""
        raw: Any = self.channel.unary_unary
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await raw(f"/sendoff.v1.RunService/{method}")(data)
        return Told(raised.value)

    def create(self, **fields: Any) -> v1.CreateMessageAsyncRequest:
        given: dict[str, Any] = {"agent_id": self.agent_id, "input": HELLO}
        return v1.CreateMessageAsyncRequest(**given | fields)


@pytest.fixture
async def callers(channel: grpc.aio.Channel) -> AsyncIterator[Callers]:
    """On leaving, checks that nothing that was refused is stored, and that the server still accepts what is right."""
    runs, agents = RunServiceStub(channel), AgentServiceStub(channel)
    agent = await agents.CreateAgent(v1.CreateAgentRequest())
    made = Callers(channel, runs, agents, agent.id)
    yield made
    assert list((await runs.ListRuns(v1.ListRunsRequest())).runs) == []
    fresh = await agents.CreateAgent(v1.CreateAgentRequest())
    run = await runs.CreateMessageAsync(v1.CreateMessageAsyncRequest(agent_id=fresh.id, input=HELLO))
    assert (await runs.WaitRun(v1.WaitRunRequest(run_id=run.id))).status == v1.RUN_STATUS_COMPLETED


@pytest.mark.parametrize(("service", "method", "kind"), BY_ID, ids=[method for _, method, _ in BY_ID])
@pytest.mark.parametrize("bad", ["", "1", "../../etc/passwd", "RUN", "💥", "' OR 1=1 --"])
async def test_a_malformed_id_is_refused_wherever_there_is_one(
    service: str, method: str, kind: type[Any], bad: str, callers: Callers
) -> None:
    field = "run_id" if service == "RunService" else "agent_id"
    told = await callers.refused(method, kind(**{field: bad}))
    assert (told.code, told.info.reason, list(told.violations)) == (INVALID, "INVALID_REQUEST", [field])


@pytest.mark.parametrize(("service", "method", "kind"), BY_ID, ids=[method for _, method, _ in BY_ID])
async def test_what_does_not_exist_is_not_found_wherever_it_is_named(
    service: str, method: str, kind: type[Any], callers: Callers
) -> None:
    field, resource_id, reason, resource = "run_id", NO_RUN, "RUN_NOT_FOUND", "sendoff.v1.Run"
    if service == "AgentService":
        field, resource_id, reason, resource = "agent_id", NO_AGENT, "AGENT_NOT_FOUND", "sendoff.v1.Agent"
    told = await callers.refused(method, kind(**{field: resource_id}))
    assert (told.code, told.info.reason) == (grpc.StatusCode.NOT_FOUND, reason)
    assert told.info.metadata[field] == resource_id
    assert told.resource == (resource, resource_id)


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"agent_id": "agent-1"}, ["agent_id"]),
        ({"agent_id": ""}, ["agent_id"]),
        ({"conversation_id": "conv-1"}, ["conversation_id"]),
        ({"input": None}, ["payload"]),
        ({"input": v1.Content()}, ["input"]),
        ({"input": v1.Content(text="")}, ["input.text"]),
        ({"input": v1.Content(text="x" * (4 * 1024 * 1024 + 1))}, ["input.text"]),
        ({"input": None, "messages": v1.InputMessages()}, ["messages.messages"]),
        ({"include_return_message_types": v1.MessageTypes(values=[99])}, ["include_return_message_types.values[0]"]),  # type: ignore[list-item]  # not an enum's value, on purpose
        ({"metadata": v1.JsonObject(json='{"a": "\\ud800"}')}, ["metadata.json"]),
        ({"metadata": v1.JsonObject(json="[1]")}, ["metadata.json"]),
        ({"metadata": v1.JsonObject(json='{"a":' * 10_000)}, ["metadata.json"]),
        ({"max_steps": 0, "request_id": "", "top_logprobs": 1}, ["top_logprobs", "max_steps", "request_id"]),
        ({"override_model": ""}, ["override_model"]),
    ],
)
async def test_a_message_that_breaks_rules_is_refused_with_all_its_fields(
    fields: dict[str, Any], violated: list[str], callers: Callers
) -> None:
    told = await callers.refused("CreateMessageAsync", callers.create(**fields))
    assert (told.code, told.info.reason) == (INVALID, "INVALID_REQUEST")
    assert sorted(told.violations) == sorted(violated)


@pytest.mark.parametrize("role", [0, 99, -1])
async def test_a_role_that_there_is_not_is_refused(role: Any, callers: Callers) -> None:
    message = v1.InputMessage(message=v1.MessageCreate(role=role, content=HELLO))
    request = callers.create(input=None, messages=v1.InputMessages(messages=[message]))
    told = await callers.refused("CreateMessageAsync", request)
    assert (told.code, list(told.violations)) == (INVALID, ["messages.messages[0].message.role"])


async def test_statuses_and_stop_reasons_that_there_are_not_are_refused(callers: Callers) -> None:
    unknown: Any = [0, 1_000]
    told = await callers.refused("ListRuns", v1.ListRunsRequest(statuses=unknown, stop_reasons=unknown))
    fields = ["statuses[0]", "statuses[1]", "stop_reasons[0]", "stop_reasons[1]"]
    assert (told.code, list(told.violations)) == (INVALID, fields)


async def test_a_lone_surrogate_on_the_wire_is_refused(callers: Callers) -> None:
    text = "\ud800".encode("utf-8", "surrogatepass")
    right = callers.create(input=v1.Content(text="xyz")).SerializeToString()
    assert right.count(b"xyz") == 1
    told = await callers.refused_bytes("CreateMessageAsync", right.replace(b"xyz", text))
    assert (told.code, told.info.reason) == (INVALID, "MALFORMED_REQUEST")


async def test_noise_is_refused(callers: Callers) -> None:
    told = await callers.refused_bytes("CreateMessageAsync", bytes(range(256)))
    assert (told.code, told.info.reason) == (INVALID, "MALFORMED_REQUEST")


async def test_a_request_that_is_too_large_is_refused_with_the_limit(serve: Serve) -> None:
    async with serve(max_request_bytes=2_048) as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        request = v1.CreateMessageAsyncRequest(agent_id=NO_AGENT, input=v1.Content(text="x" * 2_048))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await RunServiceStub(channel).CreateMessageAsync(request)
        told = Told(raised.value)
        assert (told.code, told.info.reason) == (INVALID, "REQUEST_TOO_LARGE")
        assert told.info.metadata["limit"] == "2048"


async def test_a_message_for_an_agent_that_there_is_not_is_not_found(callers: Callers) -> None:
    told = await callers.refused("CreateMessageAsync", callers.create(agent_id=NO_AGENT))
    assert (told.code, told.info.reason) == (grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND")
    assert told.info.metadata["agent_id"] == NO_AGENT


@pytest.mark.parametrize("handle", ["scripted/nothing", "nobody/nothing", "nonsense", "../x", "💥/💥"])
async def test_a_model_that_there_is_not_is_not_found(handle: str, callers: Callers) -> None:
    requests: list[tuple[str, Message]] = [
        ("CreateMessageAsync", callers.create(override_model=handle)),
        ("CreateAgent", v1.CreateAgentRequest(agent=v1.Agent(model=handle))),
        ("UpdateAgent", v1.UpdateAgentRequest(agent_id=callers.agent_id, agent=v1.Agent(model=handle))),
    ]
    for method, request in requests:
        told = await callers.refused(method, request)
        assert (told.code, told.info.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"), method
        assert told.info.metadata["handle"] == handle


async def test_a_deleted_agent_takes_no_more_messages_and_its_runs_are_gone(callers: Callers) -> None:
    run = await callers.runs.CreateMessageAsync(callers.create())
    await callers.runs.WaitRun(v1.WaitRunRequest(run_id=run.id))
    await callers.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=callers.agent_id))
    for method, request, reason in (
        ("CreateMessageAsync", callers.create(), "AGENT_NOT_FOUND"),
        ("GetAgent", v1.GetAgentRequest(agent_id=callers.agent_id), "AGENT_NOT_FOUND"),
        ("DeleteAgent", v1.DeleteAgentRequest(agent_id=callers.agent_id), "AGENT_NOT_FOUND"),
        ("GetRun", v1.GetRunRequest(run_id=run.id), "RUN_NOT_FOUND"),
        ("WatchRun", v1.WatchRunRequest(run_id=run.id), "RUN_NOT_FOUND"),
    ):
        told = await callers.refused(method, request)
        assert (told.code, told.info.reason) == (grpc.StatusCode.NOT_FOUND, reason), method


async def test_what_does_not_work_yet_is_refused_by_name(callers: Callers) -> None:
    fields = {"scheduling": v1.Scheduling(when_busy=v1.WHEN_BUSY_STEER)}
    told = await callers.refused("CreateMessageAsync", callers.create(**fields))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED_FEATURE")
    assert list(told.violations) == ["scheduling.when_busy"]
    assert told.info.metadata["fields"] == "scheduling.when_busy"


@pytest.mark.parametrize("method", ["ListRuns", "ListAgents", "ListRunMessages"])
async def test_a_page_token_that_is_none_is_refused(method: str, callers: Callers) -> None:
    requests: dict[str, Message] = {
        "ListRuns": v1.ListRunsRequest(page_token="x"),
        "ListAgents": v1.ListAgentsRequest(page_token="x"),
    }
    if method == "ListRunMessages":
        run = await callers.runs.CreateMessageAsync(callers.create())
        requests[method] = v1.ListRunMessagesRequest(run_id=run.id, page_token="x")
    told = await callers.refused(method, requests[method])
    assert (told.code, list(told.violations)) == (INVALID, ["page_token"])
    await callers.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=callers.agent_id, cancel_runs=True))


async def test_an_etag_that_is_old_is_refused_and_nothing_changes(callers: Callers) -> None:
    request = v1.UpdateAgentRequest(agent_id=callers.agent_id, agent=v1.Agent(name="new", etag="old"))
    told = await callers.refused("UpdateAgent", request)
    assert (told.code, told.info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert (await callers.agents.GetAgent(v1.GetAgentRequest(agent_id=callers.agent_id))).name != "new"


async def test_an_idempotency_key_that_contradicts_the_request_id_is_refused(callers: Callers) -> None:
    call = callers.runs.CreateMessageAsync(callers.create(request_id="a"), metadata=(("idempotency-key", "b"),))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert (raised.value.code(), list(Told(raised.value).violations)) == (INVALID, ["request_id"])


@pytest.mark.parametrize("text", ["\x00", "\u202e right to left", "👩‍👩‍👧", "\ufffe", "a\r\n\tb", "{}"])
async def test_every_text_that_is_unicode_is_accepted_and_comes_back(text: str, channel: grpc.aio.Channel) -> None:
    runs, agents = RunServiceStub(channel), AgentServiceStub(channel)
    agent = await agents.CreateAgent(v1.CreateAgentRequest())
    request = v1.CreateMessageAsyncRequest(agent_id=agent.id, input=v1.Content(text=text))
    run = await runs.CreateMessageAsync(request)
    assert (await runs.WaitRun(v1.WaitRunRequest(run_id=run.id))).status == v1.RUN_STATUS_COMPLETED
    messages = (await runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id))).messages
    assert messages[0].user_message.content.text == text
