"""What callers can do with conversations. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from google.protobuf.message import Message

from sendoff import v1
from sendoff_server import ids, validation
from sendoff_server.agents.directory import AgentDirectory, ConversationDirectory
from sendoff_server.agents.upkeep_port import Upkeep, UpkeepRequest
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import (
    AgentNotFound,
    ConversationHasActiveRuns,
    ConversationNotFound,
    EtagMismatch,
    IdempotencyMismatch,
    MessageNotFound,
)
from sendoff_server.message_lists import Wanted, place_of, read_page
from sendoff_server.model_settings import check_applicable
from sendoff_server.models.port import Catalogue
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page
from sendoff_server.store.items import Key, LaneMissing, Mismatched
from sendoff_server.store.port import Store
from sendoff_server.store.questions import ConversationOrder, ConversationQuery, Fork, MessageScope
from sendoff_server.validation import CONVERSATION_UPDATABLE

MAX_PAGE = 100
"""A conversation can have a megabyte; more of them come with the next page."""
DEFAULT_PAGE = 50
DEFAULT_MESSAGES = 100

CancelAll = Callable[[str, str], Awaitable[None]]
"""(tenant, conversation_id): cancel the conversation's runs and wait for their end."""


class ConversationService:
    """The use cases of conversations."""

    def __init__(
        self,
        store: Store,
        agents: AgentDirectory,
        conversations: ConversationDirectory,
        models: Catalogue,
        clock: Clock,
        *,
        upkeep: Upkeep,
        cancel_all: CancelAll,
        deleted: Callable[[str], None],
    ) -> None:
        self._upkeep = upkeep
        self._store = store
        self._agents = agents
        self._conversations = conversations
        self._models = models
        self._clock = clock
        self._cancel_all = cancel_all
        self._deleted = deleted

    # ---- make ----

    async def create(self, tenant: str, request: v1.CreateConversationRequest) -> v1.Conversation:
        validation.check_create_conversation(request)
        await self._agents.find(tenant, request.agent_id)
        created = await self._create(tenant, request, request.agent_id, request.conversation, None)
        if created is None:
            raise AgentNotFound(request.agent_id)
        return created

    async def fork(self, tenant: str, request: v1.ForkConversationRequest) -> v1.Conversation:
        validation.check_fork_conversation(request)
        lane, source = await self._lane(tenant, request.conversation_id, request.agent_id)
        last_position = None
        if request.HasField("at_message_id"):
            last_position = await self._store.message_position(tenant, lane, request.at_message_id)
            if last_position is None:
                raise MessageNotFound(request.at_message_id, lane)
        agent_id = lane if source is None else source.agent_id
        wanted = _changed(source or v1.Conversation(), request.conversation, _taken_over(request.conversation))
        forked = await self._create(tenant, request, agent_id, wanted, Fork(lane, last_position))
        if forked is None:
            raise AgentNotFound(agent_id) if source is None else ConversationNotFound(lane)
        return forked

    async def _create(
        self,
        tenant: str,
        request: v1.CreateConversationRequest | v1.ForkConversationRequest,
        agent_id: str,
        wanted: v1.Conversation,
        fork: Fork | None,
    ) -> v1.Conversation | None:
        """None if agent or lane are gone."""
        if request.conversation.model or request.conversation.HasField("model_settings"):
            await self._check_model(tenant, agent_id, wanted)
        key = Key("conversation", request.request_id) if request.request_id else None
        conversation = self._new(agent_id, wanted)
        created = await self._store.create_conversation(tenant, conversation, key, _fingerprint(request), fork)
        if isinstance(created, Mismatched):
            raise IdempotencyMismatch(created.key.value, created.run_id)
        return None if isinstance(created, LaneMissing) else created

    async def _check_model(self, tenant: str, agent_id: str, wanted: v1.Conversation) -> None:
        """Whether there is its model, and it can be set as wanted. Raises AgentNotFound, ModelNotFound, Unsupported."""
        handle = wanted.model or (await self._agents.find(tenant, agent_id)).model
        model = (await self._models.find(handle)).info
        check_applicable(wanted.model_settings, model, "conversation.model_settings")

    def _new(self, agent_id: str, wanted: v1.Conversation) -> v1.Conversation:
        conversation = _changed(v1.Conversation(), wanted, CONVERSATION_UPDATABLE)
        conversation.id = ids.new("conv")
        conversation.agent_id = agent_id
        now = timestamp(self._clock.now_ns())
        conversation.create_time.CopyFrom(now)
        conversation.update_time.CopyFrom(now)
        if conversation.archived:
            conversation.archive_time.CopyFrom(now)
        conversation.etag = ids.etag()
        return conversation

    # ---- read ----

    async def get(self, tenant: str, request: v1.GetConversationRequest) -> v1.Conversation:
        validation.check_get_conversation(request)
        return await self._stored(tenant, request.conversation_id)

    async def list(self, tenant: str, request: v1.ListConversationsRequest) -> v1.ListConversationsResponse:
        validation.check_list_conversations(request)
        page = Page(request, DEFAULT_PAGE, MAX_PAGE)
        query = _query(tenant, request)
        after = page.after or await self._first_after(query, request)
        found: list[tuple[v1.Conversation, Cursor]] = []
        while len(found) < page.enough:
            part = await self._store.list_conversations(replace(query, after=after, limit=page.enough - len(found)))
            found += part.found
            after = part.goes_on_after
            if after is None:
                break
        conversations, token = page.of(found)
        return v1.ListConversationsResponse(conversations=conversations, next_page_token=token)

    async def _first_after(self, query: ConversationQuery, request: v1.ListConversationsRequest) -> Cursor | None:
        """Where the first page begins. Raises ConversationNotFound."""
        if not request.HasField("after_conversation_id"):
            return None
        conversation_id = request.after_conversation_id
        cursor = await self._store.conversation_cursor(query.tenant, conversation_id, query.order)
        if cursor is None:
            raise ConversationNotFound(conversation_id)
        return cursor

    async def context(self, tenant: str, request: v1.GetConversationContextRequest) -> v1.ConversationContext:
        validation.check_get_conversation_context(request)
        lane, _ = await self._lane(tenant, request.conversation_id, request.agent_id)
        return await self._upkeep.context_of(lane)

    async def list_messages(self, tenant: str, request: v1.ListMessagesRequest) -> v1.ListMessagesResponse:
        validation.check_list_messages(request)
        of = await self._list_of(tenant, request)
        page = Page(request, DEFAULT_MESSAGES)
        bounds = [
            await place_of(self._store, of, message_id) if message_id else None
            for message_id in (request.newer_than_message_id, request.older_than_message_id)
        ]
        wanted = Wanted(
            of=of,
            config=_spoken_as(request),
            types=request.message_types,
            newer_than=bounds[0],
            older_than=bounds[1],
            newest_first=request.order_by in ("", "position desc"),
        )
        found = await read_page(self._store, wanted, page.after[0] if page.after else None, page.limit)
        token = "" if found.goes_on_after is None else page.token((found.goes_on_after, ""))
        return v1.ListMessagesResponse(messages=found.messages, next_page_token=token)

    async def _list_of(self, tenant: str, request: v1.ListMessagesRequest) -> MessageScope:
        """Which list of messages a request names."""
        if request.conversation_id:
            lane, _ = await self._lane(tenant, request.conversation_id, request.agent_id)
            return MessageScope(tenant=tenant, lane=lane)
        if not request.HasField("agent_id"):
            return MessageScope(tenant=tenant)
        return MessageScope(tenant=tenant, agent_id=(await self._agents.find(tenant, request.agent_id)).id)

    async def get_message(self, tenant: str, request: v1.GetMessageRequest) -> v1.GetMessageResponse:
        validation.check_get_message(request)
        entries = await self._store.message(tenant, request.message_id)
        if not entries:
            raise MessageNotFound(request.message_id)
        return v1.GetMessageResponse(messages=entries)

    async def _lane(self, tenant: str, conversation_id: str, agent_id: str) -> tuple[str, v1.Conversation | None]:
        """The lane that a request names, and its conversation; None for an agent's default one."""
        if conversation_id == "default":
            return (await self._agents.find(tenant, agent_id)).id, None
        return conversation_id, await self._conversations.find_of(tenant, conversation_id, agent_id)

    async def _stored(self, tenant: str, conversation_id: str) -> v1.Conversation:
        conversation = await self._store.conversation(tenant, conversation_id)
        if conversation is None:
            raise ConversationNotFound(conversation_id)
        return conversation

    # ---- change ----

    async def update(self, tenant: str, request: v1.UpdateConversationRequest) -> v1.Conversation:
        """Change a conversation. A change made by somebody else meanwhile is not overwritten when the caller sent an
        etag; without one the fields of this request are put upon whatever is there."""
        validation.check_update_conversation(request)
        wanted = request.conversation
        fields = request.update_mask.paths if request.HasField("update_mask") else _set_fields(wanted)
        while True:
            current = await self._stored(tenant, request.conversation_id)
            if wanted.etag not in ("", current.etag):
                raise EtagMismatch(request.conversation_id, wanted.etag)
            changed = _changed(current, wanted, fields)
            if changed.model not in ("", current.model) or changed.model_settings != current.model_settings:
                await self._check_model(tenant, changed.agent_id, changed)
            changed.update_time.CopyFrom(timestamp(self._clock.now_ns()))
            if not changed.archived:
                changed.ClearField("archive_time")
            elif not current.archived:
                changed.archive_time.CopyFrom(changed.update_time)
            changed.etag = ids.etag()
            if await self._store.update_conversation(tenant, changed, current.etag):
                self._conversations.remember(tenant, changed)
                return changed

    async def compact(
        self, tenant: str, request: v1.CompactConversationRequest, *, repeated_within_s: float | None = None
    ) -> v1.CompactConversationResponse:
        """Put older messages of a conversation into a summary, for the model. With `repeated_within_s` its caller says
        that he may have sent it before, so long ago at most."""
        validation.check_compact_conversation(request)
        return await self._upkeep.compact(tenant, await self._upkeep_of(tenant, request, repeated_within_s))

    async def reset(
        self, tenant: str, request: v1.ResetConversationRequest, *, repeated_within_s: float | None = None
    ) -> v1.ResetConversationResponse:
        """Have a conversation begin anew, for the model. `repeated_within_s` as for `compact`."""
        validation.check_reset_conversation(request)
        return await self._upkeep.reset(tenant, await self._upkeep_of(tenant, request, repeated_within_s))

    async def _upkeep_of(
        self,
        tenant: str,
        request: v1.CompactConversationRequest | v1.ResetConversationRequest,
        repeated_within_s: float | None,
    ) -> UpkeepRequest:
        lane, conversation = await self._lane(tenant, request.conversation_id, request.agent_id)
        return UpkeepRequest(
            agent_id=lane if conversation is None else conversation.agent_id,
            conversation_id=None if conversation is None else lane,
            request_id=request.request_id,
            repeated_within_s=repeated_within_s,
        )

    async def delete(self, tenant: str, request: v1.DeleteConversationRequest) -> v1.DeleteConversationResponse:
        """Delete a conversation with all that is its. New messages for it are refused as soon as its runs have
        ended."""
        validation.check_delete_conversation(request)
        while True:
            counted = await self._store.delete_conversation(tenant, request.conversation_id)
            if counted is None:
                raise ConversationNotFound(request.conversation_id)
            active = counted["active_runs"]
            if active == 0:
                self._conversations.forget(tenant, request.conversation_id)
                self._deleted(request.conversation_id)
                return v1.DeleteConversationResponse()
            if not request.cancel_runs:
                raise ConversationHasActiveRuns(request.conversation_id, active)
            await self._cancel_all(tenant, request.conversation_id)


