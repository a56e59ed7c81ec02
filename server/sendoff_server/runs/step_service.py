"""What callers can see of steps. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server import validation
from sendoff_server.errors import RunNotFound, StepNotFound
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page
from sendoff_server.store.port import Store

DEFAULT_PAGE = 100


class StepService:
    """The use cases of steps.

    A step is told as far as it has got: the last one of a run that goes on may be PENDING.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, request: v1.GetStepRequest) -> v1.Step:
        validation.check_get_step(request)
        step = await self._store.step(tenant, request.step_id)
        if step is None:
            raise StepNotFound(request.step_id)
        return step

    async def list(self, tenant: str, request: v1.ListStepsRequest) -> v1.ListStepsResponse:
        validation.check_list_steps(request)
        page = Page(request, DEFAULT_PAGE)
        if not await self._store.runs(tenant, [request.run_id]):
            raise RunNotFound(request.run_id)
        found = _in_order(request, await self._store.steps(request.run_id), page.after)
        steps, token = page.of([(step, (step.index, step.id)) for step in found])
        return v1.ListStepsResponse(steps=steps, next_page_token=token)


def _in_order(request: v1.ListStepsRequest, steps: Sequence[v1.Step], after: Cursor | None) -> Sequence[v1.Step]:
    """Those behind the last one seen, of all steps of the run by index; there are a thousand at most."""
    if request.order_by == "index desc":
        return [step for step in reversed(steps) if after is None or step.index < after[0]]
    return [step for step in steps if after is None or step.index > after[0]]
