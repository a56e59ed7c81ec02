"""ConversationService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.conversation_service_pb2_grpc import ConversationServiceServicer
from sendoff_server.agents.conversation_service import ConversationService
from sendoff_server.api.caller import TENANT
from sendoff_server.api.status import Context


class ConversationServicer(ConversationServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, conversations: ConversationService) -> None:
        self._conversations = conversations

    async def CreateConversation(self, request: v1.CreateConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.create(TENANT, request)

    async def GetConversation(self, request: v1.GetConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.get(TENANT, request)

    async def ListConversations(
        self, request: v1.ListConversationsRequest, context: Context
    ) -> v1.ListConversationsResponse:
        return await self._conversations.list(TENANT, request)

    async def UpdateConversation(self, request: v1.UpdateConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.update(TENANT, request)

    async def DeleteConversation(
        self, request: v1.DeleteConversationRequest, context: Context
    ) -> v1.DeleteConversationResponse:
        return await self._conversations.delete(TENANT, request)

    async def ForkConversation(self, request: v1.ForkConversationRequest, context: Context) -> v1.Conversation:
        return await self._conversations.fork(TENANT, request)

    async def GetConversationContext(
        self, request: v1.GetConversationContextRequest, context: Context
    ) -> v1.ConversationContext:
        return await self._conversations.context(TENANT, request)

    async def CompactConversation(
        self, request: v1.CompactConversationRequest, context: Context
    ) -> v1.CompactConversationResponse:
        return await self._conversations.compact(TENANT, request)

    async def ResetConversation(
        self, request: v1.ResetConversationRequest, context: Context
    ) -> v1.ResetConversationResponse:
        return await self._conversations.reset(TENANT, request)

    async def ListMessages(self, request: v1.ListMessagesRequest, context: Context) -> v1.ListMessagesResponse:
        return await self._conversations.list_messages(TENANT, request)

    async def GetMessage(self, request: v1.GetMessageRequest, context: Context) -> v1.GetMessageResponse:
        return await self._conversations.get_message(TENANT, request)
