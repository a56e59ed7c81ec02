"""Endpoints are kept with their secrets, each tenant's for itself, and what waits goes to where they are now."""

from __future__ import annotations

import asyncio

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.store.items import Full, Key, Mismatched
from sendoff_server.store.port import DEFAULT_TENANT, Fenced, Store
from sendoff_server.store.questions import Endpoint, Secret
from tests.contract.databases import Database
from tests.contract.making import new_lane
from tests.contract.outbox_making import (
    EVERYTHING,
    attempt,
    change,
    changed,
    due,
    endpoint,
    listed,
    note,
    pulled,
    registered,
    run_once,
)

KEY = Key("request", "k")


async def create(store: Store, of: Endpoint, fingerprint: bytes = b"", most: int = 50) -> object:
    return await store.create_endpoint(DEFAULT_TENANT, of, KEY, fingerprint, most)


async def test_an_endpoint_is_read_as_it_was_written_with_its_secrets(store: Store) -> None:
    made = endpoint(event_types=EVERYTHING, include_run=True, description="shop", agent_id=ids.new("agent"))
    made = Endpoint(made.told, [Secret("whsec_new"), Secret("whsec_old", 12_345)])
    assert await store.create_endpoint(DEFAULT_TENANT, made, None, b"", 50) == made
    assert await store.endpoint(DEFAULT_TENANT, made.told.id) == made
    assert "whsec" not in repr(await store.endpoint(DEFAULT_TENANT, made.told.id))


async def test_the_same_request_makes_one_endpoint(store: Store) -> None:
    first = endpoint()
    assert await create(store, first) == first
    assert await create(store, endpoint()) == first
    assert await create(store, endpoint(), b"another") == Mismatched(KEY, first.told.id)
    later = await change(store, first, description="later")
    assert await create(store, endpoint()) == later
    assert await store.delete_endpoint(DEFAULT_TENANT, first.told.id)
    assert await create(store, second := endpoint()) == second
    assert isinstance(await store.create_endpoint("other", endpoint(), KEY, b"", 50), Endpoint)


async def test_a_tenant_has_no_more_of_them_than_it_may(store: Store) -> None:
    first = endpoint()
    assert await create(store, first, most=2) == first
    await registered(store)
    await registered(store, tenant="other")
    assert await store.create_endpoint(DEFAULT_TENANT, endpoint(), None, b"", 2) == Full()
    assert await create(store, endpoint(), most=2) == first, "a repeat is no further one"
    assert await store.delete_endpoint(DEFAULT_TENANT, first.told.id)
    assert isinstance(await store.create_endpoint(DEFAULT_TENANT, endpoint(), None, b"", 2), Endpoint)


