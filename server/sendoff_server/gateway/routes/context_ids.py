"""Which messages the model is shown of a conversation, as the API tells it."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.gateway.message_pages import system_entry
from sendoff_server.use_cases import UseCases


async def context_ids(use_cases: UseCases, agent_id: str, conversation_id: str) -> list[str]:
    """Ids of the messages, oldest first; the first is the system prompt's. `default` for the agent's own."""
    agent = await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
    wanted = v1.GetConversationContextRequest(conversation_id=conversation_id, agent_id=agent_id)
    shown = await use_cases.conversations.context(acting().tenant, wanted)
    return [system_entry(agent).id, *shown.message_ids]
