"""Ask the validator for its opinion of any request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from sendoff import v1
from sendoff_server import validation
from sendoff_server.errors import InvalidRequest, Unsupported


def _check_frame(frame: v1.ReceiveDeliveriesRequest) -> None:
    """As the first one if it is made for that, else as one behind it."""
    if frame.HasField("subscribe"):
        validation.check_subscribe(frame)
    else:
        validation.check_receipt(frame)


CHECKS: dict[str, Callable[[Any], None]] = {
    "CreateMessageAsyncRequest": validation.check_create_message,
    "GetRunRequest": validation.check_get_run,
    "ListRunsRequest": validation.check_list_runs,
    "WaitRunRequest": validation.check_wait_run,
    "WatchRunRequest": validation.check_watch_run,
    "ListRunEventsRequest": validation.check_list_run_events,
    "ListRunMessagesRequest": validation.check_list_run_messages,
    "CancelRunRequest": validation.check_cancel_run,
    "ExplainRunRequest": validation.check_explain_run,
    "GetQueueStatsRequest": validation.check_get_queue_stats,
    "DeleteRunRequest": validation.check_delete_run,
    "ListPendingActionsRequest": validation.check_list_pending_actions,
    "RespondToActionsRequest": validation.check_respond_to_actions,
    "CreateAgentRequest": validation.check_create_agent,
    "GetAgentRequest": validation.check_get_agent,
    "ListAgentsRequest": validation.check_list_agents,
    "CountAgentsRequest": validation.check_count_agents,
    "ListTagsRequest": validation.check_list_tags,
    "UpdateAgentRequest": validation.check_update_agent,
    "DeleteAgentRequest": validation.check_delete_agent,
    "CreateConversationRequest": validation.check_create_conversation,
    "GetConversationRequest": validation.check_get_conversation,
    "ListConversationsRequest": validation.check_list_conversations,
    "UpdateConversationRequest": validation.check_update_conversation,
    "DeleteConversationRequest": validation.check_delete_conversation,
    "ForkConversationRequest": validation.check_fork_conversation,
    "CreateBlockRequest": validation.check_create_block,
    "GetBlockRequest": validation.check_get_block,
    "ListBlocksRequest": validation.check_list_blocks,
    "UpdateBlockRequest": validation.check_update_block,
    "DeleteBlockRequest": validation.check_delete_block,
    "CreateEndpointRequest": validation.check_create_endpoint,
    "GetEndpointRequest": validation.check_get_endpoint,
    "ListEndpointsRequest": validation.check_list_endpoints,
    "UpdateEndpointRequest": validation.check_update_endpoint,
    "DeleteEndpointRequest": validation.check_delete_endpoint,
    "RotateSecretRequest": validation.check_rotate_secret,
    "TestEndpointRequest": validation.check_test_endpoint,
    "GetDeliveryRequest": validation.check_get_delivery,
    "ListDeliveriesRequest": validation.check_list_deliveries,
    "ListAuditEntriesRequest": validation.check_list_audit_entries,
    "RedeliverRequest": validation.check_redeliver,
    "ReceiveDeliveriesRequest": _check_frame,
    "GetConversationContextRequest": validation.check_get_conversation_context,
    "CompactConversationRequest": validation.check_compact_conversation,
    "ResetConversationRequest": validation.check_reset_conversation,
    "CompileSystemRequest": validation.check_compile_system,
    "ListMessagesRequest": validation.check_list_messages,
    "GetMessageRequest": validation.check_get_message,
    "CreateFileRequest": validation.check_create_file,
    "GetFileRequest": validation.check_get_file,
    "ListFilesRequest": validation.check_list_files,
    "DeleteFileRequest": validation.check_delete_file,
    "GetStepRequest": validation.check_get_step,
    "ListStepsRequest": validation.check_list_steps,
    "ListStepMessagesRequest": validation.check_list_step_messages,
    "UpdateStepFeedbackRequest": validation.check_update_step_feedback,
    "UpsertToolRequest": validation.check_upsert_tool,
    "GetToolRequest": validation.check_get_tool,
    "ListToolsRequest": validation.check_list_tools,
    "DeleteToolRequest": validation.check_delete_tool,
    "PauseDispatchRequest": validation.check_pause_dispatch,
    "ResumeDispatchRequest": validation.check_resume_dispatch,
}


def check(request: Message) -> None:
    CHECKS[request.DESCRIPTOR.name](request)


def violated(request: Message) -> list[str]:
    """The paths of all fields that break a rule. Whether what is asked for works yet does not matter here."""
    try:
        check(request)
    except InvalidRequest as error:
        return [violation.field for violation in error.violations]
    except Unsupported:
        return []
    return []


def unsupported(request: Message) -> list[str]:
    """The paths of all fields that ask for what does not work yet. The request must be valid."""
    try:
        check(request)
    except Unsupported as error:
        return [violation.field for violation in error.violations]
    return []
