"""Calls that wait for somebody outside: the actions that they open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.body import Work
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.loop.toolset import Planned


def actions_for(plans: Sequence[Planned], work: Work, now: Timestamp, timeout: timedelta) -> list[v1.PendingAction]:
    """One for each call that is held, in the order of the calls. `timeout` is the server's."""
    return [
        opened(v1.ActionKind.ValueType(plan.held.value), plan.call, work, now, timeout)
        for plan in plans
        if plan.held is not None
    ]


def opened(
    kind: v1.ActionKind.ValueType, call: v1.ToolCall, work: Work, now: Timestamp, timeout: timedelta
) -> v1.PendingAction:
    """The action that asks about that call."""
    limits = work.request.limits
    if limits.HasField("action_timeout"):
        timeout = limits.action_timeout.ToTimedelta()
    return v1.PendingAction(
        tool_call_id=call.tool_call_id,
        kind=kind,
        call=call,
        run_id=work.run.id,
        conversation_id=work.run.conversation_id,
        agent_id=work.run.agent_id,
        create_time=now,
        expire_time=timestamp(nanoseconds(now) + int(timeout.total_seconds() * 1e9)),
        on_timeout=limits.on_action_timeout or v1.ON_TIMEOUT_DENY,
    )
