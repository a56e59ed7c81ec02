"""Every error that a caller can see, drawn once.

    ServiceError
      NotFound         name something that exists   AgentNotFound, ConversationNotFound, MessageNotFound, RunNotFound,
                                                    ModelNotFound, ToolNotFound, BlockNotFound, FileNotFound,
                                                    StepNotFound, EndpointNotFound, DeliveryNotFound
      Refused          change the request           InvalidRequest, MalformedRequest, RequestTooLarge, Unsupported,
                                                    InvalidToolCallIds
      Conflict         look again, then decide      IdempotencyMismatch, ConversationBusy, EtagMismatch,
                                                    RunStillOpen, RunDeleted, AgentHasActiveRuns,
                                                    ConversationHasActiveRuns, PendingApproval, NoPendingAction,
                                                    ActionAlreadyAnswered, ToolIsTheServers, ToolExists,
                                                    NothingToCompact, CompactionFailed, ResetFailed,
                                                    EndpointHasUrl, EndpointHasNoUrl, EndpointDisabled,
                                                    TooManyEndpoints, TooManySecrets, TooManyPauses
      NotNow           wait and repeat              QueueFull, OutboxFull, Draining, StreamTooOld,
                                                    StoreUnavailable

The three class attributes are the table that both doors read: `reason` goes into `google.rpc.ErrorInfo`, `grpc_code` is
the name of the gRPC status, `http_status` the one of the REST door. Every value in a message is also in the metadata
(AIP-193).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

DOMAIN = "sendoff"
"""The domain of every `ErrorInfo`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field of a request."""

    field: str
    """Path as in `messages.messages[2].message.content.parts.parts[4].tool_call.name`."""
    description: str


class ServiceError(Exception):
    """An error with a reason, a message for people and the message's values as metadata."""

    reason: ClassVar[str]
    grpc_code: ClassVar[str]
    http_status: ClassVar[int]
    retry_after_s: float | None = None

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class NotFound(ServiceError):
    """Nothing of that name, or nothing that this tenant may see."""

    grpc_code = "NOT_FOUND"
    http_status = 404


class AgentNotFound(NotFound):
    reason = "AGENT_NOT_FOUND"

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"there is no agent {agent_id!r}; ListAgents shows those that exist", agent_id=agent_id)


class ConversationNotFound(NotFound):
    reason = "CONVERSATION_NOT_FOUND"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            f"there is no conversation {conversation_id!r}; leave it unset for the agent's own",
            conversation_id=conversation_id,
        )


class MessageNotFound(NotFound):
    reason = "MESSAGE_NOT_FOUND"

    def __init__(self, message_id: str, where: str = "") -> None:
        """`where`: the conversation, agent or run that does not have it; empty for none in particular."""
        told = f" in {where}" if where else ""
        kind = {"conv": "conversation_id", "agent": "agent_id", "run": "run_id"}.get(where.partition("-")[0])
        super().__init__(
            f"there is no message {message_id!r}{told}, or none yet; ListMessages shows those that exist",
            message_id=message_id,
            **({kind: where} if kind else {}),
        )


class RunNotFound(NotFound):
    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r}", run_id=run_id)


class ToolNotFound(NotFound):
    reason = "TOOL_NOT_FOUND"

    def __init__(self, tool_id: str) -> None:
        super().__init__(f"there is no tool {tool_id!r}; ListTools shows those that exist", tool_id=tool_id)


class BlockNotFound(NotFound):
    reason = "BLOCK_NOT_FOUND"

    def __init__(self, block_id: str) -> None:
        super().__init__(f"there is no block {block_id!r}; ListBlocks shows those that exist", block_id=block_id)


class FileNotFound(NotFound):
    reason = "FILE_NOT_FOUND"

    def __init__(self, file_id: str) -> None:
        super().__init__(f"there is no file {file_id!r}; ListFiles shows those that exist", file_id=file_id)


