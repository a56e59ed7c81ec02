"""What callers can do with pending actions: list them as one inbox, and answer them."""

from __future__ import annotations

from typing import Protocol

from sendoff import v1
from sendoff_server import validation
from sendoff_server.admission_port import Admission
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import Draining
from sendoff_server.paging import Page
from sendoff_server.runs.accepting import Agents, Conversations
from sendoff_server.runs.answering import Answering
from sendoff_server.runs.stored_images import Files, with_media_types
from sendoff_server.store.questions import ActionQuery

DEFAULT_ACTIONS = 50


class Actions(Protocol):
    """Where pending actions are looked up."""

    async def list_actions(self, query: ActionQuery) -> list[tuple[v1.PendingAction, str]]:
        """See `Store.list_actions`."""
        ...


class ActionService:
    """The use cases of pending actions."""

    def __init__(
        self,
        store: Actions,
        agents: Agents,
        conversations: Conversations,
        answering: Answering,
        files: Files,
        admission: Admission,
    ) -> None:
        self._store = store
        self._agents = agents
        self._conversations = conversations
        self._answering = answering
        self._files = files
        self._admission = admission
        self._draining = False

    def drain(self) -> None:
        """Take no answers from now on."""
        self._draining = True

    async def list(self, tenant: str, request: v1.ListPendingActionsRequest) -> v1.ListPendingActionsResponse:
        validation.check_list_pending_actions(request)
        page = Page(request, DEFAULT_ACTIONS)
        found = await self._store.list_actions(_query(tenant, request, page.after, page.enough))
        actions, token = page.of([(action, (nanoseconds(action.expire_time), cursor)) for action, cursor in found])
        return v1.ListPendingActionsResponse(actions=actions, next_page_token=token)

    async def respond(self, tenant: str, request: v1.RespondToActionsRequest) -> v1.RespondToActionsResponse:
        """Take answers. On return they are durable, and the run that continues is accepted if they were the last."""
        if self._draining:
            raise Draining
        async with self._admission.accepting(tenant, answers=True):
            validation.check_respond_to_actions(request)
            lane = await self._lane(tenant, request)
            return await self._answering.respond(tenant, lane, await with_media_types(self._files, tenant, request))

    async def _lane(self, tenant: str, request: v1.RespondToActionsRequest) -> str:
        """Raises AgentNotFound, ConversationNotFound, and InvalidRequest if the conversation is another agent's."""
        if request.conversation_id == "default":
            return (await self._agents.find(tenant, request.agent_id)).id
        return (await self._conversations.find_of(tenant, request.conversation_id, request.agent_id)).id


def _query(
    tenant: str, request: v1.ListPendingActionsRequest, after: tuple[int, str] | None, limit: int
) -> ActionQuery:
    lane = request.conversation_id or None
    if lane == "default":
        lane = request.agent_id
    return ActionQuery(
        tenant=tenant,
        agent_id=request.agent_id or None,
        lane=lane,
        run_id=request.run_id or None,
        kind=request.kind or None,
        after=after,
        limit=limit,
    )
