"""What callers can do with agents. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server import ids, validation
from sendoff_server.agents import listing
from sendoff_server.agents.directory import AgentDirectory, ConversationDirectory
from sendoff_server.agents.names import made_up
from sendoff_server.agents.secrets import AgentSecrets, only_names
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import (
    AgentHasActiveRuns,
    AgentNotFound,
    EtagMismatch,
    IdempotencyMismatch,
)
from sendoff_server.model_settings import check_applicable
from sendoff_server.models.port import Catalogue
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.port import Store

DEFAULT_SYSTEM = "You are a helpful assistant. Answer clearly and briefly."

CancelAll = Callable[[str, str], Awaitable[None]]
"""(tenant, agent_id): cancel the agent's runs and wait for their end."""


class Memory(Protocol):
    """What is asked of memory blocks here."""

    async def check(self, tenant: str, wanted: Sequence[str], known: Sequence[str] = ()) -> None:
        """Whether an agent may name these blocks, having named the known ones before. Raises BlockNotFound, and
        InvalidRequest if two have one label."""
        ...


class Toolbox(Protocol):
    """What is asked of tools here."""

    async def check(self, tenant: str, wanted: Sequence[str], known: Sequence[str] = ()) -> None:
        """Whether an agent may name these tools, having named the known ones before. Raises ToolNotFound, and
        InvalidRequest if two have one name."""
        ...


Compile = Callable[[str, v1.Agent, str], Awaitable[str]]
"""(tenant, agent, lane): the system prompt that the next model call of that conversation is given."""


