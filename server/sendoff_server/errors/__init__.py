"""Every error that a caller can see, drawn once.

    ServiceError
      Denied           bring another credential     Unauthenticated, PermissionDenied
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
                                                    SecretUnreadable,
                                                    TooManyEndpoints, TooManySecrets, TooManyPauses
      NotNow           wait and repeat              QueueFull, OutboxFull, Draining, StreamTooOld,
                                                    StoreUnavailable

The three class attributes are the table that both doors read: `reason` goes into `google.rpc.ErrorInfo`, `grpc_code` is
the name of the gRPC status, `http_status` the one of the REST door. Every value in a message is also in the metadata
(AIP-193).
"""

from sendoff_server.errors.base import DOMAIN, ServiceError, Violation
from sendoff_server.errors.conflict import (
    ActionAlreadyAnswered,
    AgentHasActiveRuns,
    CompactionFailed,
    Conflict,
    ConversationBusy,
    ConversationHasActiveRuns,
    EndpointDisabled,
    EndpointHasNoUrl,
    EndpointHasUrl,
    EtagMismatch,
    IdempotencyMismatch,
    NoPendingAction,
    NothingToCompact,
    PendingApproval,
    ResetFailed,
    RunDeleted,
    RunStillOpen,
    SecretUnreadable,
    ToolExists,
    ToolIsTheServers,
    TooManyEndpoints,
    TooManyPauses,
    TooManySecrets,
)
from sendoff_server.errors.denied import Denied, PermissionDenied, Unauthenticated
from sendoff_server.errors.not_found import (
    AgentNotFound,
    BlockNotFound,
    ConversationNotFound,
    DeliveryNotFound,
    EndpointNotFound,
    FileNotFound,
    MessageNotFound,
    ModelNotFound,
    NotFound,
    RunNotFound,
    StepNotFound,
    ToolNotFound,
)
from sendoff_server.errors.not_now import Draining, NotNow, OutboxFull, QueueFull, StoreUnavailable, StreamTooOld
from sendoff_server.errors.refused import (
    InvalidRequest,
    InvalidToolCallIds,
    MalformedRequest,
    Refused,
    RequestTooLarge,
    Unsupported,
)

__all__ = [
    "DOMAIN",
    "ActionAlreadyAnswered",
    "AgentHasActiveRuns",
    "AgentNotFound",
    "BlockNotFound",
    "CompactionFailed",
    "Conflict",
    "ConversationBusy",
    "ConversationHasActiveRuns",
    "ConversationNotFound",
    "DeliveryNotFound",
    "Denied",
    "Draining",
    "EndpointDisabled",
    "EndpointHasNoUrl",
    "EndpointHasUrl",
    "EndpointNotFound",
    "EtagMismatch",
    "FileNotFound",
    "IdempotencyMismatch",
    "InvalidRequest",
    "InvalidToolCallIds",
    "MalformedRequest",
    "MessageNotFound",
    "ModelNotFound",
    "NoPendingAction",
    "NotFound",
    "NotNow",
    "NothingToCompact",
    "OutboxFull",
    "PendingApproval",
    "PermissionDenied",
    "QueueFull",
    "Refused",
    "RequestTooLarge",
    "ResetFailed",
    "RunDeleted",
    "RunNotFound",
    "RunStillOpen",
    "SecretUnreadable",
    "ServiceError",
    "StepNotFound",
    "StoreUnavailable",
    "StreamTooOld",
    "TooManyEndpoints",
    "TooManyPauses",
    "TooManySecrets",
    "ToolExists",
    "ToolIsTheServers",
    "ToolNotFound",
    "Unauthenticated",
    "Unsupported",
    "Violation",
]
