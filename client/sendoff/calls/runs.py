"""Sending messages, and the runs that work on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import Input, RunFilters, SendOptions


class RunCalls(Caller):
    """Of the blocking client."""

    def send(
        self, agent_id: str, input: Input, *, timeout_s: float | None = None, **options: Unpack[SendOptions]
    ) -> v1.Run:
        """Send a message to an agent; returns at once with a durable run. With `conversation_id` the agent may be "".

        Safe to repeat: every request carries a request_id. To repeat it in another process, choose your own.
        """
        return self._call(requests.send(agent_id, input, options), timeout_s)

    def create_message_async(self, request: v1.CreateMessageAsyncRequest, *, timeout_s: float | None = None) -> v1.Run:
        """As `send`, with all that the contract has. A missing request_id is added to a copy."""
        return self._call(requests.create_message_async(request), timeout_s)

    def get_run(self, run_id: str, *, timeout_s: float | None = None) -> v1.Run:
        """A run as it is now."""
        return self._call(requests.get_run(run_id), timeout_s)

    def runs(self, **filters: Unpack[RunFilters]) -> Iterator[v1.Run]:
        """Runs, newest first unless `order_by` says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.runs(filters))

    def run_events(self, run_id: str, *, after_sequence: int = 0, page_size: int = 0) -> Iterator[v1.RunEvent]:
        """A run's log as far as it has got; `watch` goes on where this ends."""
        return self._pages(paging.run_events(run_id, after_sequence, page_size))

    def run_messages(self, run_id: str, *, order_by: str = "", page_size: int = 0) -> Iterator[v1.Message]:
        """A run's messages, oldest first, its input included; with order_by "position desc" newest first."""
        return self._pages(paging.run_messages(run_id, order_by, page_size))

    def explain_run(self, run_id: str, *, timeout_s: float | None = None) -> v1.ExplainRunResponse:
        """What keeps a run from starting or going on, who does, and until when."""
        return self._call(requests.explain_run(run_id), timeout_s)

    def cancel_run(
        self, run_id: str, *, rollback: bool = False, reason: str | None = None, timeout_s: float | None = None
    ) -> v1.Run:
        """Ask a run to stop; `rollback` drops its messages. It has stopped when its status says so."""
        return self._call(requests.cancel_run(run_id, rollback=rollback, reason=reason), timeout_s)

    def delete_run(self, run_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a run that has ended; its messages stay in the conversation. Never repeated by itself, as
        `delete_agent`."""
        self._call(requests.delete_run(run_id), timeout_s)


class AsyncRunCalls(AsyncCaller):
    """As RunCalls, of the asyncio client."""

    async def send(
        self, agent_id: str, input: Input, *, timeout_s: float | None = None, **options: Unpack[SendOptions]
    ) -> v1.Run:
        """Send a message to an agent; returns at once with a durable run. With `conversation_id` the agent may be "".

        Safe to repeat: every request carries a request_id. To repeat it in another process, choose your own.
        """
        return await self._call(requests.send(agent_id, input, options), timeout_s)

    async def create_message_async(
        self, request: v1.CreateMessageAsyncRequest, *, timeout_s: float | None = None
    ) -> v1.Run:
        """As `send`, with all that the contract has. A missing request_id is added to a copy."""
        return await self._call(requests.create_message_async(request), timeout_s)

    async def get_run(self, run_id: str, *, timeout_s: float | None = None) -> v1.Run:
        """A run as it is now."""
        return await self._call(requests.get_run(run_id), timeout_s)

    def runs(self, **filters: Unpack[RunFilters]) -> AsyncIterator[v1.Run]:
        """Runs, newest first unless `order_by` says otherwise; further pages are fetched as they are needed."""
        return self._pages(paging.runs(filters))

    def run_events(self, run_id: str, *, after_sequence: int = 0, page_size: int = 0) -> AsyncIterator[v1.RunEvent]:
        """A run's log as far as it has got; `watch` goes on where this ends."""
        return self._pages(paging.run_events(run_id, after_sequence, page_size))

    def run_messages(self, run_id: str, *, order_by: str = "", page_size: int = 0) -> AsyncIterator[v1.Message]:
        """A run's messages, oldest first, its input included; with order_by "position desc" newest first."""
        return self._pages(paging.run_messages(run_id, order_by, page_size))

    async def explain_run(self, run_id: str, *, timeout_s: float | None = None) -> v1.ExplainRunResponse:
        """What keeps a run from starting or going on, who does, and until when."""
        return await self._call(requests.explain_run(run_id), timeout_s)

    async def cancel_run(
        self, run_id: str, *, rollback: bool = False, reason: str | None = None, timeout_s: float | None = None
    ) -> v1.Run:
        """Ask a run to stop; `rollback` drops its messages. It has stopped when its status says so."""
        return await self._call(requests.cancel_run(run_id, rollback=rollback, reason=reason), timeout_s)

    async def delete_run(self, run_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a run that has ended; its messages stay in the conversation. Never repeated by itself, as
        `delete_agent`."""
        await self._call(requests.delete_run(run_id), timeout_s)
