"""The outbox: a delivery is written with its run's end, handed out to one replica at a time, kept until it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from sendoff import v1
from sendoff_server.clock import SECOND_NS, nanoseconds, timestamp
from sendoff_server.store.items import AttemptNoted, Item, NoteAttempt, Progress
from sendoff_server.store.port import DEFAULT_TENANT, POSITION_SHIFT, Fenced, Store, StoreFailed
from sendoff_server.store.questions import Delivery, RunDeletion, receiver_of
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    action,
    after,
    cancel_queued,
    claim_of,
    finish,
    flush_one,
    message,
    new_lane,
    next_of,
    placed,
    settle,
    start,
    stop,
    stopped,
    stored,
)

URL = "https://shop.example/hooks/1"
DUE_NS = 1_000 * SECOND_NS
LATER_NS = 2_000 * SECOND_NS


def called_back(url: str = URL) -> v1.Run:
    """What a run has whose end is to be told."""
    return v1.Run(callback=v1.CallbackSummary(url=url))


def ending(item: Progress, due_ns: int = DUE_NS) -> Progress:
    item.run.callback.next_attempt_time.CopyFrom(timestamp(due_ns))
    return item


async def ended(store: Store, url: str = URL, *, due_ns: int = DUE_NS, tenant: str = DEFAULT_TENANT) -> v1.Run:
    lane = await new_lane(store, tenant)
    claim = await claim_of(store, accept(lane, run=called_back(url), tenant=tenant))
    done = ending(finish(claim), due_ns)
    await next_of(store, done)
    return done.run


async def due(
    store: Store, now_ns: int = DUE_NS, limit: int = 100, per_receiver: int = 100, **room: int
) -> list[Delivery]:
    return await store.claim_deliveries(now_ns, limit, per_receiver, room)


def attempt(delivery: Delivery, error: str = "", status: int | None = None, **more: Any) -> NoteAttempt:
    made = v1.DeliveryAttempt(start_time=timestamp(DUE_NS), duration_ns=5, status_code=status, error=error)
    return NoteAttempt(delivery_id=delivery.id, attempt=made, **more)


async def note(store: Store, delivery: Delivery, error: str = "", **more: Any) -> v1.Run | None:
    """As `attempt`. The run, if it shows it."""
    noted = await flush_one(store, attempt(delivery, error, **more))
    assert isinstance(noted, AttemptNoted)
    return noted.run


async def test_a_run_that_ends_with_a_callback_is_in_the_outbox_and_no_other_is(store: Store) -> None:
    run = await ended(store)
    lane = await new_lane(store)
    await next_of(store, finish(await claim_of(store, accept(lane))))

    (delivery,) = await due(store)
    assert (delivery.run, delivery.url, delivery.receiver) == (run, URL, "shop.example:443")
    assert (delivery.tenant, delivery.attempts, delivery.kind) == (DEFAULT_TENANT, 0, "run.finished")
    assert delivery.create_ns == nanoseconds(run.callback.next_attempt_time) == DUE_NS


async def test_a_run_that_has_not_ended_is_not_in_the_outbox(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store), run=called_back()))
    await flush_one(store, start(claim))
    assert await due(store) == []
    assert (await store.outbox()).open == 0


@pytest.mark.parametrize("status", ["failed", "cancelled", "cancelled in the queue", "stopped"])
async def test_every_way_to_end_puts_it_into_the_outbox(store: Store, status: str) -> None:
    lane = await new_lane(store)
    if status == "cancelled in the queue":
        await claim_of(store, accept(lane))
        item = accept(lane, run=called_back())
        await placed(store, item)
        done = cancel_queued(item)
    else:
        claim = await claim_of(store, accept(lane, run=called_back()))
        done = stop(claim) if status == "stopped" else finish(claim)
        if status != "stopped":
            done.run.status = v1.RUN_STATUS_FAILED if status == "failed" else v1.RUN_STATUS_CANCELLED
    await next_of(store, ending(done))

    (delivery,) = await due(store)
    assert delivery.run == done.run
    assert delivery.kind == ("run.action_required" if status == "stopped" else "run.finished")


async def test_an_end_that_is_not_written_delivers_nothing(store: Store, database: Database) -> None:
    claim = await claim_of(store, accept(await new_lane(store), run=called_back()))
    large = [message(claim.run, claim.seq << POSITION_SHIFT, "x" * 1_000_000)]
    async with database.writes_fail(store):
        with pytest.raises(StoreFailed):
            await store.flush([replace(ending(finish(claim)), messages=large)])
    assert (await store.outbox()).open == 0
    outdated = ending(finish(claim))
    await next_of(store, outdated)
    await flush_one(store, outdated)
    assert len(await due(store)) == 1


async def test_nobody_is_handed_what_is_not_due_or_is_held(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        await ended(one, due_ns=DUE_NS)
        await ended(one, due_ns=LATER_NS)
        assert await due(two, DUE_NS - 1) == []
        assert len(await due(two)) == 1
        assert await due(one) == await due(two) == []
        assert len(await due(one, LATER_NS)) == 1
        assert (await one.outbox()).open == 2


async def test_an_attempt_is_shown_by_the_run_and_changes_nothing_else_of_it(store: Store) -> None:
    run = await ended(store)
    (delivery,) = await due(store)
    shown = await note(store, delivery, status=500, error="it answered 500", next_attempt_ns=LATER_NS)

    assert shown is not None
    assert shown == await stored(store, run.id)
    assert shown.callback == v1.CallbackSummary(
        url=URL,
        last_attempt_time=timestamp(DUE_NS),
        last_status_code=500,
        last_error="it answered 500",
        attempts=1,
        next_attempt_time=timestamp(LATER_NS),
    )
    assert shown.etag != run.etag
    shown.callback.CopyFrom(run.callback)
    shown.etag = run.etag
    assert shown == run
    assert [event.sequence for event in await store.events(run.id, 0, 100)] == list(range(1, run.last_sequence + 1))


async def test_a_delivery_goes_with_its_run_whether_it_waits_or_is_being_tried(store: Store) -> None:
    runs = [await ended(store), await ended(store)]
    (tried,) = await due(store, limit=1)
    for run in runs:
        assert await store.delete_run(DEFAULT_TENANT, run.id) is RunDeletion.DELETED
    assert await note(store, tried) is None
    assert await due(store) == []
    assert (await store.outbox()).open == 0


async def test_what_failed_is_due_again_at_its_time_under_the_same_id(store: Store) -> None:
    await ended(store)
    (first,) = await due(store)
    await note(store, first, error="refused", next_attempt_ns=LATER_NS)

    assert await due(store, LATER_NS - 1) == []
    (second,) = await due(store, LATER_NS)
    assert (second.id, second.attempts, second.create_ns) == (first.id, 1, first.create_ns)


@pytest.mark.parametrize("error", ["", "gone"])
async def test_what_is_delivered_or_given_up_is_never_due_again(store: Store, error: str) -> None:
    await ended(store)
    (delivery,) = await due(store)
    shown = await note(store, delivery, status=200 if not error else 410, error=error)

    assert shown is not None
    assert shown.callback.dead_lettered == bool(error)
    assert not shown.callback.HasField("next_attempt_time")
    assert shown.callback.last_error == error
    assert await due(store, 10 * LATER_NS) == []
    assert (await store.outbox()).open == 0


async def test_a_success_wipes_the_error_before_it(store: Store) -> None:
    await ended(store)
    (delivery,) = await due(store)
    await note(store, delivery, error="refused", next_attempt_ns=DUE_NS)
    (delivery,) = await due(store)
    shown = await note(store, delivery, status=204)
    assert shown is not None
    assert (shown.callback.attempts, shown.callback.last_status_code) == (2, 204)
    assert not shown.callback.HasField("last_error")


async def test_only_who_holds_a_delivery_notes_an_attempt_and_only_once(database: Database) -> None:
    async with database.replica() as one, database.replica() as two:
        run = await ended(one)
        (delivery,) = await due(one)
        assert await note(two, delivery, status=200) is None
        twice = attempt(delivery, status=200)
        first, second = await one.flush([twice, twice])
        assert isinstance(first, AttemptNoted)
        assert first.run is not None
        assert second == AttemptNoted(held=False) == await flush_one(one, twice)
        assert (await one.runs(DEFAULT_TENANT, [run.id]))[run.id].callback.attempts == 1


async def test_attempts_of_many_deliveries_are_noted_in_one_batch(store: Store) -> None:
    runs = [await ended(store) for _ in range(5)]
    deliveries = await due(store)
    noted = await store.flush([attempt(each) for each in deliveries])
    assert [cast(AttemptNoted, each).run.id for each in noted] == [run.id for run in runs]  # type: ignore[union-attr]
    assert (await store.outbox()).open == 0


async def test_a_dead_replica_notes_nothing_and_what_it_held_is_due_at_once(database: Database) -> None:
    async with database.replica() as dead, database.replica() as living:
        await ended(dead)
        (held,) = await due(dead)
        database.age_beats(60)
        await living.beat()
        await living.reap(30)
        with pytest.raises(Fenced):
            await note(dead, held, status=200)
        with pytest.raises(Fenced):
            await ended(dead)
        assert await due(living) == [held]


async def test_who_leaves_gives_back_what_he_held(database: Database) -> None:
    async with database.replica() as leaving:
        await ended(leaving)
        held = await due(leaving)
    async with database.replica() as next_one:
        assert await due(next_one) == held


async def test_a_receiver_with_a_long_queue_keeps_no_other_one_waiting(store: Store) -> None:
    for number in range(20):
        await ended(store, "http://slow.example/hook", due_ns=DUE_NS - (100 - number) * 1_000)
    await ended(store, "http://quick.example:8080/hook", due_ns=DUE_NS)

    first = await due(store, limit=5, per_receiver=4)
    assert [each.receiver for each in first] == ["slow.example:80"] * 4 + ["quick.example:8080"]
    ended_at = [each.create_ns for each in first]
    assert ended_at == sorted(ended_at)
    assert await due(store, per_receiver=4, **{"slow.example:80": 0}) == []
    assert len(await due(store, per_receiver=4, **{"slow.example:80": 1})) == 1
    assert len(await due(store, per_receiver=4)) == 4
    assert (await store.outbox()).open == 21


async def test_a_limit_takes_those_that_are_due_the_longest(store: Store) -> None:
    for number in (3, 1, 2):
        await ended(store, f"http://{number}.example/", due_ns=DUE_NS - number * 1_000)
    assert [each.receiver for each in await due(store, limit=2)] == ["3.example:80", "2.example:80"]


async def test_a_delivery_belongs_to_the_tenant_of_its_run(store: Store) -> None:
    await ended(store, tenant="other")
    (delivery,) = await due(store)
    assert delivery.tenant == "other"
    assert await store.runs(DEFAULT_TENANT, [delivery.run.id]) == {}


async def test_deliveries_go_with_their_agent(store: Store) -> None:
    run = await ended(store)
    other = await ended(store)
    held = await due(store, limit=1)
    assert held[0].run == run
    assert await store.delete_agent(DEFAULT_TENANT, run.agent_id) == {"active_runs": 0}
    assert await note(store, held[0], status=200) is None
    assert [each.run for each in await due(store)] == [other]


async def test_an_attempt_and_what_settles_the_run_are_both_shown_in_either_order(store: Store) -> None:
    for settled_first in (True, False):
        lane = await new_lane(store)
        claim = await claim_of(store, accept(lane, run=called_back()))
        opener = ending(stop(claim, action("call-1", claim.run)))
        await next_of(store, opener)
        (delivery,) = await due(store)
        following = await claim_of(store, accept(lane))
        items: list[Item] = [
            attempt(delivery, status=200),
            settle(following),
        ]
        await store.flush(items[::-1] if settled_first else items)
        shown = await stored(store, opener.run.id)
        assert shown is not None
        assert shown.callback.last_status_code == 200
        assert shown.continued_by_run_id == following.run.id
        assert not shown.pending_actions
        await next_of(store, finish(after(following, settle(following))))


async def test_a_run_without_a_callback_that_stopped_is_not_in_the_outbox(store: Store) -> None:
    await stopped(store, await new_lane(store))
    assert await due(store) == []


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("http://a.example/x", "a.example:80"),
        ("HTTPS://A.example/x", "a.example:443"),
        ("https://user:pass@a.example:8443/", "a.example:8443"),
        ("http://[::1]:80/", "::1:80"),
    ],
)
def test_deliveries_to_one_host_and_port_share_a_limit(url: str, receiver: str) -> None:
    assert receiver_of(url) == receiver
