"""Approvals, and results of tools that run here: what runs have stopped for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Unpack

from sendoff import actions, paging, v1
from sendoff.actions import ActionFilters
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller


class ActionCalls(Caller):
    """Of the blocking client."""

    def actions(self, **filters: Unpack[ActionFilters]) -> Iterator[v1.PendingAction]:
        """What waits for an answer, soonest expiry first; further pages are fetched as they are needed."""
        return self._pages(paging.actions(filters))

    def respond(
        self,
        pending: Sequence[v1.PendingAction],
        decisions: Sequence[v1.ActionDecision],
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Answer actions of one run, some of them or all; `sendoff.actions` makes decisions.

        The last answer starts the run that continues. Safe to repeat.
        """
        return self._call(actions.respond(pending, decisions, request_id), timeout_s)

    def approve(
        self,
        action: v1.PendingAction,
        *,
        reason: str | None = None,
        edited_arguments: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Say yes to a call, with the model's arguments or others."""
        decision = actions.approval(action, reason, edited_arguments)
        return self._call(actions.respond([action], [decision], None), timeout_s)

    def deny(
        self, action: v1.PendingAction, *, reason: str | None = None, timeout_s: float | None = None
    ) -> v1.RespondToActionsResponse:
        """Say no to a call; the model reads the reason."""
        return self._call(actions.respond([action], [actions.denial(action, reason)], None), timeout_s)

    def return_result(
        self,
        action: v1.PendingAction,
        content: str | v1.Content,
        *,
        is_error: bool = False,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Give the result of a call whose tool ran here."""
        decision = actions.result(action, content, is_error=is_error)
        return self._call(actions.respond([action], [decision], None), timeout_s)


class AsyncActionCalls(AsyncCaller):
    """As ActionCalls, of the asyncio client."""

    def actions(self, **filters: Unpack[ActionFilters]) -> AsyncIterator[v1.PendingAction]:
        """What waits for an answer, soonest expiry first; further pages are fetched as they are needed."""
        return self._pages(paging.actions(filters))

    async def respond(
        self,
        pending: Sequence[v1.PendingAction],
        decisions: Sequence[v1.ActionDecision],
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Answer actions of one run, some of them or all; `sendoff.actions` makes decisions.

        The last answer starts the run that continues. Safe to repeat.
        """
        return await self._call(actions.respond(pending, decisions, request_id), timeout_s)

    async def approve(
        self,
        action: v1.PendingAction,
        *,
        reason: str | None = None,
        edited_arguments: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Say yes to a call, with the model's arguments or others."""
        decision = actions.approval(action, reason, edited_arguments)
        return await self._call(actions.respond([action], [decision], None), timeout_s)

    async def deny(
        self, action: v1.PendingAction, *, reason: str | None = None, timeout_s: float | None = None
    ) -> v1.RespondToActionsResponse:
        """Say no to a call; the model reads the reason."""
        return await self._call(actions.respond([action], [actions.denial(action, reason)], None), timeout_s)

    async def return_result(
        self,
        action: v1.PendingAction,
        content: str | v1.Content,
        *,
        is_error: bool = False,
        timeout_s: float | None = None,
    ) -> v1.RespondToActionsResponse:
        """Give the result of a call whose tool ran here."""
        decision = actions.result(action, content, is_error=is_error)
        return await self._call(actions.respond([action], [decision], None), timeout_s)