class StepNotFound(NotFound):
    reason = "STEP_NOT_FOUND"

    def __init__(self, step_id: str) -> None:
        super().__init__(f"there is no step {step_id!r}; ListSteps shows those of a run", step_id=step_id)


class EndpointNotFound(NotFound):
    reason = "ENDPOINT_NOT_FOUND"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(
            f"there is no callback endpoint {endpoint_id!r}; ListEndpoints shows those that exist",
            endpoint_id=endpoint_id,
        )


class DeliveryNotFound(NotFound):
    reason = "DELIVERY_NOT_FOUND"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(
            f"there is no delivery {delivery_id!r}, or none any more; ListDeliveries shows those that exist",
            delivery_id=delivery_id,
        )


class ModelNotFound(NotFound):
    reason = "MODEL_NOT_FOUND"

    def __init__(self, handle: str, hint: str = "ListModels shows those that can be used") -> None:
        super().__init__(f"there is no model {handle!r}; {hint}", handle=handle)


class Refused(ServiceError):
    """The request can never work as it is."""

    def __init__(self, message: str, violations: Sequence[Violation] = (), **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.violations = tuple(violations)


class InvalidRequest(Refused):
    """The request breaks rules of the contract; every violation is named at once."""

    reason = "INVALID_REQUEST"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 422

    def __init__(self, violations: Sequence[Violation]) -> None:
        told = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations[:8])
        more = f"; and {len(violations) - 8} more" if len(violations) > 8 else ""
        super().__init__(told + more, violations)


class MalformedRequest(Refused):
    """The bytes are not a message of the contract, or some text in them is not UTF-8."""

    reason = "MALFORMED_REQUEST"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 400

    def __init__(self, expected: str) -> None:
        super().__init__(
            f"the request is not a valid {expected}: it is damaged, or a text in it is not UTF-8", expected=expected
        )


class RequestTooLarge(Refused):
    reason = "REQUEST_TOO_LARGE"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 413

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the request has {size} bytes, at most {limit} are accepted",
            size=str(size),
            limit=str(limit),
        )


class Unsupported(Refused):
    """A parameter that this server, or the model chosen, cannot honour."""

    reason = "UNSUPPORTED_FEATURE"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 422

    def __init__(self, violations: Sequence[Violation]) -> None:
        fields = ", ".join(v.field for v in violations)
        told = "; ".join(f"{v.field}: {v.description}" for v in violations)
        super().__init__(f"cannot be honoured: {told}", violations, fields=fields)


class Conflict(ServiceError):
    """The world is not as the request supposes."""

    http_status = 409


class IdempotencyMismatch(Conflict):
    reason = "IDEMPOTENCY_MISMATCH"
    grpc_code = "ALREADY_EXISTS"

    def __init__(self, key: str, resource_id: str) -> None:
        super().__init__(
            f"the key {key!r} was used with another request, which made {resource_id}; "
            "take a new key for a new request",
            key=key,
            resource_id=resource_id,
        )


class ToolExists(Conflict):
    reason = "TOOL_EXISTS"
    grpc_code = "ALREADY_EXISTS"

    def __init__(self, name: str, tool_id: str) -> None:
        super().__init__(
            f"there is a tool {name!r} already, {tool_id}; change that one, or take another name",
            name=name,
            tool_id=tool_id,
        )


class ConversationBusy(Conflict):
    reason = "CONVERSATION_BUSY"
    grpc_code = "ABORTED"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id} is currently being processed for this conversation; "
            "wait for it, or send with when_busy ENQUEUE",
            run_id=run_id,
        )


class RunStillOpen(Conflict):
    reason = "RUN_STILL_OPEN"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(
            f"run {run_id} {why}, so it cannot be deleted; cancel it, wait for its end, and delete it then",
            run_id=run_id,
            why=why,
        )


class RunDeleted(Conflict):
    """What was accepted before is not run again because its run was deleted."""

    reason = "RUN_DELETED"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"this request was accepted before, as run {run_id}, which was deleted since; "
            "take new keys to have it run once more",
            run_id=run_id,
        )


