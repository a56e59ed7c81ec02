"""What the next model call of a conversation would be shown."""

from __future__ import annotations

from sendoff import requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller


class ContextCalls(Caller):
    """Of the blocking client."""

    def get_conversation_context(
        self, conversation_id: str, *, agent_id: str | None = None, timeout_s: float | None = None
    ) -> v1.ConversationContext:
        """Which messages of a conversation the next model call would be shown.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return self._call(requests.get_conversation_context(conversation_id, agent_id), timeout_s)

    def compact_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.CompactConversationResponse:
        """Put older messages of a conversation into a summary, for the model; they stay readable. Returns once that is
        done, which takes a model call.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return self._call(requests.compact_conversation(conversation_id, agent_id, request_id), timeout_s)

    def reset_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.ResetConversationResponse:
        """Show the model nothing of what was said so far; it stays readable. What is pending is denied.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return self._call(requests.reset_conversation(conversation_id, agent_id, request_id), timeout_s)


class AsyncContextCalls(AsyncCaller):
    """As ContextCalls, of the asyncio client."""

    async def get_conversation_context(
        self, conversation_id: str, *, agent_id: str | None = None, timeout_s: float | None = None
    ) -> v1.ConversationContext:
        """Which messages of a conversation the next model call would be shown.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return await self._call(requests.get_conversation_context(conversation_id, agent_id), timeout_s)

    async def compact_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.CompactConversationResponse:
        """Put older messages of a conversation into a summary, for the model; they stay readable. Returns once that is
        done, which takes a model call.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return await self._call(requests.compact_conversation(conversation_id, agent_id, request_id), timeout_s)

    async def reset_conversation(
        self,
        conversation_id: str,
        *,
        agent_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.ResetConversationResponse:
        """Show the model nothing of what was said so far; it stays readable. What is pending is denied.

        `agent_id` goes with "default", the agent's own conversation.
        """
        return await self._call(requests.reset_conversation(conversation_id, agent_id, request_id), timeout_s)
