"""Requests about runs and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from sendoff.methods import Call


class RunFilters(TypedDict, total=False):
    """Which runs to list; all that are given must hold. None is as if it were not given. See ListRunsRequest."""

    agent_id: str | None
    agent_ids: Sequence[str]
    """One of these."""
    conversation_id: str | None
    statuses: Sequence[v1.RunStatus.ValueType]
    stop_reasons: Sequence[v1.StopReason.ValueType]
    background: bool | None
    active: bool | None
    request_id: str | None
    otid: str | None
    filter: str
    order_by: str
    page_size: int


class StepFilters(TypedDict, total=False):
    """Which steps to list; all that are given must hold. None is as if it were not given. See ListStepsRequest."""

    run_id: str
    agent_id: str | None
    model: str | None
    trace_ids: Sequence[str]
    tags: Sequence[str]
    """One of these."""
    feedback: v1.StepFeedback.ValueType
    has_feedback: bool | None
    started_from: Timestamp | None
    started_until: Timestamp | None
    order_by: str
    page_size: int


def get_run(run_id: str) -> Call[v1.GetRunRequest, v1.Run]:
    return methods.GET_RUN.call(v1.GetRunRequest(run_id=run_id))


def explain_run(run_id: str) -> Call[v1.ExplainRunRequest, v1.ExplainRunResponse]:
    return methods.EXPLAIN_RUN.call(v1.ExplainRunRequest(run_id=run_id))


def list_runs(filters: RunFilters) -> v1.ListRunsRequest:
    return v1.ListRunsRequest(**filters)


def cancel_run(run_id: str, *, rollback: bool, reason: str | None) -> Call[v1.CancelRunRequest, v1.Run]:
    return methods.CANCEL_RUN.call(v1.CancelRunRequest(run_id=run_id, rollback=rollback, reason=reason))


def delete_run(run_id: str) -> Call[v1.DeleteRunRequest, v1.DeleteRunResponse]:
    return methods.DELETE_RUN.call(v1.DeleteRunRequest(run_id=run_id))


def get_step(step_id: str) -> Call[v1.GetStepRequest, v1.Step]:
    return methods.GET_STEP.call(v1.GetStepRequest(step_id=step_id))


def step_messages(step_id: str) -> Call[v1.ListStepMessagesRequest, v1.ListStepMessagesResponse]:
    return methods.LIST_STEP_MESSAGES.call(v1.ListStepMessagesRequest(step_id=step_id))


def set_step_feedback(
    step_id: str, feedback: v1.StepFeedback.ValueType, tags: Sequence[str] | None
) -> Call[v1.UpdateStepFeedbackRequest, v1.Step]:
    request = v1.UpdateStepFeedbackRequest(step_id=step_id, feedback=feedback)
    if tags is not None:
        request.tags.CopyFrom(v1.StepTags(values=tags))
    return methods.UPDATE_STEP_FEEDBACK.call(request)
