"""Replicas: the dead cannot write, the living take over, and nothing that was promised is lost."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from sendoff_server.store.items import Cancel, MarkCancel, Recorded
from sendoff_server.store.port import DEFAULT_TENANT, Fenced, NewerSchema, Store
from tests.contract.databases import Database
from tests.contract.making import accept, after, agent, claim_of, finish, flush_one, new_lane, run_to_end, start, stored

ROOT = Path(__file__).parents[2]


async def test_every_start_is_a_new_replica(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        assert one.replica_id != two.replica_id


async def test_a_replica_that_beats_is_not_reaped(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        database.age_beats(60)
        await one.beat()
        assert await two.reap(30) == 0
        await one.beat()


async def test_a_silent_replica_is_reaped_once_and_its_lanes_are_free(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        claim = await claim_of(one, accept(lane))
        started = start(claim)
        await flush_one(one, started)
        database.age_beats(60)
        await two.beat()
        assert await two.reap(30) == 1
        assert await two.reap(30) == 0
        assert await two.claim(10) == [after(claim, started)]


async def test_a_replica_does_not_reap_itself(store: Store, database: Database) -> None:
    database.age_beats(60)
    assert await store.reap(30) == 0
    await store.beat()


async def test_a_reaped_replica_can_write_nothing(database: Database) -> None:
    async with database.replica() as dead, database.replica() as living:
        lane = await new_lane(dead)
        item = accept(lane)
        claim = await claim_of(dead, item)
        await _reap(database, living)
        for late in (start(claim), accept(lane)):
            with pytest.raises(Fenced):
                await dead.flush([late])
        with pytest.raises(Fenced):
            await dead.beat()
        with pytest.raises(Fenced):
            await dead.claim(10)
        with pytest.raises(Fenced):
            await dead.reap(1)
        with pytest.raises(Fenced):
            await dead.create_agent(DEFAULT_TENANT, agent(), None, b"")
        with pytest.raises(Fenced):
            await dead.update_agent(DEFAULT_TENANT, agent(), "1")
        with pytest.raises(Fenced):
            await dead.delete_agent(DEFAULT_TENANT, lane)
        assert await stored(dead, item.run.id) == item.run
        (taken,) = await living.claim(10)
        assert await flush_one(living, finish(taken)) == Recorded(None)


async def test_a_reaped_replica_leaves_without_touching_what_others_hold(database: Database) -> None:
    async with database.replica() as living:
        async with database.replica() as dead:
            await claim_of(dead, accept(await new_lane(dead)))
            await _reap(database, living)
            (taken,) = await living.claim(10)
        assert await living.claim(10) == []
        assert await flush_one(living, start(taken)) == Recorded(None)


async def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    async with database.replica():
        pass
    database.claim_newer_schema()
    with pytest.raises(NewerSchema, match="9999"):
        async with database.replica():
            pass


async def test_a_database_of_a_newer_version_that_lets_this_one_stay_is_worked_on(database: Database) -> None:
    async with database.replica():
        pass
    database.claim_newer_schema(oldest=1)
    async with database.replica() as store:
        claim = await claim_of(store, accept(await new_lane(store)))
        assert await flush_one(store, finish(claim)) == Recorded(None)


async def test_what_was_accepted_outlives_a_kill(database: Database) -> None:
    arguments = (sys.executable, "-m", "tests.contract.accept_until_killed", database.address)
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        told = [await process.stdout.readline() for _ in range(201)]
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    # A line that the kill has cut off was not told.
    run_ids = [line.decode().strip() for line in [*told[1:], *rest.splitlines(keepends=True)] if line.endswith(b"\n")]
    async with database.replica() as store:
        found = await store.runs(DEFAULT_TENANT, run_ids)
        assert found.keys() == set(run_ids)
        assert len(run_ids) >= 200
        logs = [await store.events(run_id, 0, 10) for run_id in run_ids[:50]]
        assert all([event.sequence for event in log] == [1] for log in logs)
        database.age_beats(60)
        await store.beat()
        assert await store.reap(30) == 1
        assert len(await store.claim(10)) == 4


async def _reap(database: Database, living: Store) -> None:
    """Everybody else is dead."""
    database.age_beats(60)
    await living.beat()
    assert await living.reap(30) == 1


# ---- what one replica learns of another ----


async def test_the_mark_of_a_run_is_another_one_whenever_it_is_written(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        item = accept(await new_lane(one))
        claim = await claim_of(one, item)
        run_id, seen = claim.run.id, []
        seen.append(await two.run_marks([run_id, "run-unknown"]))
        assert await two.run_marks([run_id]) == seen[0]
        started = start(claim)
        await flush_one(one, started)
        seen.append(await two.run_marks([run_id]))
        await flush_one(one, finish(after(claim, started)))
        seen.append(await two.run_marks([run_id]))
    assert len({marks[run_id] for marks in seen}) == 3
    assert all(marks.keys() == {run_id} for marks in seen)


async def test_a_deleted_run_has_no_mark(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    await run_to_end(store, claim)
    await store.delete_run(DEFAULT_TENANT, claim.run.id)
    assert await store.run_marks([claim.run.id, "no\0ne"]) == {}


async def test_a_replica_learns_what_another_one_cancels_until_it_has_ended(database: Database) -> None:
    cancel = Cancel(reason="enough", rollback=True)
    async with database.replica() as one, database.replica() as two:
        claims = [await claim_of(one, accept(await new_lane(one))) for _ in range(2)]
        for claim in claims:
            await flush_one(one, start(claim))
        cancelled = after(claims[0], start(claims[0]))
        assert await one.wanted_cancels() == []
        await flush_one(two, MarkCancel(DEFAULT_TENANT, cancelled.run.id, cancel))
        assert await one.wanted_cancels() == [(cancelled.run.id, cancel)]
        assert await two.wanted_cancels() == []
        await flush_one(one, finish(cancelled))
        assert await one.wanted_cancels() == []
