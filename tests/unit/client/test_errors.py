"""Errors of calls are told apart by what the server says, and by less where it says less."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import grpc
import pytest

import sendoff
from sendoff import methods
from sendoff_server import errors as server_errors
from tests.unit.client.scripted_server import RUN_ID, Asker, Failure, ScriptedServer

BY_REASON = {
    "AGENT_NOT_FOUND": sendoff.NotFound,
    "CONVERSATION_NOT_FOUND": sendoff.NotFound,
    "RUN_NOT_FOUND": sendoff.NotFound,
    "MESSAGE_NOT_FOUND": sendoff.NotFound,
    "MODEL_NOT_FOUND": sendoff.NotFound,
    "TOOL_NOT_FOUND": sendoff.NotFound,
    "BLOCK_NOT_FOUND": sendoff.NotFound,
    "FILE_NOT_FOUND": sendoff.NotFound,
    "STEP_NOT_FOUND": sendoff.NotFound,
    "ENDPOINT_NOT_FOUND": sendoff.NotFound,
    "DELIVERY_NOT_FOUND": sendoff.NotFound,
    "INVALID_REQUEST": sendoff.InvalidRequest,
    "MALFORMED_REQUEST": sendoff.InvalidRequest,
    "INVALID_TOOL_CALL_IDS": sendoff.InvalidToolCallIds,
    "REQUEST_TOO_LARGE": sendoff.RequestTooLarge,
    "UNSUPPORTED_FEATURE": sendoff.Unsupported,
    "UNAUTHENTICATED": sendoff.Unauthenticated,
    "PERMISSION_DENIED": sendoff.PermissionDenied,
    "IDEMPOTENCY_MISMATCH": sendoff.IdempotencyMismatch,
    "CONVERSATION_BUSY": sendoff.ConversationBusy,
    "ETAG_MISMATCH": sendoff.EtagMismatch,
    "RUN_STILL_OPEN": sendoff.RunStillOpen,
    "RUN_DELETED": sendoff.RunDeleted,
    "AGENT_HAS_ACTIVE_RUNS": sendoff.AgentHasActiveRuns,
    "CONVERSATION_HAS_ACTIVE_RUNS": sendoff.ConversationHasActiveRuns,
    "PENDING_APPROVAL": sendoff.PendingApproval,
    "NO_PENDING_ACTION": sendoff.NoPendingAction,
    "ACTION_ALREADY_ANSWERED": sendoff.ActionAlreadyAnswered,
    "TOOL_IS_THE_SERVERS": sendoff.ToolIsTheServers,
    "TOOL_EXISTS": sendoff.ToolExists,
    "NOTHING_TO_COMPACT": sendoff.NothingToCompact,
    "COMPACTION_FAILED": sendoff.CompactionFailed,
    "RESET_FAILED": sendoff.ResetFailed,
    "ENDPOINT_HAS_URL": sendoff.EndpointHasUrl,
    "ENDPOINT_HAS_NO_URL": sendoff.EndpointHasNoUrl,
    "ENDPOINT_DISABLED": sendoff.EndpointDisabled,
    "TOO_MANY_ENDPOINTS": sendoff.TooManyEndpoints,
    "TOO_MANY_PAUSES": sendoff.TooManyPauses,
    "TOO_MANY_SECRETS": sendoff.TooManySecrets,
    "SECRET_UNREADABLE": sendoff.SecretUnreadable,
    "QUEUE_FULL": sendoff.QueueFull,
    "OUTBOX_FULL": sendoff.QueueFull,
    "QUOTA_EXCEEDED": sendoff.QuotaExceeded,
    "OVERLOADED": sendoff.Unavailable,
    "DRAINING": sendoff.Unavailable,
    "STREAM_TOO_OLD": sendoff.Unavailable,
    "STORE_UNAVAILABLE": sendoff.Unavailable,
}

BY_CODE = {
    grpc.StatusCode.NOT_FOUND: sendoff.NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: sendoff.InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: sendoff.Refused,
    grpc.StatusCode.UNIMPLEMENTED: sendoff.Unsupported,
    grpc.StatusCode.UNAUTHENTICATED: sendoff.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: sendoff.PermissionDenied,
    grpc.StatusCode.FAILED_PRECONDITION: sendoff.Conflict,
    grpc.StatusCode.ALREADY_EXISTS: sendoff.Conflict,
    grpc.StatusCode.ABORTED: sendoff.Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: sendoff.NotNow,
    grpc.StatusCode.DEADLINE_EXCEEDED: sendoff.DeadlineExceeded,
    grpc.StatusCode.INTERNAL: sendoff.Internal,
    grpc.StatusCode.UNKNOWN: sendoff.Internal,
    grpc.StatusCode.DATA_LOSS: sendoff.Internal,
}


def server_reasons(kind: type[server_errors.ServiceError] = server_errors.ServiceError) -> Iterator[tuple[str, str]]:
    """Every reason that the server knows, with its gRPC status."""
    if "reason" in vars(kind):
        yield kind.reason, kind.grpc_code
    for below in kind.__subclasses__():
        yield from server_reasons(below)


def test_every_reason_of_the_server_has_its_class_here() -> None:
    assert {reason for reason, _ in server_reasons()} == set(BY_REASON)


@pytest.mark.parametrize(("reason", "code"), list(server_reasons()))
async def test_a_reason_of_the_server_picks_the_class(
    asker: Asker, server: ScriptedServer, reason: str, code: str
) -> None:
    planned = Failure(grpc.StatusCode[code], "what is wrong", reason, {"key": "value"})
    server.plan(methods.GET_RUN, *[planned] * 6)

    with pytest.raises(sendoff.SendoffError) as told:
        await asker.call("get_run", RUN_ID)

    error = told.value
    assert type(error) is BY_REASON[reason]
    assert (error.code.name, error.reason, error.domain) == (code, reason, "sendoff")
    assert (error.message, str(error), error.metadata) == ("what is wrong", "what is wrong", {"key": "value"})


@pytest.mark.parametrize("code", BY_CODE, ids=lambda code: code.name)
async def test_without_details_the_status_picks_the_class(
    asker: Asker, server: ScriptedServer, code: grpc.StatusCode
) -> None:
    server.plan(methods.GET_RUN, Failure(code, "from a proxy"))

    with pytest.raises(sendoff.SendoffError) as told:
        await asker.call("get_run", RUN_ID)

    assert type(told.value) is BY_CODE[code]
    assert (told.value.reason, told.value.domain) == (code.name, "")


async def test_details_that_cannot_be_read_are_as_none(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, Failure(grpc.StatusCode.NOT_FOUND, "gone", raw_details=b"\xff\xff"))

    with pytest.raises(sendoff.NotFound, match="gone") as told:
        await asker.call("get_run", RUN_ID)

    assert told.value.domain == ""


async def test_all_violations_are_told(asker: Asker, server: ScriptedServer) -> None:
    wrong = [("agent_id", "is no id"), ("", "as a whole")]
    server.plan(
        methods.GET_RUN,
        Failure(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", violations=wrong),
    )

    with pytest.raises(sendoff.InvalidRequest) as told:
        await asker.call("get_run", RUN_ID)

    assert [(each.field, each.description) for each in told.value.violations] == wrong


async def test_when_to_repeat_is_told(asker: Asker, server: ScriptedServer) -> None:
    full = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after_s=60.5)
    server.plan(methods.GET_RUN, full)

    with pytest.raises(sendoff.QueueFull) as told:
        await asker.call("get_run", RUN_ID)

    assert told.value.retry_after_s == 60.5


def test_an_error_travels_between_processes() -> None:
    error = sendoff.ConversationBusy(
        "busy", code=grpc.StatusCode.ABORTED, reason="CONVERSATION_BUSY", metadata={"run_id": "r"}, retry_after_s=1.0
    )

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is sendoff.ConversationBusy
    assert vars(copy) == vars(error)
