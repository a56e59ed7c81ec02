"""Every error reaches the caller with its code, one ErrorInfo and what fits beside it; a mistake of ours is opaque."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff_server import errors
from sendoff_server.errors import InvalidRequest, ServiceError, Unsupported, Violation
from tests.unit.api.door import AGENT_ID, RUN_ID, Door, open_door
from tests.unit.api.told import Told

VIOLATIONS = [Violation("input.text", "must not be empty"), Violation("max_steps", "must be at least 1, is 0")]
SAMPLES: list[ServiceError] = [
    errors.AgentNotFound(AGENT_ID),
    errors.ConversationNotFound("conv-1"),
    errors.MessageNotFound("message-1", "conv-1"),
    errors.RunNotFound(RUN_ID),
    errors.BlockNotFound("block-1"),
    errors.FileNotFound("file-1"),
    errors.StepNotFound("step-1"),
    errors.EndpointNotFound("endpoint-1"),
    errors.DeliveryNotFound("delivery-1"),
    errors.ModelNotFound("openai/gpt-0"),
    InvalidRequest(VIOLATIONS),
    errors.MalformedRequest("sendoff.v1.GetRunRequest"),
    errors.RequestTooLarge(2_000, 1_000),
    Unsupported(VIOLATIONS),
    errors.IdempotencyMismatch("key", RUN_ID),
    errors.ConversationBusy(RUN_ID),
    errors.EtagMismatch(AGENT_ID, "1"),
    errors.RunStillOpen(RUN_ID, "has not ended"),
    errors.RunDeleted(RUN_ID),
    errors.ToolNotFound("tool-1"),
    errors.ToolIsTheServers("tool-1"),
    errors.ToolExists("light", "tool-1"),
    errors.AgentHasActiveRuns(AGENT_ID, 3),
    errors.ConversationHasActiveRuns("conv-1", 3),
    errors.InvalidToolCallIds(["call-1", "call-2"], ["call-1"]),
    errors.PendingApproval(RUN_ID, "message-1"),
    errors.NoPendingAction("conv-1"),
    errors.ActionAlreadyAnswered("call-1"),
    errors.NothingToCompact("conv-1"),
    errors.CompactionFailed("conv-1", RUN_ID, "the model is away"),
    errors.ResetFailed("conv-1", RUN_ID),
    errors.EndpointHasUrl("endpoint-1"),
    errors.EndpointHasNoUrl("endpoint-1"),
    errors.EndpointDisabled("endpoint-1", "the receiver answered 410"),
    errors.TooManyEndpoints(50),
    errors.TooManyPauses(1000),
    errors.TooManySecrets("endpoint-1", 5),
    errors.SecretUnreadable("agent-1", "TOKEN", "0a1b2c3d", has_key=False),
    errors.QueueFull("conversation", 10, 2.5),
    errors.OutboxFull(100, 2.5),
    errors.Unauthenticated(),
    errors.PermissionDenied("read-only", "SEND"),
    errors.QuotaExceeded("watchers", "tenant:acme", 10, 2.5),
    errors.Overloaded("its memory is used up", 2.5),
    errors.Draining(),
    errors.StreamTooOld(),
    errors.StoreUnavailable(),
]
RESOURCES = {
    "BLOCK_NOT_FOUND": ("sendoff.v1.Block", "block-1"),
    "FILE_NOT_FOUND": ("sendoff.v1.File", "file-1"),
    "STEP_NOT_FOUND": ("sendoff.v1.Step", "step-1"),
    "ENDPOINT_NOT_FOUND": ("sendoff.v1.CallbackEndpoint", "endpoint-1"),
    "DELIVERY_NOT_FOUND": ("sendoff.v1.Delivery", "delivery-1"),
    "AGENT_NOT_FOUND": ("sendoff.v1.Agent", AGENT_ID),
    "CONVERSATION_NOT_FOUND": ("sendoff.v1.Conversation", "conv-1"),
    "MESSAGE_NOT_FOUND": ("sendoff.v1.Message", "message-1"),
    "TOOL_NOT_FOUND": ("sendoff.v1.Tool", "tool-1"),
    "RUN_NOT_FOUND": ("sendoff.v1.Run", RUN_ID),
    "MODEL_NOT_FOUND": ("sendoff.v1.Model", "openai/gpt-0"),
}


def leaves(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """The errors under that one which are raised themselves."""
    for below in kind.__subclasses__():
        yield from leaves(below)
    if not kind.__subclasses__():
        yield kind


async def refusal(runs: RunServiceStub) -> Told:
    """How GetRun is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await runs.GetRun(v1.GetRunRequest(run_id=RUN_ID))
    return Told(raised.value)