def _changed(current: v1.Conversation, wanted: v1.Conversation, fields: Sequence[str]) -> v1.Conversation:
    """A copy of `current` whose fields of these names are as in `wanted`, be they unset there."""
    changed, masked = v1.Conversation(), v1.Conversation()
    changed.CopyFrom(current)
    masked.CopyFrom(wanted)
    for field in v1.Conversation.DESCRIPTOR.fields:
        cleared = changed if field.name in fields else masked
        cleared.ClearField(field.name)  # type: ignore[arg-type]  # the stubs know the names only as literals
    changed.MergeFrom(masked)
    return changed


def _spoken_as(request: v1.ListMessagesRequest) -> v1.RequestConfig:
    return v1.RequestConfig(
        use_assistant_message=request.use_assistant_message,
        assistant_message_tool_name=request.assistant_message_tool_name or "send_message",
        assistant_message_tool_kwarg=request.assistant_message_tool_kwarg or "message",
    )


def _set_fields(conversation: v1.Conversation) -> list[str]:
    return [field.name for field, _ in conversation.ListFields() if field.name in CONVERSATION_UPDATABLE]


def _taken_over(wanted: v1.Conversation) -> list[str]:
    """Fields of a fork that are not as in its source."""
    return [*_set_fields(wanted), "archived", "hidden"]


def _query(tenant: str, request: v1.ListConversationsRequest) -> ConversationQuery:
    by, _, direction = request.order_by.partition(" ")
    return ConversationQuery(
        tenant=tenant,
        agent_id=request.agent_id or None,
        archived=request.archived if request.HasField("archived") else None,
        hidden=None if request.show_hidden else False,
        search=request.summary_search,
        order=ConversationOrder(by) if by else ConversationOrder.CREATED,
        newest_first=direction == "desc" or not by,
    )


def _fingerprint(request: Message) -> bytes:
    """Digest of all that makes two requests the same, whatever key they carry."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    words = request.DESCRIPTOR.full_name.encode() + b"\0" + bare.SerializeToString(deterministic=True)
    return hashlib.blake2b(words, digest_size=16).digest()
