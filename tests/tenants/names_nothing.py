"""Texts in requests that name nothing that a server keeps, with why nothing can be found by them."""

from __future__ import annotations

_WORDS = {
    # What is said, or kept to be told again.
    "Agent.description",
    "Agent.name",
    "Agent.system",
    "Agent.tags",
    "Agent.timezone",
    "ApprovalCreate.reason",
    "Approval.reason",
    "Base64.data",
    "Base64.detail",
    "Base64.media_type",
    "Block.description",
    "Block.label",
    "Block.tags",
    "Block.value",
    "CallbackEndpoint.description",
    "CallbackEndpoint.event_types",
    "CallbackEndpoint.url",
    "CallbackOptions.event_types",
    "CancelRunRequest.reason",
    "ClientSkill.description",
    "ClientSkill.location",
    "ClientSkill.name",
    "ClientTool.description",
    "ClientTool.name",
    "CompactionSettings.prompt",
    "Content.text",
    "Conversation.description",
    "Conversation.summary",
    "CreateMessageAsyncRequest.callback_url",
    "CreateMessageAsyncRequest.enable_thinking",
    "CreateMessageAsyncRequest.override_system",
    "File.media_type",
    "File.name",
    "JsonObject.json",
    "LabelsEntry.key",
    "LabelsEntry.value",
    "Nack.error",
    "OmittedReasoning.signature",
    "OutputLines.lines",
    "Part.text",
    "PauseDispatchRequest.reason",
    "Reasoning.reasoning",
    "Reasoning.signature",
    "RedactedReasoning.data",
    "SecretsEntry.key",
    "SecretsEntry.value",
    "StepTags.values",
    "Stored.data",
    "Stored.detail",
    "Stored.media_type",
    "SummarizedReasoning.encrypted_content",
    "SummarizedReasoning.id",
    "Text.signature",
    "Text.text",
    "Tool.description",
    "Tool.source_code",
    "Tool.tags",
    "ToolCallPart.id",
    "ToolCallPart.name",
    "ToolCallPart.signature",
    "ToolReturnPart.content",
    "ToolReturnPart.tool_call_id",
    "Url.url",
    # The caller's own ids of things outside, kept and told again.
    "ApprovalCreate.group_id",
    "MessageCreate.batch_item_id",
    "MessageCreate.group_id",
    "MessageCreate.name",
    "MessageCreate.sender_id",
    "ToolReturnCreate.group_id",
}
_SERVERS = {
    # What the server has for all tenants alike.
    "Agent.model",
    "CompactionSettings.model",
    "Conversation.model",
    "CreateMessageAsyncRequest.override_model",
    "ListStepsRequest.model",
    "Tool.mcp_server",
}
_CHOICES = {
    # Words of the contract.
    "FieldMask.paths",
    "ListAgentsRequest.order_by",
    "ListAuditEntriesRequest.method",
    "ListAuditEntriesRequest.outcome",
    "ListBlocksRequest.order_by",
    "ListConversationsRequest.order_by",
    "ListMessagesRequest.order_by",
    "ListRunMessagesRequest.order_by",
    "ListRunsRequest.order_by",
    "ListStepsRequest.order_by",
    "ListTagsRequest.order_by",
    "ListToolsRequest.order_by",
}
_REFUSED = {
    # Refused wherever they are sent: the server makes them, or nothing is behind them yet.
    "Agent.id",
    "Block.id",
    "CallbackEndpoint.disabled_reason",
    "CallbackEndpoint.id",
    "Conversation.active_run_id",
    "Conversation.agent_id",
    "Conversation.id",
    "File.id",
    "ListRunsRequest.filter",
    "ListStepsRequest.trace_ids",
}
_OF_THE_AGENT = {
    # Names of tools among those that the agent itself names.
    "ChildArguments.name",
    "ChildOutputMappingEntry.key",
    "ChildOutputMappingEntry.value",
    "Conditional.default_child",
    "ConstrainChildTools.children",
    "CreateMessageAsyncRequest.assistant_message_tool_kwarg",
    "CreateMessageAsyncRequest.assistant_message_tool_name",
    "ListMessagesRequest.assistant_message_tool_kwarg",
    "ListMessagesRequest.assistant_message_tool_name",
    "ParentLastTool.children",
    "ToolRule.prompt_template",
    "ToolRule.tool_name",
}
_AS_METHODS_HAVE_IT = {
    # Refused by these methods: what is made has none yet, and what is changed keeps its own.
    "AgentService/CreateAgent Agent.etag",
    "BlockService/CreateBlock Block.etag",
    "CallbackService/CreateEndpoint CallbackEndpoint.etag",
    "CallbackService/UpdateEndpoint CallbackEndpoint.agent_id",
    "ConversationService/CreateConversation Conversation.etag",
    "ConversationService/ForkConversation Conversation.etag",
}
NAMES_NOTHING = frozenset(_AS_METHODS_HAVE_IT | _WORDS | _SERVERS | _CHOICES | _REFUSED | _OF_THE_AGENT)
"""Fields as message and name; in front of some the method where it is so."""

