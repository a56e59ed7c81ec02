"""What conversations want of whoever works on what models are shown of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sendoff import v1


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepRequest:
    """What is to be done to what models are shown of a conversation."""

    agent_id: str
    conversation_id: str | None
    """None: the agent's own."""
    request_id: str = ""
    """Empty: it has no name by which a repeat is known."""
    repeated_within_s: float | None = None
    """Its caller says that he may have sent it before, so long ago at most."""


class Upkeep(Protocol):
    """Who does it, and knows how it stands."""

    async def context_of(self, lane: str) -> v1.ConversationContext:
        """What the next model call of a lane would be shown."""
        ...

    async def compact(self, tenant: str, request: UpkeepRequest) -> v1.CompactConversationResponse:
        """Return once older messages are a summary, durably."""
        ...

    async def reset(self, tenant: str, request: UpkeepRequest) -> v1.ResetConversationResponse:
        """Return once the conversation begins anew, durably."""
        ...
