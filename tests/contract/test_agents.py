"""Agents: made once per key, changed under their etag, deleted with everything of theirs."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, LaneMissing, Mismatched, Placed
from sendoff_server.store.port import Store
from sendoff_server.store.questions import AgentQuery, History, RunQuery
from tests.contract.making import (
    accept,
    agent,
    claim_of,
    finish,
    flush_one,
    new_lane,
    next_time,
    progress,
    run_to_end,
    stored,
)

TENANT = "default"


async def test_a_new_agent_can_be_read_and_spoken_to(store: Store) -> None:
    made = agent("one")
    assert await store.create_agent(TENANT, made, None, b"") == made
    assert await store.agent(TENANT, made.id) == made
    assert isinstance(await flush_one(store, accept(made.id)), Placed)
    assert await store.agent(TENANT, "agent-of-nobody") is None


async def test_the_same_key_is_the_same_agent_as_it_is_now(store: Store) -> None:
    key = Key("agent", "k")
    made, again = agent("one"), agent("two")
    await store.create_agent(TENANT, made, key, b"same")
    changed = v1.Agent(id=made.id, name="changed", etag="2", create_time=made.create_time)
    assert await store.update_agent(TENANT, changed, "1")
    assert await store.create_agent(TENANT, again, key, b"same") == changed
    assert await store.agent(TENANT, again.id) is None


async def test_a_key_with_another_request_names_the_agent_it_made(store: Store) -> None:
    key, made = Key("agent", "k"), agent()
    await store.create_agent(TENANT, made, key, b"one")
    assert await store.create_agent(TENANT, agent(), key, b"two") == Mismatched(key, made.id)
    other_tenant = agent()
    assert await store.create_agent("other", other_tenant, key, b"two") == other_tenant
    other_scope = agent()
    assert await store.create_agent(TENANT, other_scope, Key("import", "k"), b"two") == other_scope


async def test_the_key_of_an_agent_goes_with_it(store: Store) -> None:
    key, made, later = Key("agent", "k"), agent(), agent()
    await store.create_agent(TENANT, made, key, b"one")
    assert await store.delete_agent(TENANT, made.id) == {"active_runs": 0}
    assert await store.create_agent(TENANT, later, key, b"two") == later


async def test_agents_are_listed_newest_first_in_pages(store: Store) -> None:
    same = next_time()
    made = [agent(create_time=same) for _ in range(4)] + [agent() for _ in range(3)]
    for each in made:
        await store.create_agent(TENANT, each, None, b"")
    await store.create_agent("other", agent(), None, b"")
    expected = sorted(made, key=lambda each: (nanoseconds(each.create_time), each.id), reverse=True)
    seen: list[v1.Agent] = []
    last: tuple[int, str] | None = None
    while page := await store.list_agents(AgentQuery(tenant=TENANT, after=last, limit=2)):
        seen += [listed.agent for listed in page]
        last = nanoseconds(seen[-1].create_time), seen[-1].id
    assert seen == expected


async def test_an_update_from_another_etag_changes_nothing(store: Store) -> None:
    made = agent("one")
    await store.create_agent(TENANT, made, None, b"")
    changed = v1.Agent(id=made.id, name="two", etag="2", create_time=made.create_time)
    assert not await store.update_agent(TENANT, changed, "0")
    assert not await store.update_agent("other", changed, "1")
    assert await store.agent(TENANT, made.id) == made
    assert await store.update_agent(TENANT, changed, "1")
    assert not await store.update_agent(TENANT, made, "1")
    assert await store.agent(TENANT, made.id) == changed


async def test_an_agent_with_open_runs_is_not_deleted(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    await flush_one(store, accept(lane))
    assert await store.delete_agent(TENANT, lane) == {"active_runs": 2}
    following = await run_to_end(store, claim)
    assert await store.delete_agent(TENANT, lane) == {"active_runs": 1}
    assert following is not None
    await flush_one(store, finish(following))
    assert await store.delete_agent(TENANT, lane) == {"active_runs": 0}


async def test_an_agent_is_deleted_by_its_tenant_only(store: Store) -> None:
    lane = await new_lane(store)
    assert await store.delete_agent("other", lane) is None
    assert await store.delete_agent(TENANT, "agent-of-nobody") is None
    assert await store.agent(TENANT, lane) is not None


async def test_a_deleted_agent_leaves_nothing_behind_and_its_neighbour_whole(store: Store) -> None:
    gone, stays = await new_lane(store), await new_lane(store)
    runs = []
    for lane in (gone, stays):
        claim = await claim_of(store, accept(lane, otids=["o"], request_id=f"r-{lane}"))
        done = progress(lane, claim.run, step=v1.Step(id="step"))
        await flush_one(store, done)
        again = await claim_of(store, accept(await new_lane(store)))
        await run_to_end(store, again)
        ended = progress(lane, done.run, v1.RUN_STATUS_COMPLETED)
        await flush_one(store, ended)
        runs.append(ended.run)
    assert await store.delete_agent(TENANT, gone) == {"active_runs": 0}
    assert await store.agent(TENANT, gone) is None
    assert await stored(store, runs[0].id) is None
    assert await store.events(runs[0].id, 0, 10) == await store.steps(runs[0].id) == []
    assert await store.history(gone, 1 << 62, 1000) == History([], is_whole=True)
    assert await store.list_runs(RunQuery(tenant=TENANT, otid="o")) == [runs[1]]
    assert await flush_one(store, accept(gone)) == LaneMissing()
    assert len(await store.events(runs[1].id, 0, 10)) == 3
    assert len(await store.steps(runs[1].id)) == 1
