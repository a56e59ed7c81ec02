"""ToolService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.tool_service_pb2_grpc import ToolServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.api.status import Context
from sendoff_server.toolbox.service import ToolService


class ToolServicer(ToolServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, tools: ToolService) -> None:
        self._tools = tools

    async def UpsertTool(self, request: v1.UpsertToolRequest, context: Context) -> v1.Tool:
        return await self._tools.upsert(acting().tenant, request)

    async def GetTool(self, request: v1.GetToolRequest, context: Context) -> v1.Tool:
        return await self._tools.get(acting().tenant, request)

    async def ListTools(self, request: v1.ListToolsRequest, context: Context) -> v1.ListToolsResponse:
        return await self._tools.list(acting().tenant, request)

    async def DeleteTool(self, request: v1.DeleteToolRequest, context: Context) -> v1.DeleteToolResponse:
        return await self._tools.delete(acting().tenant, request)
