"""Requests about the server itself."""

from __future__ import annotations

from typing import TypedDict

from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from sendoff import methods, v1
from sendoff.methods import Call


class AuditFilters(TypedDict, total=False):
    """Which entries of the audit to list; all that are given must hold. See ListAuditEntriesRequest."""

    start_time: Timestamp | None
    end_time: Timestamp | None
    key_id: str
    method: str
    resource_id: str
    outcome: str
    page_size: int


def list_models() -> Call[v1.ListModelsRequest, v1.ListModelsResponse]:
    return methods.LIST_MODELS.call(v1.ListModelsRequest())


def get_server_info() -> Call[v1.GetServerInfoRequest, v1.GetServerInfoResponse]:
    return methods.GET_SERVER_INFO.call(v1.GetServerInfoRequest())


def get_queue_stats(fairness_key: str | None) -> Call[v1.GetQueueStatsRequest, v1.GetQueueStatsResponse]:
    return methods.GET_QUEUE_STATS.call(v1.GetQueueStatsRequest(fairness_key=fairness_key))


def pause_dispatch(
    agent_id: str | None, fairness_key: str | None, reason: str
) -> Call[v1.PauseDispatchRequest, v1.DispatchPause]:
    request = v1.PauseDispatchRequest(agent_id=agent_id, fairness_key=fairness_key, reason=reason)
    return methods.PAUSE_DISPATCH.call(request)


def resume_dispatch(
    agent_id: str | None, fairness_key: str | None
) -> Call[v1.ResumeDispatchRequest, v1.ResumeDispatchResponse]:
    return methods.RESUME_DISPATCH.call(v1.ResumeDispatchRequest(agent_id=agent_id, fairness_key=fairness_key))


def list_dispatch_pauses() -> Call[v1.ListDispatchPausesRequest, v1.ListDispatchPausesResponse]:
    return methods.LIST_DISPATCH_PAUSES.call(v1.ListDispatchPausesRequest())


def check_health(service: str) -> Call[StringValue, Int32Value]:
    return methods.CHECK_HEALTH.call(StringValue(value=service))
