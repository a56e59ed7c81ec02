"""What a run has to work with, looked up anew for each step: agent, model, tools, and the system prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sendoff import v1
from sendoff_server.agents.directory import AgentDirectory, ConversationDirectory
from sendoff_server.body import Live, Step, Work
from sendoff_server.context.compaction import StepCall
from sendoff_server.context.context import system_prompt
from sendoff_server.context.window import Window
from sendoff_server.errors import ModelNotFound
from sendoff_server.lifecycle import model_of
from sendoff_server.loop.toolset import NO_TOOLS, Toolbox, Toolset
from sendoff_server.model_settings import applicable, settings_of, window_limit_of
from sendoff_server.models.port import Catalogue, Model


class Memory(Protocol):
    """What an agent always has before its eyes."""

    async def rendered(self, tenant: str, agent: v1.Agent, lane: str) -> str:
        """The section of the system prompt that shows the agent's memory blocks; empty for none. `lane` is the
        conversation's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What one step has to work with."""

    agent: v1.Agent
    handle: str
    model: Model | None
    """None: there is no such model."""
    tools: Toolset
    settings: v1.ModelSettings
    """Of agent and conversation, those that the model can be set to."""
    summarizing: Model | None
    """The model that writes summaries. None: the agent names none, or there is no such model any more."""
    window_limit: int
    """Most tokens of a context by the settings; 0: they do not tell."""

    @property
    def window_tokens(self) -> int:
        return Window.of(self.model.info if self.model else v1.Model(), self.window_limit).tokens

    def step_call(self, work: Work, step: Step, live: Live) -> StepCall:
        """The model call of a step that has this to work with. Only where there is a model."""
        assert self.model is not None
        return StepCall(
            work=work,
            step=step,
            live=live,
            model=self.model,
            handle=self.handle,
            settings=self.settings,
            window_limit=self.window_limit,
            timezone=self.agent.timezone,
            compaction=self.agent.compaction_settings,
            summarizing=self.summarizing,
        )

    @property
    def parallel_calls(self) -> bool:
        return self.settings.parallel_tool_calls or not self.settings.HasField("parallel_tool_calls")


class Wardrobe:
    """Where outfits come from."""

    def __init__(
        self,
        agents: AgentDirectory,
        conversations: ConversationDirectory,
        models: Catalogue,
        toolbox: Toolbox,
        memory: Memory,
    ) -> None:
        self._agents = agents
        self._conversations = conversations
        self._models = models
        self._toolbox = toolbox
        self._memory = memory

    async def outfit(self, work: Work) -> Outfit:
        """Raises AgentNotFound, ConversationNotFound."""
        agent = await self._agents.find(work.tenant, work.run.agent_id)
        conversation = await self._conversation(work)
        handle = model_of(work.request, conversation, agent)
        model, tools = await self._model(handle), await self._tools(work.tenant, agent, work.request.client_tools)
        return Outfit(
            agent=agent,
            handle=handle,
            model=model,
            tools=tools,
            settings=applicable(settings_of(agent, conversation), model.info if model else v1.Model()),
            summarizing=await self._summarizing(agent.compaction_settings),
            window_limit=window_limit_of(agent, conversation),
        )

    async def system(self, work: Work, outfit: Outfit) -> str:
        """The system prompt: the agent's words, its memory, what it is to be told of its rules, and skills."""
        sections = await self._sections(work.tenant, outfit.agent, work.lane, outfit.tools)
        return system_prompt(outfit.agent, work.request, sections)

    async def compiled(self, tenant: str, agent: v1.Agent, lane: str) -> str:
        """The system prompt of a request to that conversation that adds nothing of its own."""
        tools = await self._tools(tenant, agent, ())
        sections = await self._sections(tenant, agent, lane, tools)
        return system_prompt(agent, v1.CreateMessageAsyncRequest(), sections)

    async def _sections(self, tenant: str, agent: v1.Agent, lane: str, tools: Toolset) -> list[str]:
        memory = await self._memory.rendered(tenant, agent, lane)
        rules = _told(tools) if tools.names else ""
        return [section for section in (memory, rules) if section]

    async def _tools(self, tenant: str, agent: v1.Agent, given: Sequence[v1.ClientTool]) -> Toolset:
        tools = await self._toolbox.tools_of(tenant, agent)
        return Toolset(tools, given, agent.tool_rules) if tools or given else NO_TOOLS

    async def _conversation(self, work: Work) -> v1.Conversation | None:
        if not work.run.HasField("conversation_id"):
            return None
        return await self._conversations.find(work.tenant, work.run.conversation_id)

    async def _summarizing(self, compaction: v1.CompactionSettings) -> Model | None:
        return await self._model(compaction.model) if compaction.HasField("model") else None

    async def _model(self, handle: str) -> Model | None:
        try:
            return await self._models.find(handle)
        except ModelNotFound:
            return None


def _told(tools: Toolset) -> str:
    told = tools.rules.told
    return "\n".join(["<tool_rules>", *told, "</tool_rules>"]) if told else ""
