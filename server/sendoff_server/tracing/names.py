"""The names of spans and attributes, by OpenTelemetry's semantic conventions of 2026, and our own under `sendoff.`.

RPC: release candidate ("rpc.system.name", fully-qualified "rpc.method"). HTTP: stable. Messaging and GenAI (with
"gen_ai.provider.name" in the place of the older "gen_ai.system"): in development, so they may change with a release.
"""

from __future__ import annotations

ERROR_TYPE = "error.type"

RPC_SYSTEM_NAME = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS_CODE = "rpc.response.status_code"

HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS_CODE = "http.response.status_code"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
URL_SCHEME = "url.scheme"

MESSAGING_SYSTEM = "messaging.system"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_MESSAGE_ID = "messaging.message.id"

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
AGENT_ID = "gen_ai.agent.id"
CONVERSATION_ID = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
REQUEST_SEED = "gen_ai.request.seed"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT = "gen_ai.tool.call.result"
MCP_METHOD_NAME = "mcp.method.name"

RUN_ID = "sendoff.run.id"
RUN_STATUS = "sendoff.run.status"
RUN_STOP_REASON = "sendoff.run.stop_reason"
RUN_ATTEMPT = "sendoff.run.attempt"
TURN_ID = "sendoff.turn.id"
STEP_ID = "sendoff.step.id"
STEP_INDEX = "sendoff.step.index"
MODEL_ATTEMPT = "sendoff.model.attempt"
TOOL_KIND = "sendoff.tool.kind"
DELIVERY_ID = "sendoff.delivery.id"
DELIVERY_ATTEMPT = "sendoff.delivery.attempt"

ACCEPT_SPAN = "send runs"
RUN_SPAN = "invoke_agent"
UPKEEP_SPANS = {"RUN_KIND_COMPACTION": "compact conversation", "RUN_KIND_RESET": "reset conversation"}
STEP_SPAN = "step"
DELIVERY_SPAN = "deliver callback"
RECOVERED_EVENT = "sendoff.run.recovered"
