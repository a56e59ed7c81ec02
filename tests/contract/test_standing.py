"""Where runs stand: what is in front of them, who holds their lane, and how much waits for whom."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store.port import DEFAULT_TENANT as TENANT
from sendoff_server.store.port import Store
from sendoff_server.store.standing import Standing
from tests.contract.making import accept, claim_of, new_lane, run_to_end


async def _standing(store: Store, run: v1.Run) -> Standing:
    standing = await store.standing(TENANT, run.id)
    assert standing is not None
    assert standing.run.id == run.id
    assert standing.queued == await store.queued(run.id)
    return standing


# ---- one run ----


async def test_a_run_stands_behind_those_in_front_of_it_and_its_lane_is_held(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    second, third = accept(lane), accept(lane, priority=1)
    await store.flush([second, third])
    standing = await _standing(store, third.run)
    assert [run.id for run in standing.in_front] == [claim.run.id, second.run.id]
    assert standing.holder is not None
    assert (standing.holder.id, standing.holder.leases) == (store.replica_id, 1)
    assert (standing.place, standing.priority) == (None, 3), "the priority of the head"


async def test_a_run_that_has_ended_stands_nowhere(store: Store) -> None:
    lane = await new_lane(store)
    await run_to_end(store, claim := await claim_of(store, accept(lane)))
    standing = await _standing(store, claim.run)
    assert (standing.queued, standing.holder, standing.place, standing.in_front) == (None, None, None, [])