class AgentService:
    """The use cases of agents."""

    def __init__(
        self,
        store: Store,
        directory: AgentDirectory,
        models: Catalogue,
        memory: Memory,
        tools: Toolbox,
        clock: Clock,
        *,
        conversations: ConversationDirectory,
        compiled: Compile,
        secrets: AgentSecrets,
        cancel_all: CancelAll,
        deleted: Callable[[str], None],
    ) -> None:
        self._conversations = conversations
        self._compiled = compiled
        self._secrets = secrets
        self._store = store
        self._directory = directory
        self._models = models
        self._memory = memory
        self._tools = tools
        self._clock = clock
        self._cancel_all = cancel_all
        self._deleted = deleted

    async def create(self, tenant: str, request: v1.CreateAgentRequest) -> v1.Agent:
        validation.check_create_agent(request)
        self._secrets.check(request.agent)
        await self._memory.check(tenant, request.agent.block_ids)
        await self._tools.check(tenant, request.agent.tool_ids)
        agent = await self._new_agent(request.agent)
        self._secrets.seal(tenant, agent)
        key = Key("agent", request.request_id) if request.request_id else None
        fingerprint = hashlib.blake2b(request.agent.SerializeToString(deterministic=True), digest_size=16).digest()
        created = await self._store.create_agent(tenant, agent, key, fingerprint)
        if isinstance(created, Mismatched):
            raise IdempotencyMismatch(created.key.value, created.run_id)
        self._directory.remember(tenant, created)
        return self._secrets.opened(tenant, created)

    async def _new_agent(self, wanted: v1.Agent) -> v1.Agent:
        agent = v1.Agent()
        agent.CopyFrom(wanted)
        agent.id = ids.new("agent")
        agent.name = wanted.name or made_up(agent.id)
        agent.model = wanted.model or self._models.default_handle
        agent.system = wanted.system or DEFAULT_SYSTEM
        await self._check_models(agent)
        now = timestamp(self._clock.now_ns())
        agent.create_time.CopyFrom(now)
        agent.update_time.CopyFrom(now)
        agent.etag = ids.etag()
        return agent

    async def _check_models(self, agent: v1.Agent) -> None:
        """Whether there are its models, and they can be set as it wants. Raises ModelNotFound, Unsupported."""
        model = (await self._models.find(agent.model)).info
        check_applicable(agent.model_settings, model, "agent.model_settings")
        compaction = agent.compaction_settings
        if compaction.model:
            model = (await self._models.find(compaction.model)).info
        check_applicable(compaction.model_settings, model, "agent.compaction_settings.model_settings")

    async def get(self, tenant: str, request: v1.GetAgentRequest) -> v1.Agent:
        validation.check_get_agent(request)
        return self._secrets.opened(tenant, await self._directory.find(tenant, request.agent_id))

    async def list(self, tenant: str, request: v1.ListAgentsRequest) -> v1.ListAgentsResponse:
        validation.check_list_agents(request)
        page = await listing.agents_page(self._store, tenant, request)
        return v1.ListAgentsResponse(
            agents=only_names(page.agents), next_page_token=page.next_page_token, last_runs=page.last_runs
        )

    async def count(self, tenant: str, request: v1.CountAgentsRequest) -> v1.CountAgentsResponse:
        validation.check_count_agents(request)
        return v1.CountAgentsResponse(count=await self._store.count_agents(tenant, request.filter))

    async def list_tags(self, tenant: str, request: v1.ListTagsRequest) -> v1.ListTagsResponse:
        validation.check_list_tags(request)
        return await listing.tags_page(self._store, tenant, request)

    async def compile_system(self, tenant: str, request: v1.CompileSystemRequest) -> v1.CompileSystemResponse:
        """The system prompt of a conversation, as the model would be given it now."""
        validation.check_compile_system(request)
        agent = await self._directory.find(tenant, request.agent_id)
        lane = agent.id
        if request.conversation_id not in ("", "default"):
            lane = (await self._conversations.find_of(tenant, request.conversation_id, agent.id)).id
        return v1.CompileSystemResponse(system=await self._compiled(tenant, agent, lane))

    async def update(self, tenant: str, request: v1.UpdateAgentRequest) -> v1.Agent:
        """Change an agent. A change made by somebody else meanwhile is not overwritten when the caller sent an etag;
        without one the fields of this request are put upon whatever is there."""
        validation.check_update_agent(request)
        self._secrets.check(request.agent)
        while True:
            current = await self._directory.find(tenant, request.agent_id)
            if request.agent.etag and request.agent.etag != current.etag:
                raise EtagMismatch(request.agent_id, request.agent.etag)
            changed = self._changed(current, request)
            self._secrets.seal(tenant, changed)
            await self._check_models(changed)
            await self._memory.check(tenant, changed.block_ids, current.block_ids)
            await self._tools.check(tenant, changed.tool_ids, current.tool_ids)
            if await self._store.update_agent(tenant, changed, current.etag):
                self._directory.remember(tenant, changed)
                return self._secrets.opened(tenant, changed)
            self._directory.forget(tenant, request.agent_id)

    def _changed(self, current: v1.Agent, request: v1.UpdateAgentRequest) -> v1.Agent:
        agent = v1.Agent()
        agent.CopyFrom(current)
        mask = request.update_mask if request.HasField("update_mask") else FieldMask(paths=_not_empty(request.agent))
        mask.MergeMessage(request.agent, agent, replace_message_field=True, replace_repeated_field=True)
        agent.model = agent.model or self._models.default_handle
        agent.update_time.CopyFrom(timestamp(self._clock.now_ns()))
        agent.etag = ids.etag()
        return agent

    async def delete(self, tenant: str, request: v1.DeleteAgentRequest) -> v1.DeleteAgentResponse:
        """Delete an agent with all that is its. New messages for it are refused as soon as its runs have ended."""
        validation.check_delete_agent(request)
        while True:
            counted = await self._store.delete_agent(tenant, request.agent_id)
            if counted is None:
                raise AgentNotFound(request.agent_id)
            active = counted["active_runs"]
            if active == 0:
                self._directory.forget(tenant, request.agent_id)
                self._deleted(request.agent_id)
                return v1.DeleteAgentResponse()
            if not request.cancel_runs:
                raise AgentHasActiveRuns(request.agent_id, active)
            await self._cancel_all(tenant, request.agent_id)


def _not_empty(agent: v1.Agent) -> list[str]:
    return [field.name for field, _ in agent.ListFields() if field.name in validation.UPDATABLE]
