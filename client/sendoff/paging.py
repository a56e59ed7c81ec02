"""Lists that come in pages: which page follows, and what is on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sendoff import methods, requests, v1
from sendoff.actions import ActionFilters, list_pending_actions
from sendoff.callbacks import DeliveryFilters, list_deliveries
from sendoff.methods import Call, Method, Req, Resp
from sendoff.requests import (
    AgentFilters,
    AuditFilters,
    BlockFilters,
    ConversationFilters,
    MessageFilters,
    RunFilters,
    StepFilters,
    ToolFilters,
)

Item = TypeVar("Item")


class _Paged(Protocol):
    """A request for a page."""

    page_token: str


class _Page(Protocol):
    """A page that tells where the next begins; empty: it is the last."""

    @property
    def next_page_token(self) -> str: ...


def _by_token(request: _Paged, page: _Page) -> bool:
    request.page_token = page.next_page_token
    return bool(page.next_page_token)


@dataclass(frozen=True, slots=True)
class Paging(Generic[Req, Resp, Item]):
    """One list: its first request, and how to go on."""

    method: Method[Req, Resp]
    first: Req
    items: Callable[[Resp], Sequence[Item]]
    advance: Callable[[Req, Resp], bool]
    """Turn the request, a copy of its own, into that of the next page. False: there is none."""

    def call(self) -> Call[Req, Resp]:
        """The call for the first page."""
        return self.method.call(self.first)

    def following(self, call: Call[Req, Resp], page: Resp) -> Call[Req, Resp] | None:
        """The call for the page after this one; None after the last."""
        request = self.method.request()
        request.CopyFrom(call.request)
        return Call(self.method, request, call.is_repeatable) if self.advance(request, page) else None


def runs(filters: RunFilters) -> Paging[v1.ListRunsRequest, v1.ListRunsResponse, v1.Run]:
    return Paging(methods.LIST_RUNS, requests.list_runs(filters), lambda page: page.runs, _by_token)


def run_events(
    run_id: str, after_sequence: int, page_size: int
) -> Paging[v1.ListRunEventsRequest, v1.ListRunEventsResponse, v1.RunEvent]:
    """A page may be the last so far of a run that goes on: the list ends there."""

    def advance(request: v1.ListRunEventsRequest, page: v1.ListRunEventsResponse) -> bool:
        if page.events:
            request.after_sequence = page.events[-1].sequence
        return bool(page.events) and not page.complete and request.after_sequence < page.last_sequence

    first = v1.ListRunEventsRequest(run_id=run_id, after_sequence=after_sequence, page_size=page_size)
    return Paging(methods.LIST_RUN_EVENTS, first, lambda page: page.events, advance)


def run_messages(
    run_id: str, order_by: str, page_size: int
) -> Paging[v1.ListRunMessagesRequest, v1.ListRunMessagesResponse, v1.Message]:
    first = v1.ListRunMessagesRequest(run_id=run_id, order_by=order_by, page_size=page_size)
    return Paging(methods.LIST_RUN_MESSAGES, first, lambda page: page.messages, _by_token)


def actions(
    filters: ActionFilters,
) -> Paging[v1.ListPendingActionsRequest, v1.ListPendingActionsResponse, v1.PendingAction]:
    return Paging(methods.LIST_PENDING_ACTIONS, list_pending_actions(filters), lambda page: page.actions, _by_token)


def run_steps(run_id: str, order_by: str, page_size: int) -> Paging[v1.ListStepsRequest, v1.ListStepsResponse, v1.Step]:
    return steps({"run_id": run_id, "order_by": order_by, "page_size": page_size})


def steps(filters: StepFilters) -> Paging[v1.ListStepsRequest, v1.ListStepsResponse, v1.Step]:
    return Paging(methods.LIST_STEPS, v1.ListStepsRequest(**filters), lambda page: page.steps, _by_token)


def files(page_size: int) -> Paging[v1.ListFilesRequest, v1.ListFilesResponse, v1.File]:
    return Paging(methods.LIST_FILES, v1.ListFilesRequest(page_size=page_size), lambda page: page.files, _by_token)


def agents(
    filters: AgentFilters, order_by: str, page_size: int
) -> Paging[v1.ListAgentsRequest, v1.ListAgentsResponse, v1.Agent]:
    first = v1.ListAgentsRequest(order_by=order_by, page_size=page_size)
    if filters:
        first.filter.CopyFrom(v1.AgentFilter(**filters))
    return Paging(methods.LIST_AGENTS, first, lambda page: page.agents, _by_token)


def tags(search: str, order_by: str, page_size: int) -> Paging[v1.ListTagsRequest, v1.ListTagsResponse, str]:
    first = v1.ListTagsRequest(search=search, order_by=order_by, page_size=page_size)
    return Paging(methods.LIST_TAGS, first, lambda page: page.tags, _by_token)


def conversations(
    agent_id: str | None, filters: ConversationFilters
) -> Paging[v1.ListConversationsRequest, v1.ListConversationsResponse, v1.Conversation]:
    first = v1.ListConversationsRequest(agent_id=agent_id, **filters)
    return Paging(methods.LIST_CONVERSATIONS, first, lambda page: page.conversations, _by_token)


def blocks(
    agent_id: str | None, label: str | None, page_size: int, filters: BlockFilters
) -> Paging[v1.ListBlocksRequest, v1.ListBlocksResponse, v1.Block]:
    first = v1.ListBlocksRequest(agent_id=agent_id, label=label, page_size=page_size, **filters)
    return Paging(methods.LIST_BLOCKS, first, lambda page: page.blocks, _by_token)


def endpoints(page_size: int) -> Paging[v1.ListEndpointsRequest, v1.ListEndpointsResponse, v1.CallbackEndpoint]:
    first = v1.ListEndpointsRequest(page_size=page_size)
    return Paging(methods.LIST_ENDPOINTS, first, lambda page: page.endpoints, _by_token)


def deliveries(
    filters: DeliveryFilters,
) -> Paging[v1.ListDeliveriesRequest, v1.ListDeliveriesResponse, v1.Delivery]:
    return Paging(methods.LIST_DELIVERIES, list_deliveries(filters), lambda page: page.deliveries, _by_token)


def tools(filters: ToolFilters) -> Paging[v1.ListToolsRequest, v1.ListToolsResponse, v1.Tool]:
    return Paging(methods.LIST_TOOLS, requests.list_tools(filters), lambda page: page.tools, _by_token)


def messages(
    conversation_id: str, filters: MessageFilters
) -> Paging[v1.ListMessagesRequest, v1.ListMessagesResponse, v1.Message]:
    """A page may hold nothing though more follow."""
    first = requests.list_messages(conversation_id, filters)
    return Paging(methods.LIST_MESSAGES, first, lambda page: page.messages, _by_token)


def audit_entries(
    filters: AuditFilters,
) -> Paging[v1.ListAuditEntriesRequest, v1.ListAuditEntriesResponse, v1.AuditEntry]:
    """A page may hold nothing though more follow."""
    first = v1.ListAuditEntriesRequest(**filters)
    return Paging(methods.LIST_AUDIT_ENTRIES, first, lambda page: page.entries, _by_token)
