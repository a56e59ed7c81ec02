"""What a call can end with, drawn once; classes by what the caller should do next.

    SendoffError
      NotFound             name something that exists
      Refused              change the request           InvalidRequest, InvalidToolCallIds, RequestTooLarge,
                                                        Unsupported, Unauthenticated, PermissionDenied
      Conflict             look again, then decide      IdempotencyMismatch, ConversationBusy, EtagMismatch,
                                                        RunStillOpen, RunDeleted,
                                                        AgentHasActiveRuns, ConversationHasActiveRuns,
                                                        PendingApproval, NoPendingAction, ActionAlreadyAnswered,
                                                        ToolIsTheServers, ToolExists, NothingToCompact,
                                                        CompactionFailed, ResetFailed, EndpointHasUrl,
                                                        EndpointHasNoUrl, EndpointDisabled, TooManyEndpoints,
                                                        TooManySecrets, TooManyPauses, SecretUnreadable
      NotNow               wait and repeat              QueueFull, QuotaExceeded, Unavailable
      DeadlineExceeded     look whether it worked
      Internal             report it                    LogGap

This is the server's table, inverted: the reason in `google.rpc.ErrorInfo` picks the class; where a server or a
proxy sends no details, the gRPC status does. A run that fails after it was accepted is no error of a call: see
`Run.error`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"

_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field of a request."""

    field: str
    """Path as in `messages.messages[2].message.content.text`; empty for the request as a whole."""
    description: str


class SendoffError(Exception):
    """A call that did not work.

    `reason` is UPPER_SNAKE and stable: the server's own, or the name of the gRPC status where `domain` is empty,
    which means that the server gave no details, or that it never saw the call. `metadata` has the values of the
    message by name. `retry_after_s` is set when the server said when to repeat.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason or code.name
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s


class NotFound(SendoffError):
    """Nothing of that name, or nothing that the caller may see.

    `reason` tells what: AGENT_NOT_FOUND, CONVERSATION_NOT_FOUND, RUN_NOT_FOUND, TOOL_NOT_FOUND, ...
    """


class Refused(SendoffError):
    """The request can never work as it is."""


class InvalidRequest(Refused):
    """The request breaks rules of the contract; `violations` has all of them."""


class InvalidToolCallIds(Refused):
    """The answers are not those that the conversation waits for; `metadata` has the ids `expected` and `received`."""


class RequestTooLarge(Refused):
    """The request has more bytes than the server takes."""


class Unsupported(Refused):
    """The server, or the model chosen, cannot honour a parameter; or the server does not know the call."""


class NotAllowed(Refused):
    """The credential is missing, unknown or not good enough."""


class Unauthenticated(NotAllowed):
    """The API key is missing, unknown, revoked or has expired; the server does not tell which."""


class PermissionDenied(NotAllowed):
    """The API key's role, `metadata["role"]`, does not have `metadata["permission"]`, which this takes."""


class Conflict(SendoffError):
    """The world is not as the request supposes."""


class IdempotencyMismatch(Conflict):
    """The request_id was used with another request, whose outcome is `metadata["resource_id"]`."""


class ConversationBusy(Conflict):
    """The conversation works on `metadata["run_id"]`, and the request asked not to wait."""


class RunStillOpen(Conflict):
    """The run `metadata["run_id"]` has not ended or waits for answers, and cannot be deleted as long as that is so."""


class RunDeleted(Conflict):
    """The request was accepted before, as the run `metadata["run_id"]`, which was deleted since."""


class EtagMismatch(Conflict):
    """It has changed since it was read."""


class AgentHasActiveRuns(Conflict):
    """The agent has runs that have not ended."""


class ConversationHasActiveRuns(Conflict):
    """The conversation has runs that have not ended."""


class PendingApproval(Conflict):
    """The conversation waits for answers to the calls of `metadata["run_id"]`, and the request asked not to deny them
    or wait for them."""


class NoPendingAction(Conflict):
    """The conversation waits for no answer."""


class ActionAlreadyAnswered(Conflict):
    """The call `metadata["tool_call_id"]` was answered before, in another way."""


class ToolIsTheServers(Conflict):
    """The tool is made by the server and stays."""


class ToolExists(Conflict):
    """There is a tool of that name already, `metadata["tool_id"]`."""


class NothingToCompact(Conflict):
    """The context of the conversation would not become shorter."""


class CompactionFailed(Conflict):
    """The model gave no summary, and the conversation is as it was; `metadata["run_id"]` tells more."""


class ResetFailed(Conflict):
    """The run `metadata["run_id"]` was cancelled before it had reset the conversation."""


class EndpointHasUrl(Conflict):
    """The deliveries of the endpoint `metadata["endpoint_id"]` are sent to its URL, and not handed out."""


class EndpointHasNoUrl(Conflict):
    """The endpoint `metadata["endpoint_id"]` has no URL, so nothing is sent to it or signed for it."""


class EndpointDisabled(Conflict):
    """The endpoint `metadata["endpoint_id"]` is disabled, and gets nothing."""


class TooManyEndpoints(Conflict):
    """There are as many endpoints as there may be."""


class TooManyPauses(Conflict):
    """There are as many pauses of dispatch as there may be."""


