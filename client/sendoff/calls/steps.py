"""Steps of runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller
from sendoff.requests import StepFilters


class StepCalls(Caller):
    """Of the blocking client."""

    def run_steps(self, run_id: str, *, order_by: str = "", page_size: int = 0) -> Iterator[v1.Step]:
        """A run's steps, first one first; with order_by "index desc" last one first."""
        return self._pages(paging.run_steps(run_id, order_by, page_size))

    def steps(self, **filters: Unpack[StepFilters]) -> Iterator[v1.Step]:
        """Steps of all runs, newest first unless `order_by` says otherwise; further pages are fetched as they are
        needed."""
        return self._pages(paging.steps(filters))

    def get_step(self, step_id: str, *, timeout_s: float | None = None) -> v1.Step:
        """A step as it is now."""
        return self._call(requests.get_step(step_id), timeout_s)

    def step_messages(self, step_id: str, *, timeout_s: float | None = None) -> Sequence[v1.Message]:
        """What a step wrote, oldest first."""
        return (self._call(requests.step_messages(step_id), timeout_s)).messages

    def set_step_feedback(
        self,
        step_id: str,
        feedback: v1.StepFeedback.ValueType,
        *,
        tags: Sequence[str] | None = None,
        timeout_s: float | None = None,
    ) -> v1.Step:
        """Write down what somebody thinks of a step; STEP_FEEDBACK_UNSPECIFIED takes it away. Tags stay unless they are
        given."""
        return self._call(requests.set_step_feedback(step_id, feedback, tags), timeout_s)


class AsyncStepCalls(AsyncCaller):
    """As StepCalls, of the asyncio client."""

    def run_steps(self, run_id: str, *, order_by: str = "", page_size: int = 0) -> AsyncIterator[v1.Step]:
        """A run's steps, first one first; with order_by "index desc" last one first."""
        return self._pages(paging.run_steps(run_id, order_by, page_size))

    def steps(self, **filters: Unpack[StepFilters]) -> AsyncIterator[v1.Step]:
        """Steps of all runs, newest first unless `order_by` says otherwise; further pages are fetched as they are
        needed."""
        return self._pages(paging.steps(filters))

    async def get_step(self, step_id: str, *, timeout_s: float | None = None) -> v1.Step:
        """A step as it is now."""
        return await self._call(requests.get_step(step_id), timeout_s)

    async def step_messages(self, step_id: str, *, timeout_s: float | None = None) -> Sequence[v1.Message]:
        """What a step wrote, oldest first."""
        return (await self._call(requests.step_messages(step_id), timeout_s)).messages

    async def set_step_feedback(
        self,
        step_id: str,
        feedback: v1.StepFeedback.ValueType,
        *,
        tags: Sequence[str] | None = None,
        timeout_s: float | None = None,
    ) -> v1.Step:
        """Write down what somebody thinks of a step; STEP_FEEDBACK_UNSPECIFIED takes it away. Tags stay unless they are
        given."""
        return await self._call(requests.set_step_feedback(step_id, feedback, tags), timeout_s)
