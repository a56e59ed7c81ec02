"""Which conversation a path means: `conv-...`, `default` with an agent beside it, or an agent for its own."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import ConversationNotFound, InvalidRequest, Violation
from sendoff_server.gateway.asked import is_id, path_id
from sendoff_server.use_cases import UseCases


@dataclass(frozen=True, slots=True)
class Address:
    """A conversation that there is."""

    agent_id: str
    conversation_id: str
    """`default` for the agent's own."""


async def addressed(use_cases: UseCases, request: Request, agent_id: object) -> Address:
    """The conversation of the path; `agent_id` is what the request tells beside it.

    Raises InvalidRequest, ConversationNotFound, AgentNotFound.
    """
    told = str(request.path_params["conversation_id"])
    if told == "default":
        if agent_id is None:
            raise ConversationNotFound(told)
        if not isinstance(agent_id, str) or not is_id(agent_id, "agent"):
            raise InvalidRequest([Violation("agent_id", "must be agent-<uuid4> in lower case")])
        return await _own(use_cases, agent_id)
    if is_id(told, "agent"):
        return await _own(use_cases, told)
    wanted = v1.GetConversationRequest(conversation_id=path_id(request, "conversation_id", "conv"))
    conversation = await use_cases.conversations.get(acting().tenant, wanted)
    return Address(conversation.agent_id, conversation.id)


async def _own(use_cases: UseCases, agent_id: str) -> Address:
    await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
    return Address(agent_id, "default")
