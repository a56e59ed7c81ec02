"""Rules of `CreateMessageAsyncRequest`, and of the idempotency key that may come beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sendoff import v1
from sendoff_server.errors import Violation
from sendoff_server.validation.callback_options import check_callback_options
from sendoff_server.validation.content import TEXT_AND_IMAGES, check_content
from sendoff_server.validation.input_messages import check_input_messages
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.limits import (
    LEAST_RETENTION_S,
    MAX_ACTION_TIMEOUT_S,
    MAX_KEY_CHARACTERS,
    MAX_LABELS,
    MAX_PARTS,
    MAX_QUEUE_TTL_S,
    MAX_RETENTION_S,
    MAX_RUN_METADATA_BYTES,
    MAX_RUN_TIMEOUT_S,
    MAX_STEPS,
    MAX_SYSTEM_BYTES,
)
from sendoff_server.validation.rules import (
    AGENT_ID,
    check_conversation_id,
    check_duration,
    check_enum,
    check_id,
    check_items,
    check_length,
    check_no_control_characters,
    check_number,
    check_size,
    check_time,
    check_url,
)
from sendoff_server.validation.unsupported import check_supported
from sendoff_server.validation.violations import Violations

MESSAGE_TYPES = frozenset(v1.MessageType.values()) - {0}
IDEMPOTENCY_KEY = "idempotency-key"
"""Name of the metadata, and of the HTTP header."""

_ON_TIMEOUT = frozenset(v1.OnTimeout.values()) - {0}
_WHEN_BUSY = frozenset(v1.WhenBusy.values()) - {0}
_WHEN_PENDING = frozenset(v1.WhenPending.values()) - {0}
_HANDLE_CHARACTERS = 255
_SKILL_BYTES = 4_096
_CALLBACK_SCHEMES = ("http", "https")


def check_create_message(request: v1.CreateMessageAsyncRequest) -> None:
    """Raise InvalidRequest with every violation, or Unsupported. Whether agent and model exist is not looked at."""
    found = Violations()
    _check_address(found, request)
    _check_payload(found, request)
    _check_tools(found, request)
    if request.client_skills:
        _check_skills(found, request.client_skills)
    _check_overrides(found, request)
    _check_answer(found, request)
    _check_own_data(found, request)
    if request.HasField("limits"):
        _check_limits(found, request.limits)
    if request.HasField("scheduling"):
        _check_scheduling(found, request.scheduling)
    found.refuse()
    check_supported(request)


def check_idempotency_key(key: str) -> None:
    """Raise InvalidRequest unless the key has the bounds of request_id."""
    found = Violations()
    check_length(found, IDEMPOTENCY_KEY, key, least=1, most=MAX_KEY_CHARACTERS)
    found.refuse()


def payload_violation(*, has_input: bool, has_messages: bool) -> Violation | None:
    """The rule of `payload`. Both can be set in JSON only; in protobuf the later one wins."""
    if has_input != has_messages:
        return None
    return Violation("payload", "set input or messages, not both" if has_input else "set input or messages")


def _check_address(found: Violations, request: v1.CreateMessageAsyncRequest) -> None:
    conversation_id = request.conversation_id
    if request.HasField("conversation_id"):
        check_conversation_id(found, "conversation_id", conversation_id)
    if request.agent_id:
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    elif conversation_id in ("", "default"):
        found.add("agent_id", "must be set, unless conversation_id names a conversation")


def _check_payload(found: Violations, request: v1.CreateMessageAsyncRequest) -> None:
    arm = request.WhichOneof("payload")
    if arm == "input":
        check_content(found, "input", request.input, TEXT_AND_IMAGES)
    elif arm == "messages":
        check_input_messages(found, "messages", request.messages)
    elif missing := payload_violation(has_input=False, has_messages=False):
        found.add(missing.field, missing.description)


def _check_tools(found: Violations, request: v1.CreateMessageAsyncRequest) -> None:
    tools = request.client_tools
    if tools and check_items(found, "client_tools", len(tools), most=MAX_PARTS):
        for index, tool in enumerate(tools):
            check_length(found, f"client_tools[{index}].name", tool.name, least=1, most=64)
            check_json_object(found, f"client_tools[{index}].parameters", tool.parameters)


def _check_skills(found: Violations, skills: Sequence[v1.ClientSkill]) -> None:
    if not check_items(found, "client_skills", len(skills), most=MAX_PARTS):
        return
    names: set[str] = set()
    for index, skill in enumerate(skills):
        path = f"client_skills[{index}]"
        check_length(found, f"{path}.name", skill.name, least=1, most=255)
        check_no_control_characters(found, f"{path}.name", skill.name)
        check_size(found, f"{path}.description", skill.description, most=_SKILL_BYTES)
        check_size(found, f"{path}.location", skill.location, most=_SKILL_BYTES)
        check_no_control_characters(found, f"{path}.location", skill.location)
        if skill.name in names:
            found.add(f"{path}.name", "must differ from the names of the skills before it")
        names.add(skill.name)


def _check_overrides(found: Violations, request: v1.CreateMessageAsyncRequest) -> None:
    if request.HasField("override_model"):
        check_length(found, "override_model", request.override_model, least=1, most=_HANDLE_CHARACTERS)
    check_size(found, "override_system", request.override_system, most=MAX_SYSTEM_BYTES)
    if request.HasField("max_steps"):
        check_number(found, "max_steps", request.max_steps, least=1, most=MAX_STEPS)


def _check_answer(found: Violations, request: v1.CreateMessageAsyncRequest) -> None:
    if request.HasField("include_return_message_types"):
        check_message_types(found, "include_return_message_types.values", request.include_return_message_types.values)
    if request.HasField("top_logprobs"):
        check_number(found, "top_logprobs", request.top_logprobs, least=0, most=20)
        if not request.return_logprobs:
            found.add("top_logprobs", "requires return_logprobs")
    if request.HasField("callback_url"):
        check_url(found, "callback_url", request.callback_url, _CALLBACK_SCHEMES, most=8_192)
    if request.HasField("callback"):
        check_callback_options(found, request)


def check_message_types(found: Violations, path: str, values: Iterable[int]) -> None:
    for index, value in enumerate(values):
        check_enum(found, f"{path}[{index}]", value, MESSAGE_TYPES)


def _check_own_data(found: Violations, request: v1.CreateMessageAsyncRequest) -> None:
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    if request.HasField("metadata"):
        check_json_object(found, "metadata", request.metadata, most=MAX_RUN_METADATA_BYTES)
    check_labels(found, "labels", request.labels)


def check_labels(found: Violations, path: str, labels: Mapping[str, str]) -> None:
    if labels and check_items(found, path, len(labels), most=MAX_LABELS):
        for key, value in labels.items():
            check_length(found, path, key, most=63)
            check_length(found, f"{path}[{key[:63]!r}]", value, most=255)


def _check_limits(found: Violations, limits: v1.Limits) -> None:
    if limits.HasField("max_steps"):
        check_number(found, "limits.max_steps", limits.max_steps, least=1, most=MAX_STEPS)
    if limits.HasField("run_timeout"):
        check_duration(found, "limits.run_timeout", limits.run_timeout, above_s=0, most_s=MAX_RUN_TIMEOUT_S)
    if limits.HasField("queue_ttl"):
        check_duration(found, "limits.queue_ttl", limits.queue_ttl, above_s=0, most_s=MAX_QUEUE_TTL_S)
    if limits.HasField("action_timeout"):
        check_duration(found, "limits.action_timeout", limits.action_timeout, above_s=0, most_s=MAX_ACTION_TIMEOUT_S)
    if limits.on_action_timeout:
        check_enum(found, "limits.on_action_timeout", limits.on_action_timeout, _ON_TIMEOUT)
    if limits.HasField("max_total_tokens"):
        check_number(found, "limits.max_total_tokens", limits.max_total_tokens, least=1)
    if limits.HasField("max_cost_microusd"):
        check_number(found, "limits.max_cost_microusd", limits.max_cost_microusd, least=1)


def _check_scheduling(found: Violations, scheduling: v1.Scheduling) -> None:
    if scheduling.when_busy:
        check_enum(found, "scheduling.when_busy", scheduling.when_busy, _WHEN_BUSY)
    if scheduling.when_pending:
        check_enum(found, "scheduling.when_pending", scheduling.when_pending, _WHEN_PENDING)
    if scheduling.HasField("start_time"):
        check_time(found, "scheduling.start_time", scheduling.start_time)
    if scheduling.HasField("priority"):
        check_number(found, "scheduling.priority", scheduling.priority, least=1, most=5)
    check_size(found, "scheduling.fairness_key", scheduling.fairness_key, most=64)
    if scheduling.HasField("retention"):
        retention = scheduling.retention
        check_duration(found, "scheduling.retention", retention, least_s=LEAST_RETENTION_S, most_s=MAX_RETENTION_S)
