"""Deliveries are told with their attempts, page by page, and tried again from the beginning for who asks for it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.store.items import AttemptNoted, NoteAttempt
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import (
    RUN_FINISHED,
    RUN_STARTED,
    Delivery,
    DeliveryQuery,
    Endpoint,
    ListedDelivery,
    RunDeletion,
)
from tests.contract.databases import Database
from tests.contract.making import accept, after, claim_of, finish, flush_one, new_conversation, next_of, start, stored
from tests.contract.outbox_making import (
    ATTEMPT_NS,
    EVERYTHING,
    URL,
    attempt,
    change,
    due,
    listed,
    note,
    pulled,
    registered,
    run_once,
)

PENDING, DELIVERED = v1.DELIVERY_STATUS_PENDING, v1.DELIVERY_STATUS_DELIVERED
DEAD = v1.DELIVERY_STATUS_DEAD_LETTERED
NOW_NS = 5_000 * SECOND_NS


async def told(store: Store, delivery_id: str) -> v1.Delivery:
    found = await store.delivery(DEFAULT_TENANT, delivery_id)
    assert found is not None
    return found


async def pages(store: Store, size: int, **query: Any) -> list[ListedDelivery]:
    found: list[ListedDelivery] = []
    while page := await store.list_deliveries(
        DeliveryQuery(tenant=DEFAULT_TENANT, before=found[-1].place if found else None, limit=size, **query)
    ):
        assert len(page) <= size
        found += page
    return found


# ---- told ----


async def test_a_delivery_is_told_as_it_stands(store: Store) -> None:
    of = await registered(store)
    run = await run_once(store)
    (waiting,) = await listed(store)
    assert waiting == v1.Delivery(
        id=waiting.id,
        run_id=run.id,
        sequence=run.last_sequence,
        event_type=RUN_FINISHED,
        endpoint_id=of.told.id,
        url=URL,
        status=PENDING,
        create_time=waiting.create_time,
        next_attempt_time=waiting.create_time,
    )
    (delivery,) = await due(store)
    assert (await told(store, delivery.id)).status == PENDING
    tried = attempt(delivery, "it answered 500", status=500, next_attempt_ns=NOW_NS)
    assert tried.attempt is not None
    tried.attempt.response_excerpt = "oops"
    await flush_one(store, tried)
    waiting.attempts.append(tried.attempt)
    waiting.attempt_count = 1
    waiting.next_attempt_time.CopyFrom(timestamp(NOW_NS))
    assert await told(store, delivery.id) == waiting

    (delivery,) = await due(store)
    await note(store, delivery, status=204)
    done = await told(store, delivery.id)
    assert (done.status, done.attempt_count, len(done.attempts)) == (DELIVERED, 2, 2)
    assert not done.HasField("next_attempt_time")


async def test_the_last_twenty_attempts_are_kept_oldest_first(store: Store) -> None:
    await registered(store)
    await run_once(store)
    for number in range(1, 26):
        (delivery,) = await due(store)
        await note(store, delivery, f"failure {number}", next_attempt_ns=1)
        shown = await told(store, delivery.id)
        assert shown.attempt_count == number
        assert [each.error for each in shown.attempts] == [
            f"failure {each}" for each in range(max(1, number - 19), number + 1)
        ]


async def test_one_that_is_given_up_without_an_attempt_says_why(store: Store) -> None:
    await registered(store)
    await run_once(store)
    (delivery,) = await due(store)
    await note(store, delivery, "refused", next_attempt_ns=1)
    (delivery,) = await due(store)
    assert (await flush_one(store, NoteAttempt(delivery_id=delivery.id, attempt=None, error="disabled"))) == (
        AttemptNoted(held=True)
    )
    shown = await told(store, delivery.id)
    assert (shown.status, shown.attempt_count) == (DEAD, 1)
    assert [each.error for each in shown.attempts] == ["refused", "disabled"]
    assert shown.attempts[1].start_time.seconds > 0


async def test_one_that_is_put_back_was_not_tried(store: Store) -> None:
    await registered(store)
    await run_once(store, callback=v1.CallbackSummary(url="https://own.example/"))
    for delivery in await due(store):
        await flush_one(store, NoteAttempt(delivery_id=delivery.id, attempt=None, next_attempt_ns=NOW_NS))
    assert await store.claim_deliveries(NOW_NS - 1, 10, 10, {}) == []
    for delivery in await store.claim_deliveries(NOW_NS, 10, 10, {}):
        shown = await told(store, delivery.id)
        assert (shown.attempt_count, list(shown.attempts), delivery.attempts) == (0, [], 0)
        assert delivery.run.callback.attempts == 0
        assert not delivery.run.callback.HasField("last_error")


async def test_the_own_callback_that_is_given_up_without_an_attempt_says_why_in_the_run(store: Store) -> None:
    run = await run_once(store, callback=v1.CallbackSummary(url="https://own.example/"))
    (delivery,) = await due(store)
    noted = await flush_one(store, NoteAttempt(delivery_id=delivery.id, attempt=None, error="no secrets"))
    assert isinstance(noted, AttemptNoted)
    assert noted.run is not None
    assert noted.run == await stored(store, run.id)
    callback = v1.CallbackSummary(url="https://own.example/", last_error="no secrets", dead_lettered=True)
    assert noted.run.callback == callback


async def test_a_delivery_that_does_not_exist_is_none(store: Store) -> None:
    assert await store.delivery(DEFAULT_TENANT, "delivery-x") is None


async def test_lists_tell_what_was_asked_for_newest_first_in_pages_of_any_size(store: Store) -> None:
    one, two = await registered(store, event_types=EVERYTHING), await registered(store, "https://b.example/")
    runs = [await run_once(store, callback=v1.CallbackSummary(url="https://own.example/")) for _ in range(4)]
    await registered(store, tenant="other")
    await run_once(store, "other")
    for number, delivery in enumerate(await due(store)):
        if number % 3:
            await note(store, delivery, "" if number % 3 == 1 else "gone")
    everything = await pages(store, 100)
    assert len(everything) == 16
    places = [each.place for each in everything]
    assert places == sorted(set(places), reverse=True)
    assert [each.delivery.run_id for each in everything[:4]] == [runs[3].id] * 4
    assert {each.delivery.status for each in everything} == {PENDING, DELIVERED, DEAD}

    for run_id, endpoint_id, statuses, size in itertools.product(
        (None, runs[1].id, "run-x"),
        (None, one.told.id, two.told.id, "endpoint-x"),
        ((), (DEAD,), (PENDING, DELIVERED), (DEAD, DEAD, PENDING, DELIVERED)),
        (1, 3, 100),
    ):
        expected = [
            each
            for each in everything
            if run_id in (None, each.delivery.run_id)
            and endpoint_id in (None, each.delivery.endpoint_id)
            and (not statuses or each.delivery.status in statuses)
        ]
        assert await pages(store, size, run_id=run_id, endpoint_id=endpoint_id, statuses=statuses) == expected


async def test_a_page_with_too_many_long_answers_tells_the_last_one_of_each(store: Store) -> None:
    await registered(store)
    for _ in range(120):
        await run_once(store)
    excerpt = "\U0001f355" * 500
    for number in range(20):
        held = await due(store, limit=1_000, per_receiver=1_000)
        noted = [attempt(each, f"failure {number}", next_attempt_ns=1) for each in held]
        for item in noted:
            assert item.attempt is not None
            item.attempt.response_excerpt = excerpt
        await store.flush(noted)
    page = await listed(store, limit=1_000)
    assert [[each.error for each in delivery.attempts] for delivery in page] == [["failure 19"]] * 120
    assert sum(delivery.ByteSize() for delivery in page) < 4_000_000
    assert len((await listed(store, limit=50))[0].attempts) == 20
    assert len((await told(store, page[0].id)).attempts) == 20


# ---- tried again ----


async def given_up(store: Store, *errors: str) -> list[Delivery]:
    """What is due, given up, or delivered where the error is empty."""
    found = await due(store)
    for delivery, error in zip(found, errors or ["gone"] * len(found), strict=True):
        await note(store, delivery, error)
    return found


async def test_what_is_done_or_given_up_is_tried_again_as_if_it_were_new_under_its_id(store: Store) -> None:
    await registered(store)
    await run_once(store)
    await run_once(store)
    before = await given_up(store, "", "gone")
    ids = [each.id for each in before]
    assert await store.redeliver(DEFAULT_TENANT, [*ids, "delivery-x"], NOW_NS) == 2
    shown = await told(store, ids[0])
    assert (shown.status, shown.attempt_count) == (PENDING, 1)
    assert shown.next_attempt_time == timestamp(NOW_NS)
    assert shown.create_time.seconds > NOW_NS // SECOND_NS, "it is still told when it was written"
    assert await store.claim_deliveries(NOW_NS - 1, 10, 10, {}) == []
    again = await store.claim_deliveries(NOW_NS, 10, 10, {})
    assert {(each.id, each.create_ns, each.attempts) for each in again} == {(each, NOW_NS, 1) for each in ids}
    await note(store, again[0])
    assert (await told(store, again[0].id)).attempt_count == 2


async def test_a_redelivery_of_what_is_pending_changes_nothing(store: Store) -> None:
    await registered(store)
    await run_once(store)
    (waiting,) = await listed(store)
    assert await store.redeliver(DEFAULT_TENANT, [waiting.id], NOW_NS) == 0
    assert await listed(store) == [waiting]
    (held,) = await due(store)
    assert await store.redeliver(DEFAULT_TENANT, [waiting.id], NOW_NS) == 0
    assert await due(store) == []
    assert (await note(store, held)).held


async def test_one_that_was_given_up_without_an_attempt_forgets_that_when_it_is_tried_again(store: Store) -> None:
    of = await registered(store, disabled=True)
    await run_once(store)
    (missed,) = await listed(store)
    await change(store, of, disabled=False)
    assert await store.redeliver(DEFAULT_TENANT, [missed.id], NOW_NS) == 1
    assert list((await told(store, missed.id)).attempts) == []
    (delivery,) = await due(store)
    await note(store, delivery)
    assert (await told(store, missed.id)).status == DELIVERED


async def test_what_is_tried_again_of_one_run_comes_in_order(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    await run_once(store)
    first, second = *await given_up(store), *await given_up(store)
    for ids in ([second.id, first.id], [first.id, second.id]):
        assert await store.redeliver(DEFAULT_TENANT, ids, NOW_NS) == 2
        assert [each.kind for each in await given_up(store)] == [RUN_STARTED]
        assert [each.kind for each in await given_up(store)] == [RUN_FINISHED]
    assert await store.redeliver(DEFAULT_TENANT, [second.id], NOW_NS) == 1
    assert await store.redeliver(DEFAULT_TENANT, [first.id], NOW_NS) == 1
    assert [each.kind for each in await given_up(store)] == [RUN_STARTED], "the end is pending and not under way"
    assert [each.kind for each in await given_up(store)] == [RUN_FINISHED]


async def test_an_end_that_is_under_way_waits_when_it_comes_back_for_a_start_that_is_tried_again(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    await run_once(store)
    (first,) = await given_up(store)
    (second,) = await due(store)
    assert await store.redeliver(DEFAULT_TENANT, [first.id], NOW_NS) == 1
    await note(store, second, "refused", next_attempt_ns=1)
    assert [each.kind for each in await given_up(store)] == [RUN_STARTED]
    assert [each.kind for each in await due(store)] == [RUN_FINISHED]


async def test_a_run_shows_that_its_callback_is_tried_again_and_what_comes_of_it(store: Store) -> None:
    callback = v1.CallbackSummary(url="https://own.example/", event_types=(RUN_FINISHED,))
    run = await run_once(store, callback=callback)
    (delivery,) = await given_up(store)
    before = await stored(store, run.id)
    assert before is not None
    assert before.callback.dead_lettered
    assert await store.redeliver(DEFAULT_TENANT, [delivery.id], NOW_NS) == 1
    shown = await stored(store, run.id)
    assert shown is not None
    assert shown.callback == v1.CallbackSummary(
        url="https://own.example/",
        event_types=(RUN_FINISHED,),
        attempts=1,
        last_attempt_time=timestamp(ATTEMPT_NS),
        last_error="gone",
        next_attempt_time=timestamp(NOW_NS),
    )
    assert shown.etag != before.etag
    shown.callback.CopyFrom(before.callback)
    shown.etag = before.etag
    assert shown == before, "nothing else of it changes"
    (again,) = await due(store)
    noted = await note(store, again, status=200)
    assert noted.run is not None
    assert (noted.run.callback.attempts, noted.run.callback.dead_lettered) == (2, False)


async def test_what_an_endpoint_missed_is_tried_again_in_its_order(store: Store) -> None:
    of = await registered(store, disabled=True, event_types=EVERYTHING)
    other = await registered(store, "https://b.example/", disabled=True)
    runs = [await run_once(store) for _ in range(3)]
    of, _ = await change(store, of, disabled=False), await change(store, other, disabled=False)
    delivered = await run_once(store)
    for _ in range(2):
        for delivery in await due(store):
            await note(store, delivery)
    assert await store.redeliver_missed(DEFAULT_TENANT, of.told.id, 0, NOW_NS) == 6
    assert await store.redeliver_missed(DEFAULT_TENANT, of.told.id, 0, NOW_NS) == 0
    seen = []
    while found := await due(store):
        for delivery in found:
            assert (delivery.endpoint, delivery.create_ns) == (of, NOW_NS)
            seen.append((delivery.run.id, delivery.kind))
            await note(store, delivery)
    assert seen == [(run.id, kind) for kind in (RUN_STARTED, RUN_FINISHED) for run in runs]
    assert delivered.id not in {run_id for run_id, _ in seen}
    assert {each.status for each in await listed(store, endpoint_id=other.told.id)} == {DELIVERED, DEAD}


async def test_what_was_missed_before_that_time_is_left(store: Store) -> None:
    of = await registered(store, disabled=True)
    for _ in range(3):
        await run_once(store)
    missed = (await listed(store))[::-1]
    since_ns = missed[1].create_time.ToNanoseconds()
    assert await store.redeliver_missed(DEFAULT_TENANT, of.told.id, since_ns, NOW_NS) == 2
    assert [each.status for each in (await listed(store))[::-1]] == [DEAD, PENDING, PENDING]


async def test_what_a_pulled_endpoint_gave_up_is_pulled_again(store: Store) -> None:
    of = await registered(store, None)
    await run_once(store)
    (delivery,) = await pulled(store, of)
    await note(store, delivery, "too long")
    assert await pulled(store, of) == []
    assert await store.redeliver_missed(DEFAULT_TENANT, of.told.id, 0, NOW_NS) == 1
    assert [each.id for each in await pulled(store, of)] == [delivery.id]


# ---- they go with what they tell of ----


@pytest.mark.parametrize("what", ["run", "agent", "conversation"])
async def test_deliveries_go_with_their_run_agent_and_conversation(database: Database, what: str) -> None:
    async with database.replica() as store:
        await registered(store, event_types=EVERYTHING)
        other = await run_once(store)
        agent_id = (await run_once(store)).agent_id
        lane = await new_conversation(store, agent_id) if what == "conversation" else agent_id
        claim = await claim_of(store, accept(lane, agent_id=agent_id if lane != agent_id else None))
        await flush_one(store, started := start(claim))
        held = [each for each in await due(store) if each.run.id == claim.run.id]
        await note(store, held[0], "refused", next_attempt_ns=1)
        await next_of(store, finish(after(claim, started)))
        (again,) = [each for each in await due(store) if each.run.id == claim.run.id]

        if what == "run":
            assert await store.delete_run(DEFAULT_TENANT, claim.run.id) is RunDeletion.DELETED
        elif what == "agent":
            assert await store.delete_agent(DEFAULT_TENANT, agent_id) == {"active_runs": 0}
        else:
            assert await store.delete_conversation(DEFAULT_TENANT, lane) == {"active_runs": 0}
        assert await listed(store, run_id=claim.run.id) == []
        assert await store.delivery(DEFAULT_TENANT, again.id) is None
        assert not (await note(store, again)).held
        assert claim.run.id not in {each.run.id for each in await due(store)}
        assert len(await listed(store, run_id=other.id)) == 2


async def test_no_attempt_outlives_its_delivery(store: Store) -> None:
    """A number that is given again must not bring the attempts of an earlier delivery."""
    of = await registered(store)
    run = await run_once(store)
    await given_up(store)
    await store.delete_run(DEFAULT_TENANT, run.id)
    await run_once(store)
    (new,) = await listed(store)
    assert list(new.attempts) == []
    await given_up(store)
    await store.delete_endpoint(DEFAULT_TENANT, of.told.id)
    assert isinstance(await registered(store), Endpoint)
    await run_once(store)
    (new,) = await listed(store)
    assert list(new.attempts) == []


async def test_an_attempt_is_kept_to_the_microsecond_that_it_began(store: Store) -> None:
    await registered(store)
    await run_once(store)
    (delivery,) = await given_up(store)
    (shown,) = (await told(store, delivery.id)).attempts
    assert shown == v1.DeliveryAttempt(start_time=timestamp(ATTEMPT_NS), duration_ns=5, error="gone")
