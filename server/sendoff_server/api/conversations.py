"""ConversationService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.conversation_service_pb2_grpc import ConversationServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.agents.conversation_service import ConversationService
from sendoff_server.api.status import Context


class ConversationServicer(ConversationServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, conversations: ConversationService) -> None:
        self._conversations = conversations

    async def CreateConversation(self, request: v1.CreateConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.create(acting().tenant, request)

    async def GetConversation(self, request: v1.GetConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.get(acting().tenant, request)

    async def ListConversations(
        self, request: v1.ListConversationsRequest, context: Context
    ) -> v1.ListConversationsResponse:
        return await self._conversations.list(acting().tenant, request)

    async def UpdateConversation(self, request: v1.UpdateConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.update(acting().tenant, request)

    async def DeleteConversation(
        self, request: v1.DeleteConversationRequest, context: Context
    ) -> v1.DeleteConversationResponse:
        return await self._conversations.delete(acting().tenant, request)

    async def ForkConversation(self, request: v1.ForkConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.fork(acting().tenant, request)

    async def GetConversationContext(
        self, request: v1.GetConversationContextRequest, context: Context
    ) -> v1.ConversationContext:
        return await self._conversations.context(acting().tenant, request)

    async def CompactConversation(
        self, request: v1.CompactConversationRequest, context: Context
    ) -> v1.CompactConversationResponse:
        return await self._conversations.compact(acting().tenant, request)

    async def ResetConversation(
        self, request: v1.ResetConversationRequest, context: Context
    ) -> v1.ResetConversationResponse:
        return await self._conversations.reset(acting().tenant, request)

    async def ListMessages(self, request: v1.ListMessagesRequest, context: Context) -> v1.ListMessagesResponse:
        return await self._conversations.list_messages(acting().tenant, request)

    async def GetMessage(self, request: v1.GetMessageRequest, context: Context) -> v1.GetMessageResponse:
        return await self._conversations.get_message(acting().tenant, request)
