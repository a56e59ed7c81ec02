"""The Python client of Sendoff.

    with sendoff.Client() as client:
        run = client.send(agent.id, "Hello")
        for entry in client.watch(run.id, include_deltas=True): ...

`sendoff.v1` has the messages and enums of the contract, which are what calls take and return.
"""

from sendoff import v1
from sendoff.aio import AsyncClient
from sendoff.client import Client
from sendoff.client_tools.functions import ToolFunction
from sendoff.client_tools.shapes import NoSchema
from sendoff.client_tools.turns import Answer, Approve, Turn
from sendoff.errors import (
    ActionAlreadyAnswered,
    AgentHasActiveRuns,
    CompactionFailed,
    Conflict,
    ConversationBusy,
    ConversationHasActiveRuns,
    DeadlineExceeded,
    EndpointDisabled,
    EndpointHasNoUrl,
    EndpointHasUrl,
    EtagMismatch,
    IdempotencyMismatch,
    Internal,
    InvalidRequest,
    InvalidToolCallIds,
    LogGap,
    NoPendingAction,
    NotAllowed,
    NotFound,
    NothingToCompact,
    NotNow,
    PendingApproval,
    PermissionDenied,
    QueueFull,
    QuotaExceeded,
    Refused,
    RequestTooLarge,
    ResetFailed,
    RunDeleted,
    RunStillOpen,
    SecretUnreadable,
    SendoffError,
    ToolExists,
    ToolIsTheServers,
    TooManyEndpoints,
    TooManyPauses,
    TooManySecrets,
    Unauthenticated,
    Unavailable,
    Unsupported,
    Violation,
)
from sendoff.receiving import Received
from sendoff.retry import RetryPolicy, Timing
from sendoff.transcript import Change, Part, Transcript

__all__ = [
    "ActionAlreadyAnswered",
    "AgentHasActiveRuns",
    "Answer",
    "Approve",
    "AsyncClient",
    "Change",
    "Client",
    "CompactionFailed",
    "Conflict",
    "ConversationBusy",
    "ConversationHasActiveRuns",
    "DeadlineExceeded",
    "EndpointDisabled",
    "EndpointHasNoUrl",
    "EndpointHasUrl",
    "EtagMismatch",
    "IdempotencyMismatch",
    "Internal",
    "InvalidRequest",
    "InvalidToolCallIds",
    "LogGap",
    "NoPendingAction",
    "NoSchema",
    "NotAllowed",
    "NotFound",
    "NotNow",
    "NothingToCompact",
    "Part",
    "PendingApproval",
    "PermissionDenied",
    "QueueFull",
    "QuotaExceeded",
    "Received",
    "Refused",
    "RequestTooLarge",
    "ResetFailed",
    "RetryPolicy",
    "RunDeleted",
    "RunStillOpen",
    "SecretUnreadable",
    "SendoffError",
    "Timing",
    "TooManyEndpoints",
    "TooManyPauses",
    "TooManySecrets",
    "ToolExists",
    "ToolFunction",
    "ToolIsTheServers",
    "Transcript",
    "Turn",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "Violation",
    "v1",
]