class EtagMismatch(Conflict):
    reason = "ETAG_MISMATCH"
    grpc_code = "ABORTED"

    def __init__(self, resource_id: str, etag: str) -> None:
        super().__init__(
            f"{resource_id} has changed: its etag is not {etag!r} any more; read it again, then decide",
            resource_id=resource_id,
            etag=etag,
        )


class AgentHasActiveRuns(Conflict):
    reason = "AGENT_HAS_ACTIVE_RUNS"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, agent_id: str, active_runs: int) -> None:
        super().__init__(
            f"agent {agent_id} has {active_runs} runs that have not ended; cancel them or set cancel_runs",
            agent_id=agent_id,
            active_runs=str(active_runs),
        )


class ConversationHasActiveRuns(Conflict):
    reason = "CONVERSATION_HAS_ACTIVE_RUNS"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, conversation_id: str, active_runs: int) -> None:
        super().__init__(
            f"conversation {conversation_id} has {active_runs} runs that have not ended; "
            "cancel them or set cancel_runs",
            conversation_id=conversation_id,
            active_runs=str(active_runs),
        )


class PendingApproval(Conflict):
    """The conversation waits for an answer, and the request asks not to be put behind it."""

    reason = "PENDING_APPROVAL"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, run_id: str, pending_request_id: str) -> None:
        super().__init__(
            "Cannot send a new message: the agent is waiting for approval on a tool call. Approve or deny it "
            f"(run {run_id}, request {pending_request_id}), or send with when_pending DENY or ENQUEUE",
            run_id=run_id,
            pending_request_id=pending_request_id,
        )


class NoPendingAction(Conflict):
    reason = "NO_PENDING_ACTION"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 400

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            "Cannot process approval response: No tool call is currently awaiting approval in "
            f"{conversation_id}. Send a regular message to interact with the agent",
            conversation_id=conversation_id,
        )


class InvalidToolCallIds(Refused):
    reason = "INVALID_TOOL_CALL_IDS"
    grpc_code = "INVALID_ARGUMENT"
    http_status = 400

    def __init__(self, expected: Sequence[str], received: Sequence[str]) -> None:
        super().__init__(
            f"Invalid tool call IDs. Expected '{list(expected)}', but received '{list(received)}'.",
            expected=",".join(expected),
            received=",".join(received),
        )


class ActionAlreadyAnswered(Conflict):
    reason = "ACTION_ALREADY_ANSWERED"
    grpc_code = "ABORTED"

    def __init__(self, tool_call_id: str) -> None:
        super().__init__(
            f"the call {tool_call_id!r} was answered before, in another way; ListPendingActions shows how",
            tool_call_id=tool_call_id,
        )


class ToolIsTheServers(Conflict):
    reason = "TOOL_IS_THE_SERVERS"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, tool_id: str) -> None:
        super().__init__(
            f"the tool {tool_id} is made by the server and cannot be deleted; take it out of Agent.tool_ids instead",
            tool_id=tool_id,
        )


class NothingToCompact(Conflict):
    reason = "NOTHING_TO_COMPACT"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 400

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            f"the context of {conversation_id} would not become shorter: there is nothing to put into a summary",
            conversation_id=conversation_id,
        )


class CompactionFailed(Conflict):
    """The model gave no summary."""

    reason = "COMPACTION_FAILED"
    grpc_code = "FAILED_PRECONDITION"
    http_status = 502

    def __init__(self, conversation_id: str, run_id: str, why: str) -> None:
        super().__init__(
            f"the context of {conversation_id} is as it was, because run {run_id} has failed: {why}",
            conversation_id=conversation_id,
            run_id=run_id,
            why=why,
        )


