"""Errors that say: look again, then decide."""

from __future__ import annotations

from sendoff_server.errors.base import ServiceError


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


class SecretUnreadable(Conflict):
    reason = "SECRET_UNREADABLE"
    grpc_code = "FAILED_PRECONDITION"

    def __init__(self, owner_id: str, name: str, key_id: str, *, has_key: bool) -> None:
        """`name`: of the secret, empty where it has none. `has_key`: whether the key is there, so that it is the secret
        that is damaged."""
        why = "is damaged" if has_key else f"is encrypted with the key {key_id}, which this server does not have"
        does = "give it anew" if has_key else "its operator can add the key to SENDOFF_ENCRYPTION_KEYS, or give it anew"
        super().__init__(
            f"the secret {name!r} of {owner_id} {why}; {does}",
            owner_id=owner_id,
            name=name,
            key_id=key_id,
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
