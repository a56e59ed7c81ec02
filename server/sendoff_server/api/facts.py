"""ModelService and OpsService over gRPC: what this server has and is."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.model_service_pb2_grpc import ModelServiceServicer
from sendoff.v1.ops_service_pb2_grpc import OpsServiceServicer
from sendoff_server.access.caller import told_to_caller
from sendoff_server.access.principal import acting
from sendoff_server.api.status import Context
from sendoff_server.audit.service import AuditService
from sendoff_server.models.port import Catalogue
from sendoff_server.runs.dispatch_service import DispatchService
from sendoff_server.runs.queue_stats import QueueStats
from sendoff_server.server_info import ServerInfo


class ModelServicer(ModelServiceServicer):
    """Asks the catalogue."""

    def __init__(self, models: Catalogue) -> None:
        self._models = models

    async def ListModels(self, request: v1.ListModelsRequest, context: Context) -> v1.ListModelsResponse:
        return await self._models.list()


class OpsServicer(OpsServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, info: ServerInfo, queue: QueueStats, dispatch: DispatchService, audit: AuditService) -> None:
        self._info = info
        self._queue = queue
        self._dispatch = dispatch
        self._audit = audit

    async def GetServerInfo(self, request: v1.GetServerInfoRequest, context: Context) -> v1.GetServerInfoResponse:
        return told_to_caller(await self._info.get(acting().tenant))

    async def GetQueueStats(self, request: v1.GetQueueStatsRequest, context: Context) -> v1.GetQueueStatsResponse:
        return await self._queue.get(acting().tenant, request)

    async def PauseDispatch(self, request: v1.PauseDispatchRequest, context: Context) -> v1.DispatchPause:
        return await self._dispatch.pause(acting().tenant, request)

    async def ResumeDispatch(self, request: v1.ResumeDispatchRequest, context: Context) -> v1.ResumeDispatchResponse:
        return await self._dispatch.resume(acting().tenant, request)

    async def ListDispatchPauses(
        self, request: v1.ListDispatchPausesRequest, context: Context
    ) -> v1.ListDispatchPausesResponse:
        return await self._dispatch.list_pauses(acting().tenant)

    async def ListAuditEntries(
        self, request: v1.ListAuditEntriesRequest, context: Context
    ) -> v1.ListAuditEntriesResponse:
        return await self._audit.list(acting().tenant, request)