class ResetFailed(Conflict):
    """Somebody cancelled it."""

    reason = "RESET_FAILED"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, conversation_id: str, run_id: str) -> None:
        super().__init__(
            f"the context of {conversation_id} is as it was, because run {run_id} was cancelled before it had reset it",
            conversation_id=conversation_id,
            run_id=run_id,
        )


class EndpointHasUrl(Conflict):
    reason = "ENDPOINT_HAS_URL"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(
            f"the deliveries of {endpoint_id} are sent to its URL; make an endpoint without one to receive them here",
            endpoint_id=endpoint_id,
        )


class EndpointHasNoUrl(Conflict):
    reason = "ENDPOINT_HAS_NO_URL"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(
            f"{endpoint_id} has no URL, so nothing is sent to it or signed for it; ReceiveDeliveries hands out what it "
            "gets",
            endpoint_id=endpoint_id,
        )


class EndpointDisabled(Conflict):
    reason = "ENDPOINT_DISABLED"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, endpoint_id: str, why: str = "") -> None:
        """`why`: the server's reason; empty if a caller disabled it."""
        told = f" ({why})" if why else ""
        super().__init__(
            f"{endpoint_id} is disabled{told} and gets nothing; enable it with UpdateEndpoint first",
            endpoint_id=endpoint_id,
            **({"why": why} if why else {}),
        )


class TooManyPauses(Conflict):
    reason = "TOO_MANY_PAUSES"
    grpc_code = "RESOURCE_EXHAUSTED"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"there are {limit} pauses of dispatch already, which is the most; resume one, or pause all of the tenant",
            limit=str(limit),
        )


class TooManyEndpoints(Conflict):
    reason = "TOO_MANY_ENDPOINTS"
    grpc_code = "RESOURCE_EXHAUSTED"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"there are {limit} callback endpoints already, which is the most; delete one that is not needed",
            limit=str(limit),
        )


class TooManySecrets(Conflict):
    reason = "TOO_MANY_SECRETS"
    grpc_code = "RESOURCE_EXHAUSTED"

    def __init__(self, endpoint_id: str, limit: int) -> None:
        super().__init__(
            f"{limit} secrets of {endpoint_id} sign already, which is the most; wait until one of them has run out, or "
            "set overlap to 0, which ends them all",
            endpoint_id=endpoint_id,
            limit=str(limit),
        )


class NotNow(ServiceError):
    """The same request may work later."""


class QueueFull(NotNow):
    reason = "QUEUE_FULL"
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429

    def __init__(self, queue: str, limit: int, retry_after_s: float = 1.0) -> None:
        super().__init__(
            f"{queue} already holds {limit} waiting runs; wait for some of them to end",
            queue=queue,
            limit=str(limit),
        )
        self.retry_after_s = retry_after_s


class OutboxFull(NotNow):
    reason = "OUTBOX_FULL"
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429

    def __init__(self, limit: int, retry_after_s: float = 5.0) -> None:
        super().__init__(
            f"{limit} callbacks already wait for their receivers; send the request later, or without callback_url",
            limit=str(limit),
        )
        self.retry_after_s = retry_after_s


class Draining(NotNow):
    reason = "DRAINING"
    grpc_code = "UNAVAILABLE"
    http_status = 503
    retry_after_s = 1.0

    def __init__(self, over_in_s: float = 0.0) -> None:
        super().__init__("this server is stopping; send the request again")
        self.over_in_s = over_in_s
        """When it will have stopped, at the latest."""


class StreamTooOld(NotNow):
    """Streams end now and then, so that callers spread over new replicas."""

    reason = "STREAM_TOO_OLD"
    grpc_code = "UNAVAILABLE"
    http_status = 503
    retry_after_s = 0.0

    def __init__(self) -> None:
        super().__init__("this stream has gone on for as long as one may; open the next one")


class StoreUnavailable(NotNow):
    reason = "STORE_UNAVAILABLE"
    grpc_code = "UNAVAILABLE"
    http_status = 503
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("the store does not answer, so nothing was done; send the request again")
