"""How values of the contract are shown to people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff.transcript import content_text


def spelled(name_of: Callable[[Any], str], prefix: str, value: int) -> str:
    """`RUN_STATUS_COMPLETED` with prefix `RUN_STATUS_` as "completed"; one newer than this program as its number."""
    try:
        name = name_of(value)
    except ValueError:
        return str(value)
    return "" if value == 0 else name.removeprefix(prefix).lower()


def status(value: int) -> str:
    return spelled(v1.RunStatus.Name, "RUN_STATUS_", value)


def phase(value: int) -> str:
    return spelled(v1.RunPhase.Name, "RUN_PHASE_", value)


def stop_reason(run: v1.Run) -> str:
    return spelled(v1.StopReason.Name, "STOP_REASON_", run.stop_reason)


def moment(time: Timestamp) -> str:
    """In UTC, to the second; empty for an unset time."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M:%SZ") if time.seconds else ""


def span(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.2f} s"


def tokens(usage: v1.Usage) -> str:
    """What the models read and wrote, as far as it is known."""
    told = []
    if usage.HasField("prompt_tokens"):
        told.append(f"{usage.prompt_tokens} in")
    if usage.HasField("completion_tokens"):
        told.append(f"{usage.completion_tokens} out")
    return ", ".join(told)


def cost(usage: v1.Usage) -> str:
    """In US dollars; empty if no price is known."""
    return f"${usage.cost_microusd / 1e6:.4f}" if usage.HasField("cost_microusd") else ""


def callback(told: v1.CallbackSummary) -> str:
    """How a callback stands: where it goes, what the last attempt came to, and what follows."""
    if not told.attempts:
        return told.url
    outcome = told.last_error or f"delivered ({told.last_status_code})"
    if told.dead_lettered:
        outcome += ", given up"
    elif told.HasField("next_attempt_time"):
        outcome += f", tried again {moment(told.next_attempt_time)}"
    return f"{told.url}: {outcome}, attempt {told.attempts}"


def endpoint_status(endpoint: v1.CallbackEndpoint) -> str:
    why = f": {endpoint.disabled_reason}" if endpoint.disabled_reason else ""
    return f"disabled{why}" if endpoint.disabled else "enabled"


def delivery(told: v1.Delivery) -> tuple[str, ...]:
    """A delivery in the columns of a table."""
    return (
        told.id,
        told.event_type,
        told.run_id,
        told.endpoint_id or told.url,
        spelled(v1.DeliveryStatus.Name, "DELIVERY_STATUS_", told.status).replace("_", "-"),
        str(told.attempt_count),
        attempt(told.attempts[-1]) if told.attempts else "",
        moment(told.next_attempt_time),
    )


def attempt(told: v1.DeliveryAttempt) -> str:
    """What came of an attempt: the receiver's answer, or why there is none."""
    answered = f"answered {told.status_code}" if told.HasField("status_code") else ""
    outcome = ", ".join(part for part in (told.error or "delivered", answered, span(told.duration_ns)) if part)
    return f"{outcome}: {told.response_excerpt}" if told.response_excerpt else outcome


STEP_COLUMNS = ("STEP", "STATUS", "MODEL", "TOKENS", "MODEL TIME", "TOOL TIME", "TOOLS", "ERROR")


def step(taken: v1.Step) -> tuple[str, ...]:
    """A step in the columns of a table."""
    return (
        taken.id,
        spelled(v1.StepStatus.Name, "STEP_STATUS_", taken.status),
        taken.model_handle,
        tokens(taken.usage),
        span(taken.model_duration_ns) if taken.HasField("model_duration_ns") else "",
        span(taken.tool_duration_ns) if taken.HasField("tool_duration_ns") else "",
        ", ".join(taken.tools_called),
        f"{taken.error.reason}: {taken.error.message}" if taken.HasField("error") else "",
    )


def filling(block: v1.Block) -> str:
    """How full it is."""
    return f"{len(block.value)} of {block.limit}"


def tool_type(tool: v1.Tool) -> str:
    return spelled(v1.ToolType.Name, "TOOL_TYPE_", tool.type)


def tool_effect(tool: v1.Tool) -> str:
    return spelled(v1.ToolEffect.Name, "TOOL_EFFECT_", tool.effect)


def pairs(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def summary(run: v1.Run) -> str:
    """A run that has ended, in one line."""
    told = [
        f"{status(run.status)} ({stop_reason(run)})",
        failure(run),
        tokens(run.usage) and f"tokens {tokens(run.usage)}",
    ]
    if run.HasField("ttft_ns"):
        told.append(f"first token after {span(run.ttft_ns)}")
    if run.HasField("total_duration_ns"):
        told.append(f"ended after {span(run.total_duration_ns)}")
    return " · ".join(part for part in (*told, run.id) if part)


def failure(run: v1.Run) -> str:
    return f"{run.error.reason}: {run.error.message}" if run.HasField("error") else ""


def pause_scope(pause: v1.DispatchPause) -> str:
    """What is paused."""
    if pause.HasField("agent_id"):
        return pause.agent_id
    return f"key {pause.fairness_key}" if pause.HasField("fairness_key") else "everything"


def pause(told: v1.DispatchPause) -> tuple[str, ...]:
    """A pause in the columns of a table."""
    return pause_scope(told), moment(told.create_time), told.reason


def action_kind(value: int) -> str:
    return spelled(v1.ActionKind.Name, "ACTION_KIND_", value).replace("_", " ")


def wait(info: v1.WaitInfo) -> str:
    """What a run waits for; empty if for nothing."""
    behind = f" behind {info.blocking_run_id}" if info.blocking_run_id else ""
    return info.reason.lower().replace("_", " ") + behind if info.reason else ""


MESSAGE_COLUMNS = ("KIND", "TEXT")


def message(entry: v1.Message) -> tuple[str, str]:
    """A message as its kind and its text."""
    kind = entry.WhichOneof("kind") or "unknown"
    match kind:
        case "user_message":
            return "user", content_text(entry.user_message.content)
        case "assistant_message":
            return "assistant", content_text(entry.assistant_message.content)
        case "system_message":
            return "system", entry.system_message.content
        case "reasoning_message":
            return "reasoning", entry.reasoning_message.reasoning
        case "tool_call_message":
            return "tool call", "; ".join(map(tool_call, entry.tool_call_message.tool_calls))
        case "approval_request_message":
            return "asks", "; ".join(map(tool_call, entry.approval_request_message.tool_calls))
        case "tool_return_message":
            returns = entry.tool_return_message.tool_returns
            return "tool return", "; ".join(content_text(each.tool_return) for each in returns)
        case "summary_message":
            return "summary", entry.summary_message.summary
        case _:
            return kind.removesuffix("_message").replace("_", " "), ""


def tool_call(call: v1.ToolCall) -> str:
    return f"{call.name}({json.dumps(call.arguments) if not call.arguments_are_valid_json else call.arguments})"
