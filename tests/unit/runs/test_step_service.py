"""Pages of a run's steps, in either order, and only the tenant's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from sendoff import v1
from sendoff_server.errors import InvalidRequest, RunNotFound
from sendoff_server.runs.step_service import StepService
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import StepPlace, StepQuery

RUN = "run-b8a6d2f4-17c3-4e59-8f20-6a9d41c7e305"
STEPS = [v1.Step(id=f"step-{index:08d}-17c3-4e59-8f20-6a9d41c7e305", run_id=RUN, index=index) for index in range(7)]


class Kept:
    """As much of a store as a list of steps needs: one run with seven steps."""

    async def runs(self, tenant: str, run_ids: Sequence[str]) -> dict[str, v1.Run]:
        return {RUN: v1.Run(id=RUN)} if (tenant, run_ids) == (DEFAULT_TENANT, [RUN]) else {}

    async def list_steps(self, query: StepQuery) -> list[tuple[v1.Step, StepPlace]]:
        found = [(step, (0, step.index)) for step in STEPS]
        after = query.after[1] if query.after else None
        if query.newest_first:
            found = [each for each in found[::-1] if after is None or each[1][1] < after]
        else:
            found = [each for each in found if after is None or each[1][1] > after]
        return found[: query.limit]


SERVICE = StepService(cast(Store, Kept()))


async def listed(page_size: int, order_by: str) -> list[list[int]]:
    pages = []
    request = v1.ListStepsRequest(run_id=RUN, page_size=page_size, order_by=order_by)
    while True:
        page = await SERVICE.list(DEFAULT_TENANT, request)
        pages.append([step.index for step in page.steps])
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return pages


@pytest.mark.parametrize("page_size", [0, 1, 2, 3, 6, 7, 8, 5_000])
@pytest.mark.parametrize("order_by", ["", "index", "index asc", "index desc"])
async def test_pages_of_any_size_show_every_step_once_in_the_order_asked_for(page_size: int, order_by: str) -> None:
    pages = await listed(page_size, order_by)
    wanted = list(range(7))
    assert [index for page in pages for index in page] == (wanted[::-1] if order_by == "index desc" else wanted)
    assert all(len(page) == page_size for page in pages[:-1])
    assert pages[-1]


async def test_a_run_of_another_tenant_has_no_steps_to_show() -> None:
    with pytest.raises(RunNotFound):
        await SERVICE.list("other", v1.ListStepsRequest(run_id=RUN))


async def test_a_token_of_another_order_is_refused() -> None:
    page = await SERVICE.list(DEFAULT_TENANT, v1.ListStepsRequest(run_id=RUN, page_size=2))
    other = v1.ListStepsRequest(run_id=RUN, page_size=2, order_by="index desc", page_token=page.next_page_token)
    with pytest.raises(InvalidRequest, match="another query"):
        await SERVICE.list(DEFAULT_TENANT, other)
