"""What callers need for each RPC. One that is missing here keeps the server from starting."""

from __future__ import annotations

from collections.abc import Mapping

from sendoff_server.access.principal import Permission

_INFO = (Permission.INFO,)
_READ = (Permission.READ,)
_SEND = (Permission.SEND,)
_MANAGE = (Permission.MANAGE,)
_STEER = (Permission.STEER,)
_OPERATE = (Permission.OPERATE,)
_AUDIT = (Permission.AUDIT,)

RPCS: Mapping[str, tuple[Permission, ...]] = {
    "ActionService/ListPendingActions": _READ,
    "ActionService/RespondToActions": _STEER,
    "AgentService/CreateAgent": _MANAGE,
    "AgentService/GetAgent": _READ,
    "AgentService/ListAgents": _READ,
    "AgentService/CountAgents": _READ,
    "AgentService/ListTags": _READ,
    "AgentService/UpdateAgent": _MANAGE,
    "AgentService/DeleteAgent": _MANAGE,
    "AgentService/CompileSystem": _READ,
    "BlockService/CreateBlock": _MANAGE,
    "BlockService/GetBlock": _READ,
    "BlockService/ListBlocks": _READ,
    "BlockService/UpdateBlock": _MANAGE,
    "BlockService/DeleteBlock": _MANAGE,
    "CallbackService/CreateEndpoint": _MANAGE,
    "CallbackService/GetEndpoint": _READ,
    "CallbackService/ListEndpoints": _READ,
    "CallbackService/UpdateEndpoint": _MANAGE,
    "CallbackService/DeleteEndpoint": _MANAGE,
    "CallbackService/RotateSecret": _MANAGE,
    "CallbackService/TestEndpoint": _STEER,
    "CallbackService/GetDelivery": _READ,
    "CallbackService/ListDeliveries": _READ,
    "CallbackService/Redeliver": _STEER,
    # Who confirms a delivery keeps it from all others.
    "CallbackService/ReceiveDeliveries": _READ + _STEER,
    "ConversationService/CreateConversation": _MANAGE,
    "ConversationService/GetConversation": _READ,
    "ConversationService/ListConversations": _READ,
    "ConversationService/UpdateConversation": _MANAGE,
    "ConversationService/DeleteConversation": _MANAGE,
    "ConversationService/ForkConversation": _MANAGE,
    "ConversationService/GetConversationContext": _READ,
    "ConversationService/CompactConversation": _MANAGE,
    "ConversationService/ResetConversation": _MANAGE,
    "ConversationService/ListMessages": _READ,
    "ConversationService/GetMessage": _READ,
    "FileService/CreateFile": _SEND,
    "FileService/GetFile": _READ,
    "FileService/ListFiles": _READ,
    "FileService/DeleteFile": _MANAGE,
    "ModelService/ListModels": _INFO,
    "OpsService/GetServerInfo": _INFO,
    "OpsService/GetQueueStats": _READ,
    "OpsService/PauseDispatch": _OPERATE,
    "OpsService/ResumeDispatch": _OPERATE,
    "OpsService/ListDispatchPauses": _READ,
    "OpsService/ListAuditEntries": _AUDIT,
    # STEER as well where the messages answer actions, or interrupt what is under way.
    "RunService/CreateMessageAsync": _SEND,
    "RunService/GetRun": _READ,
    "RunService/ListRuns": _READ,
    "RunService/WaitRun": _READ,
    "RunService/WatchRun": _READ,
    "RunService/ListRunEvents": _READ,
    "RunService/ListRunMessages": _READ,
    "RunService/CancelRun": _STEER,
    "RunService/ExplainRun": _READ,
    "RunService/DeleteRun": _MANAGE,
    "StepService/GetStep": _READ,
    "StepService/ListSteps": _READ,
    "StepService/ListStepMessages": _READ,
    "StepService/UpdateStepFeedback": _MANAGE,
    "ToolService/UpsertTool": _MANAGE,
    "ToolService/GetTool": _READ,
    "ToolService/ListTools": _READ,
    "ToolService/DeleteTool": _MANAGE,
}
"""By service and method."""