class TooManySecrets(Conflict):
    """As many secrets of the endpoint `metadata["endpoint_id"]` sign as may."""


class SecretUnreadable(Conflict):
    """The server cannot decrypt a secret of `metadata["owner_id"]`: its operator has to see to the keys, or the secret
    has to be given anew."""


class NotNow(SendoffError):
    """The same request may work later."""


class QueueFull(NotNow):
    """Too much is waiting already."""


class QuotaExceeded(NotNow):
    """`metadata["subject"]`, a tenant or a key, has all that its quota `metadata["quota"]` allows."""


class Unavailable(NotNow):
    """No server answers, or it is stopping, or overloaded, or its store is away."""


class DeadlineExceeded(SendoffError):
    """No answer in time. What was asked for may have been done."""


class Internal(SendoffError):
    """A fault of the server, or of something between."""


class LogGap(Internal):
    """A watch was sent an event that does not follow the one before. What was handed on until then is whole."""


_BY_REASON: dict[str, type[SendoffError]] = {
    "INVALID_REQUEST": InvalidRequest,
    "INVALID_TOOL_CALL_IDS": InvalidToolCallIds,
    "REQUEST_TOO_LARGE": RequestTooLarge,
    "UNSUPPORTED_FEATURE": Unsupported,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "IDEMPOTENCY_MISMATCH": IdempotencyMismatch,
    "CONVERSATION_BUSY": ConversationBusy,
    "ETAG_MISMATCH": EtagMismatch,
    "RUN_STILL_OPEN": RunStillOpen,
    "RUN_DELETED": RunDeleted,
    "AGENT_HAS_ACTIVE_RUNS": AgentHasActiveRuns,
    "CONVERSATION_HAS_ACTIVE_RUNS": ConversationHasActiveRuns,
    "PENDING_APPROVAL": PendingApproval,
    "NO_PENDING_ACTION": NoPendingAction,
    "ACTION_ALREADY_ANSWERED": ActionAlreadyAnswered,
    "TOOL_IS_THE_SERVERS": ToolIsTheServers,
    "TOOL_EXISTS": ToolExists,
    "NOTHING_TO_COMPACT": NothingToCompact,
    "COMPACTION_FAILED": CompactionFailed,
    "RESET_FAILED": ResetFailed,
    "ENDPOINT_HAS_URL": EndpointHasUrl,
    "ENDPOINT_HAS_NO_URL": EndpointHasNoUrl,
    "ENDPOINT_DISABLED": EndpointDisabled,
    "TOO_MANY_ENDPOINTS": TooManyEndpoints,
    "TOO_MANY_PAUSES": TooManyPauses,
    "TOO_MANY_SECRETS": TooManySecrets,
    "SECRET_UNREADABLE": SecretUnreadable,
    "QUEUE_FULL": QueueFull,
    "OUTBOX_FULL": QueueFull,
    "QUOTA_EXCEEDED": QuotaExceeded,
}

_BY_CODE: dict[grpc.StatusCode, type[SendoffError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: Refused,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: NotNow,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.UNKNOWN: Internal,
    grpc.StatusCode.DATA_LOSS: Internal,
}


class _Failure(Protocol):
    """What an error of a finished call has, of the blocking and of the asyncio API alike."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def from_rpc(error: grpc.RpcError, address: str) -> SendoffError:
    """The error of a call to `address` as one of ours."""
    failure = cast(_Failure, error)  # grpc.RpcError is declared empty; every error of a call has these methods
    code = failure.code()
    details = _details(failure.trailing_metadata())
    info = _unpacked(details, error_details_pb2.ErrorInfo)
    if info is None:
        return _BY_CODE.get(code, Internal)(_told(code, failure.details() or "", address), code=code)
    retry = _unpacked(details, error_details_pb2.RetryInfo)
    bad = _unpacked(details, error_details_pb2.BadRequest)
    return (_BY_REASON.get(info.reason) or _BY_CODE.get(code, Internal))(
        failure.details() or info.reason,
        code=code,
        reason=info.reason,
        domain=info.domain,
        metadata=info.metadata,
        violations=[Violation(v.field, v.description) for v in bad.field_violations] if bad else (),
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if retry else None,
    )


def _told(code: grpc.StatusCode, details: str, address: str) -> str:
    """A message for people where the server wrote none."""
    if code is grpc.StatusCode.UNAVAILABLE:
        cause = details.rpartition(": ")[2]  # gRPC puts the address and its own layers before it
        return f"cannot reach a server at {address} ({cause}); is it running? try `sendoff-server serve`"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer from {address} in time; the request may still have been carried out"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"the server at {address} does not know this call; it may be older than this client ({details})"
    return f"{code.name} from {address}: {details}"


def _details(metadata: Iterable[tuple[str, str | bytes]] | None) -> status_pb2.Status:
    """The `google.rpc.Status` that came with the call; empty where none did, or one that cannot be read."""
    status = status_pb2.Status()
    for key, value in metadata or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return status_pb2.Status()
    return status


def _unpacked(details: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    """The first detail of that kind; None where there is none, or one that cannot be read."""
    for packed in details.details:
        found = kind()
        try:
            if packed.Unpack(found):
                return found
        except DecodeError:
            continue
    return None