async def test_many_that_are_made_at_once_are_no_more_than_allowed(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        made = await asyncio.gather(
            *(each.create_endpoint(DEFAULT_TENANT, endpoint(), None, b"", 5) for each in (one, two) * 5)
        )
        assert sum(isinstance(each, Endpoint) for each in made) == 5
        assert made.count(Full()) == 5


async def test_they_are_listed_newest_first_in_pages(store: Store) -> None:
    made = [(await registered(store)).told for _ in range(5)]
    made.append((await registered(store, create_time=made[-1].create_time)).told)
    expected = sorted(made, key=lambda each: (each.create_time.seconds, each.id), reverse=True)
    found: list[v1.CallbackEndpoint] = []
    while page := await store.list_endpoints(DEFAULT_TENANT, _place(found), 2):
        assert len(page) <= 2
        found += page
    assert found == expected


def _place(found: list[v1.CallbackEndpoint]) -> tuple[int, str] | None:
    return (found[-1].create_time.ToNanoseconds(), found[-1].id) if found else None


async def test_a_change_is_written_over_what_it_was_made_from_only(store: Store) -> None:
    of = await registered(store)
    newer = changed(of, url="https://new.example/", description="new")
    assert await store.update_endpoint(DEFAULT_TENANT, newer, of.told.etag)
    assert not await store.update_endpoint(DEFAULT_TENANT, changed(of, description="late"), of.told.etag)
    assert not await store.update_endpoint("other", changed(newer, description="x"), newer.told.etag)
    assert not await store.update_endpoint(DEFAULT_TENANT, endpoint(), "1"), "there is none of that id"
    assert await store.endpoint(DEFAULT_TENANT, of.told.id) == newer


async def test_what_waits_goes_to_the_new_url_under_the_new_secrets(store: Store) -> None:
    of = await registered(store)
    await run_once(store)
    newer = changed(of, url="http://new.example:81/")
    newer = Endpoint(newer.told, [Secret("whsec_new"), *of.secrets])
    assert await store.update_endpoint(DEFAULT_TENANT, newer, of.told.etag)
    assert await due(store, **{"new.example:81": 0}) == [], "it counts as the new receiver's"
    (delivery,) = await due(store)
    assert (delivery.url, delivery.receiver) == ("http://new.example:81/", "new.example:81")
    assert delivery.endpoint == delivery.signed_by == newer
    assert [each.url for each in await listed(store)] == ["http://new.example:81/"]


async def test_what_comes_later_is_chosen_by_what_it_says_then(store: Store) -> None:
    of = await registered(store, event_types=EVERYTHING)
    await run_once(store)
    await change(store, of, event_types=("run.started",))
    await run_once(store)
    assert [each.event_type for each in await listed(store)] == ["run.started", "run.finished", "run.started"]


async def test_an_endpoint_that_is_enabled_again_gets_what_comes_then(store: Store) -> None:
    of = await registered(store, disabled=True)
    await run_once(store)
    await change(store, of, disabled=False)
    run = await run_once(store)
    assert [each.run for each in await due(store)] == [run]


async def test_an_endpoint_goes_with_its_deliveries(store: Store) -> None:
    gone, stays = await registered(store), await registered(store, "https://stays.example/")
    for _ in range(5):
        await run_once(store)
    held = next(each for each in await due(store, limit=4) if each.endpoint == gone)
    await note(store, held, "refused", next_attempt_ns=1)
    (again,) = [each for each in await due(store) if each.id == held.id]

    assert await store.delete_endpoint(DEFAULT_TENANT, gone.told.id)
    assert not await store.delete_endpoint(DEFAULT_TENANT, gone.told.id)
    assert await store.endpoint(DEFAULT_TENANT, gone.told.id) is None
    assert not (await note(store, again)).held
    assert await store.delivery(DEFAULT_TENANT, held.id) is None
    assert await listed(store, endpoint_id=gone.told.id) == []
    assert {each.endpoint_id for each in await listed(store)} == {stays.told.id}
    assert len(await listed(store)) == 5
    await run_once(store)
    assert len(await listed(store)) == 6


async def test_an_endpoint_of_a_deleted_agent_stays(store: Store) -> None:
    agent_id = await new_lane(store)
    of = await registered(store, agent_id=agent_id)
    await store.delete_agent(DEFAULT_TENANT, agent_id)
    assert await store.endpoint(DEFAULT_TENANT, of.told.id) == of


async def test_another_tenant_sees_and_changes_nothing(store: Store) -> None:
    of, queue = await registered(store), await registered(store, None)
    await run_once(store)
    before = await listed(store)
    (mine,) = await due(store)
    await note(store, mine, "gone")
    dead = (await listed(store, statuses=[v1.DELIVERY_STATUS_DEAD_LETTERED]))[0]

    assert await store.endpoint("other", of.told.id) is None
    assert await store.list_endpoints("other", None, 10) == []
    assert not await store.update_endpoint("other", changed(of, disabled=True), of.told.etag)
    assert not await store.delete_endpoint("other", of.told.id)
    assert await store.delivery("other", dead.id) is None
    for query in ({}, {"run_id": dead.run_id}, {"endpoint_id": of.told.id}, {"run_id": dead.run_id, "endpoint_id": ""}):
        assert await listed(store, "other", **query) == []
    assert await store.redeliver("other", [dead.id], 1) == 0
    assert await store.redeliver_missed("other", of.told.id, 0, 1) == 0
    assert await pulled(store, queue, tenant="other") == []
    assert await store.delivery(DEFAULT_TENANT, dead.id) == dead
    assert len(await listed(store)) == len(before) == 2
    assert len(await pulled(store, queue)) == 1


async def test_a_replica_that_was_declared_dead_changes_no_endpoint(database: Database) -> None:
    async with database.replica() as dead, database.replica() as living:
        of = await registered(dead)
        database.age_beats(60)
        await living.beat()
        await living.reap(30)
        for change_it in (
            lambda: registered(dead),
            lambda: dead.update_endpoint(DEFAULT_TENANT, changed(of, disabled=True), of.told.etag),
            lambda: dead.delete_endpoint(DEFAULT_TENANT, of.told.id),
            lambda: dead.redeliver(DEFAULT_TENANT, ["x"], 1),
            lambda: dead.redeliver_missed(DEFAULT_TENANT, of.told.id, 0, 1),
        ):
            with pytest.raises(Fenced):
                await change_it()
        assert await living.endpoint(DEFAULT_TENANT, of.told.id) == of


# ---- endpoints without a URL ----


async def test_what_is_pulled_is_handed_to_those_who_pull_it_and_to_nobody_else(store: Store) -> None:
    of, other = await registered(store, None, event_types=EVERYTHING), await registered(store, None)
    run = await run_once(store)
    assert await due(store) == []
    (first,) = await pulled(store, of)
    assert (first.kind, first.url, first.receiver, first.endpoint, first.run) == ("run.started", "", "", of, run)
    assert await pulled(store, of) == [], "the end comes behind the start"
    assert (await note(store, first)).held
    assert [each.kind for each in await pulled(store, of)] == ["run.finished"]
    assert [each.endpoint for each in await pulled(store, other)] == [other]
    assert not any(each.HasField("url") for each in await listed(store))


async def test_an_endpoint_with_a_url_is_not_pulled(store: Store) -> None:
    of = await registered(store)
    await run_once(store)
    assert await pulled(store, of) == []


async def test_what_is_pulled_comes_longest_due_first_and_no_more_than_asked_for(store: Store) -> None:
    of = await registered(store, None)
    runs = [await run_once(store) for _ in range(4)]
    first = await pulled(store, of, limit=3)
    assert [each.run for each in first] == runs[:3]
    for delivery, next_ns in zip(first, (3, 2, 1), strict=True):
        await note(store, delivery, "nack", next_attempt_ns=next_ns)
    assert [each.run for each in await pulled(store, of)] == [runs[2], runs[1], runs[0], runs[3]]


async def test_two_replicas_share_what_is_pulled_and_what_a_dead_one_held_is_due_again(database: Database) -> None:
    async with database.replica() as dead, database.replica() as living:
        of = await registered(dead, None)
        for _ in range(10):
            await run_once(dead)
        both = [await pulled(dead, of, limit=1)]
        both += await asyncio.gather(*(pulled(each, of, limit=3) for each in (living, dead) * 2))
        ids_of = [each.id for part in both for each in part]
        assert len(ids_of) == len(set(ids_of)) <= 10
        held = [each for part in both[::2] for each in part]
        while rest := await pulled(living, of, limit=3):
            ids_of += [each.id for each in rest]
        assert len(ids_of) == len(set(ids_of)) == 10
        database.age_beats(60)
        await living.beat()
        await living.reap(30)
        assert {each.id for each in await pulled(living, of)} == {each.id for each in held}
        with pytest.raises(Fenced):
            await dead.flush([attempt(held[0])])