_LISTS = (
    "ListAgents",
    "ListAuditEntries",
    "ListBlocks",
    "ListConversations",
    "ListDeliveries",
    "ListEndpoints",
    "ListFiles",
    "ListMessages",
    "ListPendingActions",
    "ListRunMessages",
    "ListRuns",
    "ListSteps",
    "ListTags",
    "ListTools",
)
OF_NO_CONSEQUENCE = frozenset(
    {
        "ApprovalCreate.otid",
        "Nack.delivery_id",
        "ReceiveDeliveriesRequest.ack_delivery_id",
        "Scheduling.fairness_key",
        "ToolReturnCreate.otid",
        # A page behind another place looks the same here, where all entries do.
        *(f"{method}Request.page_token" for method in _LISTS),
    }
)
"""Fields that are attacked, though what is there changes nothing in the answer."""

REST_NAMES_NOTHING = frozenset(
    {
        # What is said, or kept to be told again; and the caller's own ids of things outside.
        "batch_item_id",
        "callback_url",
        "content",
        "data",
        "description",
        "detail",
        "enable_thinking",
        "encrypted_content",
        "event_types",
        "group_id",
        "id",
        "input",
        "label",
        "location",
        "media_type",
        "name",
        "override_system",
        "reason",
        "reasoning",
        "sender_id",
        "signature",
        "source_code",
        "stderr",
        "stdout",
        "summary",
        "system",
        "tags",
        "text",
        "timezone",
        "tool_return",
        "url",
        "value",
        # What the server has for all tenants alike.
        "embedding",
        "model",
        "override_model",
        "provider_name",
        # Words of the API, numbers and times.
        "agent_type",
        "exclude_tool_types",
        "include_return_message_types",
        "last-event-id",
        "on_action_timeout",
        "provider_category",
        "role",
        "status",
        "tool_types",
        "when_busy",
        "when_pending",
        "end_date",
        "end_time",
        "since",
        "start_date",
        "start_time",
        # Refused wherever they are sent, or without a meaning yet.
        "isolated_block_labels",
        "trace_ids",
        # Names of tools among those that the agent itself names.
        "assistant_message_tool_kwarg",
        "assistant_message_tool_name",
        "children",
        "default_child",
        "prompt_template",
        "tool_name",
        # What members of these names are there.
        "GET /v1/audit-entries method",
        "GET /v1/audit-entries outcome",
        "PATCH /v1/agents/{agent_id} tools",
    }
)
"""Members as the API names them; in front of some the route where it is so. They are taken out of those that a route
has, so one that names something elsewhere is still attacked there."""

REST_OF_NO_CONSEQUENCE = frozenset(
    {
        "fairness_key",
        "otid",
        "page_token",
        # The API knows them, and they choose nothing.
        "GET /v1/blocks/ name",
        "GET /v1/conversations/{conversation_id}/messages agent_id",
        "GET /v1/conversations/{conversation_id}/messages conversation_id",
        # Any of them will do.
        "GET /v1/agents/ tags",
        "GET /v1/agents/count tags",
        # A rule can be given to a name that no tool has, and what is not there can be taken away.
        "PATCH /v1/agents/{agent_id}/tools/approval/{tool_name} tool_name",
        "PATCH /v1/agents/{agent_id}/tools/detach/{tool_id} tool_id",
        "POST /v1/conversations/{conversation_id}/messages conversation_id",
        # The conversation is at rest.
        "GET /v1/runs/active conversation_id",
    }
)
"""Members that are attacked, though what is there changes nothing in the answer."""
