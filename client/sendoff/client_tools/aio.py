"""Calls tools and asks for approvals, for the asyncio client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sendoff import v1
from sendoff.client_tools import outcomes, threads
from sendoff.client_tools.functions import FunctionTool
from sendoff.client_tools.turns import Answered, Approve, TurnWork, decision

_END_S = 5.0
"""A coroutine that was cancelled is waited for no longer."""


class AsyncHands:
    """What runs here. Coroutine functions run on the event loop, all others in threads of their own."""

    def __init__(self, approve: Approve | None, max_parallel: int) -> None:
        """Raises ValueError unless at least one call may be made at a time."""
        if max_parallel < 1:
            raise ValueError(f"max_parallel_tools is {max_parallel}; expected 1 or more")
        self._approve = approve
        self._slots = asyncio.Semaphore(max_parallel)

    async def answers(self, work: TurnWork, pending: Sequence[v1.PendingAction]) -> list[Answered]:
        """The answers that can be given here: first all approvals in turn, then all tools. Cancelled, it cancels the
        tools that are coroutines."""
        found: list[Answered] = []
        calls: list[tuple[v1.PendingAction, FunctionTool]] = []
        for action in pending:
            if (known := work.known(action)) is not None:
                found.append((action, known))
            elif (tool := work.tool_of(action)) is not None:
                calls.append((action, tool))
            elif work.wants_approval(action) and (given := await self._ask(action)) is not None:
                found.append((action, given))
        async with asyncio.TaskGroup() as group:
            tasks = [(action, group.create_task(self._call(action, tool, work))) for action, tool in calls]
        return found + [(action, task.result()) for action, task in tasks]

    async def _ask(self, action: v1.PendingAction) -> v1.ActionDecision | None:
        approve = self._approve
        if approve is None:
            return None
        if inspect.iscoroutinefunction(approve):
            return decision(action, await approve(action))
        answer = await asyncio.wrap_future(threads.start(lambda: approve(action)))
        return decision(action, await answer if inspect.isawaitable(answer) else answer)

    async def _call(self, action: v1.PendingAction, tool: FunctionTool, work: TurnWork) -> v1.ActionDecision:
        async with self._slots:
            try:
                call = tool.bound(action.call)
            except Exception as error:  # whatever the conversion of arguments to the function's own types raises
                return outcomes.raised(action, error)
            return await _outcome(action, _started(call, is_async=tool.is_async), work.tool_limit_s)


def _started(call: Callable[[], Any], *, is_async: bool) -> asyncio.Future[Any]:
    return asyncio.ensure_future(_awaited(call)) if is_async else asyncio.wrap_future(threads.start(call))


async def _awaited(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


async def _outcome(action: v1.PendingAction, begun: asyncio.Future[Any], limit_s: float) -> v1.ActionDecision:
    try:
        await asyncio.wait({begun}, timeout=limit_s)
        in_time = begun.done()
    finally:
        if not begun.done():
            begun.cancel()
            await asyncio.wait({begun}, timeout=_END_S)
    if not in_time:
        return outcomes.too_late(action, limit_s)
    if begun.cancelled():
        return outcomes.failed(action, "the call was cancelled")
    error = begun.exception()
    if isinstance(error, Exception):
        return outcomes.raised(action, error)
    return outcomes.returned(action, begun.result())