def test_every_error_of_the_tree_has_a_sample_here() -> None:
    assert {type(sample) for sample in SAMPLES} == set(leaves(ServiceError))


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: error.reason)
async def test_an_error_arrives_with_its_code_reason_metadata_and_details(
    error: ServiceError, door: Door, runs: RunServiceStub
) -> None:
    door.runs.fail = error
    told = await refusal(runs)
    assert told.code is grpc.StatusCode[error.grpc_code]
    assert told.message == error.message
    assert (told.info.domain, told.info.reason) == ("sendoff", error.reason)
    assert dict(told.info.metadata) == error.metadata
    expected = ["ErrorInfo"]
    if isinstance(error, InvalidRequest | Unsupported):
        expected.append("BadRequest")
        assert told.violations == {violation.field: violation.description for violation in VIOLATIONS}
    if isinstance(error, errors.NotFound):
        expected.append("ResourceInfo")
        assert told.resource == RESOURCES[error.reason]
    if isinstance(error, errors.QuotaExceeded):
        expected.append("QuotaFailure")
        assert told.quotas == {error.subject: error.quota}
    if isinstance(error, errors.NotNow):
        expected.append("RetryInfo")
        assert told.retry_after_s == error.retry_after_s
    assert told.kinds == expected
    assert door.server.calls.ended["RunService/GetRun", error.grpc_code] == 1


async def test_an_exception_that_nobody_foresaw_is_logged_and_tells_the_caller_nothing(
    door: Door, runs: RunServiceStub
) -> None:
    door.runs.fail = ValueError("the password is hunter2")
    with capture_logs() as logged:
        told = await refusal(runs)
    assert (told.code, told.info.reason, told.kinds) == (grpc.StatusCode.INTERNAL, "INTERNAL", ["ErrorInfo"])
    assert "hunter2" not in str(told.message)
    assert "ValueError" not in str(told.message)
    assert [(line["log_level"], line["exc_info"]) for line in logged] == [("error", door.runs.fail)]
    assert door.server.calls.ended["RunService/GetRun", "INTERNAL"] == 1


async def test_a_watch_that_is_refused_tells_why(door: Door, runs: RunServiceStub) -> None:
    door.runs.fail = errors.RunNotFound(RUN_ID)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(aiter(runs.WatchRun(v1.WatchRunRequest(run_id=RUN_ID))))
    assert Told(raised.value).info.reason == "RUN_NOT_FOUND"
    assert door.runs.watch_closed.is_set()


async def test_something_cancelled_behind_the_door_does_not_leave_the_caller_without_an_answer(
    door: Door, runs: RunServiceStub
) -> None:
    door.runs.fail = asyncio.CancelledError()
    with capture_logs() as logged:
        told = await refusal(runs)
    assert (told.code, told.info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert [line["log_level"] for line in logged] == ["error"]


async def test_an_error_with_a_thousand_long_violations_still_fits_what_clients_take(
    door: Door, runs: RunServiceStub
) -> None:
    door.runs.fail = Unsupported([Violation("ä" * 1_000 + str(number), "ö" * 10_000) for number in range(1_000)])
    told = await refusal(runs)
    assert told.code is grpc.StatusCode.FAILED_PRECONDITION
    assert 1 <= len(told.violations) < 1_000


async def test_a_full_list_of_usual_violations_is_told_as_far_as_it_fits(door: Door, runs: RunServiceStub) -> None:
    path = "messages.messages[{}].message.content.parts.parts[4].tool_call.name"
    door.runs.fail = InvalidRequest([Violation(path.format(number), "must not be empty") for number in range(100)])
    told = await refusal(runs)
    assert list(told.violations)[:3] == [path.format(0), path.format(1), path.format(2)]
    assert len(told.violations) >= 20


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x02\xc3\x28", b"\x0a\x7f"], ids=["noise", "not UTF-8", "cut"])
@pytest.mark.parametrize("method", ["GetRun", "WatchRun"])
async def test_bytes_that_are_no_request_are_refused_as_malformed(
    data: bytes, method: str, door: Door, channel: grpc.aio.Channel
) -> None:
    raw: Any = channel.unary_unary if method == "GetRun" else channel.unary_stream
    call = raw(f"/sendoff.v1.RunService/{method}")(data)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call if method == "GetRun" else anext(aiter(call)))
    told = Told(raised.value)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.info.reason == "MALFORMED_REQUEST"
    assert told.info.metadata["expected"] == f"sendoff.v1.{method}Request"
    assert door.runs.calls == []


async def test_a_request_over_the_limit_is_refused_with_both_numbers() -> None:
    async with open_door(max_request_bytes=1_024) as door, door.channel() as channel:
        runs = RunServiceStub(channel)
        right = v1.CancelRunRequest(run_id=RUN_ID, reason="x" * 979)
        assert right.ByteSize() == 1_024
        await runs.CancelRun(right)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await runs.CancelRun(v1.CancelRunRequest(run_id=RUN_ID, reason="x" * 980))
        told = Told(raised.value)
        assert told.code is grpc.StatusCode.INVALID_ARGUMENT
        assert told.info.reason == "REQUEST_TOO_LARGE"
        assert dict(told.info.metadata) == {"size": "1025", "limit": "1024"}
        assert len(door.runs.calls) == 1


async def test_a_request_far_over_the_limit_is_cut_off_by_grpc_itself() -> None:
    async with open_door(max_request_bytes=1_024) as door, door.channel() as channel:
        huge = v1.CancelRunRequest(run_id=RUN_ID, reason="x" * (17 * 1024 * 1024))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await RunServiceStub(channel).CancelRun(huge)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert door.runs.calls == []
