"""Calls tools and asks for approvals, for the blocking client."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

from sendoff import v1
from sendoff.client_tools import outcomes, threads
from sendoff.client_tools.functions import FunctionTool
from sendoff.client_tools.turns import Answered, Approve, TurnWork, decision


class Hands:
    """What runs here: tools, each in a thread of its own, and the one who approves, in the caller's."""

    def __init__(self, approve: Approve | None, max_parallel: int) -> None:
        """Raises ValueError unless at least one call may be made at a time."""
        if max_parallel < 1:
            raise ValueError(f"max_parallel_tools is {max_parallel}; expected 1 or more")
        self._approve = approve
        self._max_parallel = max_parallel

    def check(self, work: TurnWork) -> None:
        """Raises TypeError for tools that only asyncio can call."""
        for name, tool in work.tools.items():
            if tool.is_async:
                raise TypeError(f"{name} is a coroutine function; AsyncClient calls those")

    def answers(self, work: TurnWork, pending: Sequence[v1.PendingAction]) -> list[Answered]:
        """The answers that can be given here: first all approvals in turn, then all tools."""
        found: list[Answered] = []
        calls: list[tuple[v1.PendingAction, FunctionTool]] = []
        for action in pending:
            if (known := work.known(action)) is not None:
                found.append((action, known))
            elif (tool := work.tool_of(action)) is not None:
                calls.append((action, tool))
            elif work.wants_approval(action) and (given := self._ask(action)) is not None:
                found.append((action, given))
        for first in range(0, len(calls), self._max_parallel):
            found += _call_all(calls[first : first + self._max_parallel], work.tool_limit_s)
        return found

    def _ask(self, action: v1.PendingAction) -> v1.ActionDecision | None:
        if self._approve is None:
            return None
        answer: Any = self._approve(action)
        return decision(action, answer)


def _call_all(calls: Sequence[tuple[v1.PendingAction, FunctionTool]], limit_s: float) -> list[Answered]:
    """Call them at the same time."""
    deadline = time.monotonic() + limit_s
    started = [(action, _started(tool, action)) for action, tool in calls]
    return [(action, _outcome(action, begun, deadline, limit_s)) for action, begun in started]


def _started(tool: FunctionTool, action: v1.PendingAction) -> Future[Any] | Exception:
    try:
        return threads.start(tool.bound(action.call))
    except Exception as error:  # whatever the conversion of arguments to the function's own types raises
        return error


def _outcome(
    action: v1.PendingAction, begun: Future[Any] | Exception, deadline: float, limit_s: float
) -> v1.ActionDecision:
    if isinstance(begun, Exception):
        return outcomes.raised(action, begun)
    wait((begun,), max(0.0, deadline - time.monotonic()))
    if not begun.done():
        return outcomes.too_late(action, limit_s)
    error = begun.exception()
    return outcomes.raised(action, error) if isinstance(error, Exception) else outcomes.returned(action, begun.result())
