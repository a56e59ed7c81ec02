"""AgentService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.agent_service_pb2_grpc import AgentServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.access.secrets import as_told
from sendoff_server.agents.service import AgentService
from sendoff_server.api.status import Context


class AgentServicer(AgentServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, agents: AgentService) -> None:
        self._agents = agents

    async def CreateAgent(self, request: v1.CreateAgentRequest, context: Context) -> v1.Agent:
        return await self._agents.create(acting().tenant, request)

    async def GetAgent(self, request: v1.GetAgentRequest, context: Context) -> v1.Agent:
        return as_told(await self._agents.get(acting().tenant, request))

    async def ListAgents(self, request: v1.ListAgentsRequest, context: Context) -> v1.ListAgentsResponse:
        return await self._agents.list(acting().tenant, request)

    async def CountAgents(self, request: v1.CountAgentsRequest, context: Context) -> v1.CountAgentsResponse:
        return await self._agents.count(acting().tenant, request)

    async def ListTags(self, request: v1.ListTagsRequest, context: Context) -> v1.ListTagsResponse:
        return await self._agents.list_tags(acting().tenant, request)

    async def UpdateAgent(self, request: v1.UpdateAgentRequest, context: Context) -> v1.Agent:
        return await self._agents.update(acting().tenant, request)

    async def DeleteAgent(self, request: v1.DeleteAgentRequest, context: Context) -> v1.DeleteAgentResponse:
        return await self._agents.delete(acting().tenant, request)

    async def CompileSystem(self, request: v1.CompileSystemRequest, context: Context) -> v1.CompileSystemResponse:
        return await self._agents.compile_system(acting().tenant, request)
