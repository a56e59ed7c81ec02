"""Steps over all runs: in order, chosen by what they were, with what people think of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import StepQuery
from tests.contract.making import accept, claim_of, flush_one, new_lane, progress

TENANT = DEFAULT_TENANT
GOOD, BAD, NOTHING = v1.STEP_FEEDBACK_POSITIVE, v1.STEP_FEEDBACK_NEGATIVE, v1.STEP_FEEDBACK_UNSPECIFIED


def step(run: v1.Run, index: int, start_s: int = 1, **fields: Any) -> v1.Step:
    return v1.Step(
        id=ids.derive("step", run.id, index),
        run_id=run.id,
        index=index,
        start_time=timestamp(start_s * SECOND_NS),
        **fields,
    )


async def took(store: Store, lane: str, *starts: int, **fields: Any) -> list[v1.Step]:
    """A run under way with steps that began then."""
    claim = await claim_of(store, accept(lane))
    run, taken = claim.run, [step(claim.run, index, start, **fields) for index, start in enumerate(starts)]
    for each in taken:
        forward = progress(lane, run, step=each)
        await flush_one(store, forward)
        run = forward.run
    return taken


async def found(store: Store, **filters: Any) -> list[str]:
    query = StepQuery(tenant=filters.pop("tenant", TENANT), **filters)
    return [each.id for each, _ in await store.list_steps(query)]


def named(steps: Sequence[v1.Step]) -> list[str]:
    return [each.id for each in steps]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_steps_of_all_runs_come_by_time_in_pages_of_any_size(
    store: Store, limit: int, newest_first: bool
) -> None:
    one, other = await new_lane(store), await new_lane(store)
    a, b = await took(store, one, 1, 4, 4, 9), await took(store, other, 2, 4, 5)
    expected = sorted([*a, *b], key=lambda each: (each.start_time.seconds, each in b, each.index))
    seen: list[str] = []
    place = None
    while page := await store.list_steps(StepQuery(tenant=TENANT, newest_first=newest_first, after=place, limit=limit)):
        assert len(page) <= limit
        seen += [each.id for each, _ in page]
        place = page[-1][1]
        assert place == await store.step_place(TENANT, page[-1][0].id)
    assert seen == (named(expected)[::-1] if newest_first else named(expected))
    middle = await store.step_place(TENANT, expected[3].id)
    in_front = await found(store, newest_first=newest_first, before=middle)
    assert in_front == (named(expected)[:3:-1] if newest_first else named(expected)[:3])


async def test_steps_of_one_run_come_by_index_though_a_clock_stepped_back(store: Store) -> None:
    lane = await new_lane(store)
    taken = await took(store, lane, 5, 1, 3)
    run_id = taken[0].run_id
    assert await found(store, run_id=run_id, newest_first=False) == named(taken)
    second = await store.step_place(TENANT, taken[1].id)
    assert await found(store, run_id=run_id, after=second) == [taken[0].id]
    assert await found(store, run_id=run_id, before=second) == [taken[2].id]
    assert await found(store, run_id=run_id, agent_id=lane, newest_first=False) == named(taken)
    assert await found(store, run_id=run_id, agent_id=await new_lane(store)) == []


async def test_steps_are_chosen_by_agent_model_trace_and_time(store: Store) -> None:
    one, other = await new_lane(store), await new_lane(store)
    a = await took(store, one, 1, 2, model_handle="openai/small", trace_id="t1")
    b = await took(store, other, 3, 4, model_handle="scripted/small", trace_id="t2")
    every = named([*a, *b])[::-1]
    assert await found(store, agent_id=one) == named(a)[::-1]
    assert await found(store, model="small") == every
    assert await found(store, model="openai/small") == named(a)[::-1]
    assert await found(store, model="openai") == []
    assert await found(store, trace_ids=["t2", "t3"]) == named(b)[::-1]
    assert await found(store, started_from_ns=2 * SECOND_NS, started_until_ns=3 * SECOND_NS) == [b[0].id, a[1].id]
    assert await found(store, tenant="other") == []
    assert await found(store, tenant="other", agent_id=one) == []


async def test_what_is_thought_of_a_step_is_kept_and_found(store: Store) -> None:
    lane = await new_lane(store)
    first, second, third = await took(store, lane, 1, 2, 3)
    told = await store.set_feedback(TENANT, first.id, GOOD, ["fast", "right"])
    assert told is not None
    assert (told.feedback, list(told.tags)) == (GOOD, ["fast", "right"])
    await store.set_feedback(TENANT, second.id, BAD, None)
    assert await store.step(TENANT, first.id) == told == (await store.steps(first.run_id))[0]
    assert await found(store, feedback=GOOD) == [first.id]
    assert await found(store, has_feedback=True) == [second.id, first.id]
    assert await found(store, has_feedback=False) == [third.id]
    assert await found(store, tags=["slow", "right"]) == [first.id]
    assert await found(store, tags=["slow"]) == []

    kept = await store.set_feedback(TENANT, first.id, NOTHING, None)
    assert kept is not None
    assert (kept.feedback, list(kept.tags)) == (NOTHING, ["fast", "right"])
    bare = await store.set_feedback(TENANT, first.id, NOTHING, [])
    assert bare == first


async def test_a_run_under_way_does_not_write_over_what_is_thought_of_its_step(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    begun = progress(lane, claim.run, step=step(claim.run, 0, status=v1.STEP_STATUS_PENDING))
    await flush_one(store, begun)
    assert begun.step is not None
    await store.set_feedback(TENANT, begun.step.id, GOOD, ["early"])
    await flush_one(store, progress(lane, begun.run, step=step(claim.run, 0, status=v1.STEP_STATUS_SUCCESS)))
    now = await store.step(TENANT, begun.step.id)
    assert now is not None
    assert (now.status, now.feedback, list(now.tags)) == (v1.STEP_STATUS_SUCCESS, GOOD, ["early"])


async def test_only_the_tenant_s_own_steps_can_be_thought_of(store: Store) -> None:
    (taken,) = await took(store, await new_lane(store), 1)
    assert await store.set_feedback("other", taken.id, GOOD, ["x"]) is None
    assert await store.set_feedback(TENANT, "step-of-nobody", GOOD, None) is None
    assert await store.step(TENANT, taken.id) == taken
    assert await store.step_place("other", taken.id) is None
