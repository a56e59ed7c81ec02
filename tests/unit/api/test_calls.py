"""Calls go through to the use cases and come back; keys, headers, log lines and counts."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from structlog.testing import capture_logs

from sendoff import v1
from sendoff.v1.action_service_pb2_grpc import ActionServiceStub
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub
from sendoff.v1.block_service_pb2_grpc import BlockServiceStub
from sendoff.v1.conversation_service_pb2_grpc import ConversationServiceStub
from sendoff.v1.file_service_pb2_grpc import FileServiceStub
from sendoff.v1.model_service_pb2_grpc import ModelServiceStub
from sendoff.v1.ops_service_pb2_grpc import OpsServiceStub
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff.v1.step_service_pb2_grpc import StepServiceStub
from sendoff_server.server_info import SERVICE_FILES, server_info
from sendoff_server.store.port import DEFAULT_TENANT
from tests.unit.api.door import AGENT_ID, PATIENCE_S, QUOTA, RUN, RUN_ID, Door, open_door, until
from tests.unit.api.told import Told

METHODS = [method for file in SERVICE_FILES for service in file.services_by_name.values() for method in service.methods]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
async def test_every_method_of_the_contract_is_served(method: MethodDescriptor, channel: grpc.aio.Channel) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = GetMessageClass(method.output_type)
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, kind)(path, response_deserializer=answer.FromString)(
        [b""] if method.client_streaming else b""
    )
    if method.server_streaming:
        assert [frame async for frame in call] == []
    else:
        assert isinstance(await call, answer)


async def test_requests_and_answers_pass_unchanged(door: Door, channel: grpc.aio.Channel) -> None:
    request = v1.CancelRunRequest(run_id=RUN_ID, reason="because")
    assert await RunServiceStub(channel).CancelRun(request) == RUN
    update = v1.UpdateAgentRequest(agent_id=AGENT_ID, agent=v1.Agent(name="n"))
    await AgentServiceStub(channel).UpdateAgent(update)
    fork = v1.ForkConversationRequest(conversation_id="conv-1")
    assert (await ConversationServiceStub(channel).ForkConversation(fork)).agent_id == AGENT_ID
    put = v1.CreateBlockRequest(block=v1.Block(label="human"))
    assert (await BlockServiceStub(channel).CreateBlock(put)).label == "human"
    assert door.blocks.calls == [(DEFAULT_TENANT, put)]
    assert door.runs.calls == [(DEFAULT_TENANT, request)]
    assert door.agents.calls == [(DEFAULT_TENANT, update)]
    assert door.conversations.calls == [(DEFAULT_TENANT, fork)]
    answers = v1.RespondToActionsRequest(conversation_id="conv-1")
    await ActionServiceStub(channel).RespondToActions(answers)
    assert door.actions.calls == [(DEFAULT_TENANT, answers)]
    upload = v1.CreateFileRequest(file=v1.File(name="a.png"), data=b"png")
    await FileServiceStub(channel).CreateFile(upload)
    steps = v1.ListStepsRequest(run_id=RUN_ID)
    await StepServiceStub(channel).ListSteps(steps)
    assert door.files.calls == [(DEFAULT_TENANT, upload)]
    assert door.steps.calls == [(DEFAULT_TENANT, steps)]
    models = await ModelServiceStub(channel).ListModels(v1.ListModelsRequest())
    assert [model.handle for model in models.models] == ["scripted/echo"]
    asked = v1.GetQueueStatsRequest(fairness_key="acme")
    assert (await OpsServiceStub(channel).GetQueueStats(asked)).slots == 1
    assert door.queue.calls == [(DEFAULT_TENANT, asked)]
    pause = v1.PauseDispatchRequest(fairness_key="k", reason="night")
    assert await OpsServiceStub(channel).PauseDispatch(pause) == v1.DispatchPause(reason="night")
    assert door.dispatch.calls == [(DEFAULT_TENANT, pause)]
    expected = server_info(door.settings)
    expected.caller.tenant = "default"
    expected.quotas.add().CopyFrom(QUOTA)
    assert await OpsServiceStub(channel).GetServerInfo(v1.GetServerInfoRequest()) == expected


async def test_a_method_that_the_contract_has_not_is_unimplemented(channel: grpc.aio.Channel) -> None:
    raw: Any = channel.unary_unary("/sendoff.v1.RunService/DropRun")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await raw(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("replayed", [True, False])
async def test_the_header_tells_whether_an_accept_was_a_repeat(
    replayed: bool, door: Door, runs: RunServiceStub
) -> None:
    door.runs.replayed = replayed
    call = runs.CreateMessageAsync(v1.CreateMessageAsyncRequest())
    assert await call == RUN
    headers = dict(await call.initial_metadata())
    assert headers.get("idempotency-replayed") == ("true" if replayed else None)


async def test_the_idempotency_key_is_taken_from_the_metadata(door: Door, runs: RunServiceStub) -> None:
    request = v1.CreateMessageAsyncRequest()
    await runs.CreateMessageAsync(request)
    await runs.CreateMessageAsync(request, metadata=(("idempotency-key", "k" * 255),))
    await runs.CreateMessageAsync(request, metadata=(("idempotency-key", "k"), ("idempotency-key", "k")))
    assert door.runs.keys == [None, "k" * 255, "k"]


@pytest.mark.parametrize("keys", [["k" * 256], [""], ["a", "b"]], ids=["too long", "empty", "two"])
async def test_a_bad_idempotency_key_is_refused(keys: list[str], door: Door, runs: RunServiceStub) -> None:
    metadata = tuple(("idempotency-key", key) for key in keys)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await runs.CreateMessageAsync(v1.CreateMessageAsyncRequest(), metadata=metadata)
    told = Told(raised.value)
    assert (told.code, told.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(told.violations) == ["idempotency-key"]
    assert door.runs.keys == []


async def test_calls_are_counted_by_method_and_outcome(door: Door, runs: RunServiceStub) -> None:
    for _ in range(3):
        await runs.GetRun(v1.GetRunRequest(run_id=RUN_ID))
    assert [frame async for frame in runs.WatchRun(v1.WatchRunRequest(run_id=RUN_ID))] == []
    assert door.server.calls.ended == {("RunService/GetRun", "OK"): 3, ("RunService/WatchRun", "OK"): 1}


async def test_each_call_has_a_line_in_the_debug_log_that_names_it() -> None:
    async with open_door(log_level="debug") as door, door.channel() as channel:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
            await RunServiceStub(channel).GetRun(v1.GetRunRequest(run_id=RUN_ID))
        assert [(line["event"], line["rpc"], line["outcome"]) for line in logged] == [
            ("call", "RunService/GetRun", "OK")
        ]


async def test_calls_write_no_log_by_default(runs: RunServiceStub) -> None:
    with capture_logs() as logged:
        await runs.GetRun(v1.GetRunRequest(run_id=RUN_ID))
    assert logged == []


async def test_a_caller_that_goes_away_ends_the_call(door: Door, runs: RunServiceStub) -> None:
    door.runs.hold = asyncio.Event()
    call = runs.WaitRun(v1.WaitRunRequest(run_id=RUN_ID))
    async with asyncio.timeout(PATIENCE_S):
        await door.runs.entered.wait()
        with capture_logs() as logged:
            call.cancel()
            await until(lambda: ("RunService/WaitRun", "CANCELLED") in door.server.calls.ended)
    assert logged == []
