"""When a failed model call is made again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from sendoff_server.body import Live
from sendoff_server.models.port import ModelFailed

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 120.0
"""A provider that asks to wait longer than this is not waited for: the run fails and says so."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after which pauses."""

    retries: int

    def pause_s(self, failure: ModelFailed, attempt: int) -> float | None:
        """How long to wait before the next try, or None to give up. `attempt` counts the tries before: 0, 1, 2."""
        if not failure.retryable or attempt >= self.retries:
            return None
        if failure.retry_after_s is not None:
            return failure.retry_after_s if failure.retry_after_s <= LONGEST_RETRY_AFTER_S else None
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * float(2**attempt))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads callers out, guards nothing

    async def repeated(self, live: Live, call: Callable[[int], Awaitable[T]]) -> T:
        """Call with 0, 1, 2 until it works. Raises the ModelFailed that is not repeated."""
        attempt = 0
        while True:
            try:
                return await call(attempt)
            except ModelFailed as failure:
                pause_s = self.pause_s(failure, attempt)
                if pause_s is None:
                    raise
                await live.back_off(failure.reason, pause_s)
                attempt += 1
