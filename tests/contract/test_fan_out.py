"""The start and the end of a run bring a delivery to each endpoint of its tenant that wants it, in the same commit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sendoff import v1
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.store.items import AttemptNoted, Item, NoteAttempt, Recorded
from sendoff_server.store.port import DEFAULT_TENANT, POSITION_SHIFT, Poisoned, Store, StoreFailed
from sendoff_server.store.questions import ACTION_REQUIRED, RUN_FINISHED, RUN_STARTED, Outbox
from tests.contract.databases import Database
from tests.contract.making import (
    accept,
    after,
    cancel_queued,
    claim_of,
    finish,
    flush_one,
    message,
    new_conversation,
    new_lane,
    next_of,
    placed,
    progress,
    run_to_end,
    start,
    stop,
    stored,
)
from tests.contract.outbox_making import (
    ATTEMPT_NS,
    EVERYTHING,
    RECEIVER,
    attempt,
    change,
    due,
    kinds,
    listed,
    note,
    registered,
    run_once,
)

PENDING, DEAD = v1.DELIVERY_STATUS_PENDING, v1.DELIVERY_STATUS_DEAD_LETTERED


async def test_a_start_and_an_end_bring_one_delivery_each_in_their_order(store: Store) -> None:
    of = await registered(store, event_types=EVERYTHING)
    claim = await claim_of(store, accept(await new_lane(store)))
    started = start(claim)
    await flush_one(store, started)
    (first,) = await due(store)
    assert (first.kind, first.sequence, first.endpoint, first.signed_by) == (RUN_STARTED, 2, of, of)
    assert (first.run, first.url, first.receiver) == (started.run, of.told.url, RECEIVER)

    ended = finish(after(claim, started))
    await next_of(store, ended)
    assert await due(store) == [], "it comes behind the first"
    assert await note(store, first) == AttemptNoted(held=True)
    (second,) = await due(store)
    assert (second.kind, second.sequence, second.run) == (RUN_FINISHED, ended.run.last_sequence, ended.run)
    assert await stored(store, ended.run.id) == ended.run, "a run shows its own callback only"


async def test_nothing_is_told_where_nobody_listens(store: Store) -> None:
    await run_once(store)
    assert await listed(store) == await due(store) == []
    assert await store.outbox() == Outbox(open=0, has_endpoints=False)
    await registered(store, tenant="other", event_types=EVERYTHING)
    await run_once(store)
    assert await listed(store) == []
    assert await store.outbox() == Outbox(open=0, has_endpoints=True)


@pytest.mark.parametrize("wanted", [(), (RUN_STARTED,), (ACTION_REQUIRED,), (RUN_FINISHED,), EVERYTHING], ids=str)
@pytest.mark.parametrize("last", [ACTION_REQUIRED, RUN_FINISHED])
async def test_an_endpoint_gets_what_it_wants_and_by_default_both_ends(
    store: Store, wanted: tuple[str, ...], last: str
) -> None:
    await registered(store, event_types=wanted)
    claim = await claim_of(store, accept(await new_lane(store)))
    await flush_one(store, started := start(claim))
    claim = after(claim, started)
    await next_of(store, finish(claim) if last == RUN_FINISHED else stop(claim))
    told = [each.event_type for each in reversed(await listed(store))]
    assert told == [kind for kind in (RUN_STARTED, last) if kind in (wanted or (ACTION_REQUIRED, RUN_FINISHED))]


async def test_an_endpoint_of_an_agent_gets_the_runs_of_all_its_conversations_and_no_others(store: Store) -> None:
    agent_id, other = await new_lane(store), await new_lane(store)
    await registered(store, "https://one.example/", agent_id=agent_id)
    await registered(store, "https://all.example/")
    conversation_id = await new_conversation(store, agent_id)
    for lane, of in ((agent_id, None), (conversation_id, agent_id), (other, None)):
        await run_to_end(store, await claim_of(store, accept(lane, agent_id=of)))
    urls = [each.url for each in await due(store)]
    assert (urls.count("https://one.example/"), urls.count("https://all.example/")) == (2, 3)


async def test_each_tenant_has_its_own_endpoints(store: Store) -> None:
    await registered(store, "https://a.example/", tenant="a")
    await registered(store, "https://b.example/", tenant="b")
    run = await run_once(store, "a")
    (delivery,) = await due(store)
    assert (delivery.url, delivery.tenant, delivery.run) == ("https://a.example/", "a", run)


@pytest.mark.parametrize("status", ["failed", "cancelled", "cancelled in the queue", "stopped"])
async def test_every_way_to_end_is_told(store: Store, status: str) -> None:
    await registered(store, event_types=EVERYTHING)
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    if status == "cancelled in the queue":
        await placed(store, item := accept(lane))
        done = cancel_queued(item)
    else:
        done = stop(claim) if status == "stopped" else finish(claim)
        if status != "stopped":
            done.run.status = v1.RUN_STATUS_FAILED if status == "failed" else v1.RUN_STATUS_CANCELLED
    await next_of(store, done)
    (delivery,) = await due(store)
    assert delivery.run == done.run
    assert delivery.kind == (ACTION_REQUIRED if status == "stopped" else RUN_FINISHED)


async def test_a_run_that_was_never_started_has_no_start(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    lane = await new_lane(store)
    await claim_of(store, accept(lane))
    await placed(store, queued := accept(lane))
    await next_of(store, cancel_queued(queued))
    assert [each.event_type for each in await listed(store)] == [RUN_FINISHED]


async def test_a_run_that_starts_again_after_a_crash_has_one_start(database: Database) -> None:
    async with database.replica() as dying:
        await registered(dying, event_types=EVERYTHING)
        await flush_one(dying, start(await claim_of(dying, accept(await new_lane(dying)))))
    async with database.replica() as living:
        (claim,) = await living.claim(10)
        await flush_one(living, again := start(claim))
        await next_of(living, finish(after(claim, again)))
        assert [each.event_type for each in await listed(living)] == [RUN_FINISHED, RUN_STARTED]


async def test_a_run_that_starts_and_ends_in_one_step_has_both_in_their_order(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    claim = await claim_of(store, accept(await new_lane(store)))
    once = progress(claim.lane, claim.run, v1.RUN_STATUS_FAILED, events=3)
    once.events[1].state_changed.status = v1.RUN_STATUS_RUNNING
    await next_of(store, once)
    (first,) = await due(store)
    assert (first.kind, first.sequence) == (RUN_STARTED, 3)
    await note(store, first)
    (second,) = await due(store)
    assert (second.kind, second.sequence, second.run.status) == (RUN_FINISHED, 4, v1.RUN_STATUS_FAILED)


async def test_a_step_that_is_not_written_tells_nothing_and_one_that_is_repeated_tells_once(
    store: Store, database: Database
) -> None:
    await registered(store, event_types=EVERYTHING)
    claim = await claim_of(store, accept(await new_lane(store)))
    started = start(claim)
    large = [message(claim.run, claim.seq << POSITION_SHIFT, "x" * 1_000_000)]
    async with database.writes_fail(store):
        with pytest.raises(StoreFailed):
            await store.flush([replace(started, messages=large)])
    assert await listed(store) == []
    for step in (started, finish(after(claim, started))):
        await flush_one(store, step)
        await flush_one(store, step)
    assert [each.event_type for each in await listed(store)] == [RUN_FINISHED, RUN_STARTED]


async def test_an_item_that_cannot_be_told_fails_alone(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    claims = [await claim_of(store, accept(await new_lane(store))) for _ in range(3)]
    steps = [start(claim) for claim in claims]
    steps[1].run.callback.url = "gopher://a.example/"
    steps[1].run.callback.event_types.append(RUN_STARTED)
    results = await store.flush(steps)
    assert [type(result) for result in results] == [Recorded, Poisoned, Recorded]
    assert {each.run_id for each in await listed(store)} == {claims[0].run.id, claims[2].run.id}


async def test_many_runs_and_endpoints_in_one_batch(store: Store) -> None:
    for number in range(7):
        await registered(store, f"https://{number}.example/", event_types=EVERYTHING)
    claims = [await claim_of(store, accept(await new_lane(store))) for _ in range(50)]
    starts = [start(claim) for claim in claims]
    await store.flush(starts)
    ends = [finish(after(claim, step)) for claim, step in zip(claims, starts, strict=True)]
    await store.flush(ends)
    everything = await listed(store, limit=1_000)
    assert len(everything) == len({each.id for each in everything}) == 700
    assert len({(each.run_id, each.endpoint_id, each.event_type) for each in everything}) == 700
    assert {each.kind for each in await due(store, limit=1_000)} == {RUN_STARTED}


# ---- what comes later waits for what comes first ----


@pytest.mark.parametrize("outcome", ["delivered", "given up", "given up without an attempt"])
async def test_the_end_is_due_once_the_start_is_done_whatever_came_of_it(store: Store, outcome: str) -> None:
    of = await registered(store, event_types=EVERYTHING)
    other = await registered(store, "https://other.example/", event_types=EVERYTHING)
    await run_once(store)
    first = {each.url: each for each in await due(store)}[of.told.url]
    if outcome == "given up without an attempt":
        await flush_one(store, NoteAttempt(delivery_id=first.id, attempt=None, error="no"))
    else:
        await note(store, first, "" if outcome == "delivered" else "gone")
    assert kinds(await due(store)) == [(of.told.url, RUN_FINISHED)], f"{other.told.url} has not got its first"


async def test_the_end_waits_while_the_start_is_tried_again(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    await run_once(store)
    for _ in range(3):
        (first,) = await due(store)
        assert first.kind == RUN_STARTED
        await note(store, first, "refused", next_attempt_ns=1)


async def test_an_end_in_the_same_batch_as_the_attempt_at_the_start_does_not_wait(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    for attempt_first in (True, False):
        claim = await claim_of(store, accept(await new_lane(store)))
        await flush_one(store, started := start(claim))
        (first,) = await due(store)
        items: list[Item] = [attempt(first), finish(after(claim, started))]
        await store.flush(items if attempt_first else items[::-1])
        (second,) = await due(store)
        assert second.kind == RUN_FINISHED


async def test_what_waits_is_not_handed_out_when_the_holder_of_the_first_dies(database: Database) -> None:
    async with database.replica() as dead, database.replica() as living:
        await registered(dead, event_types=EVERYTHING)
        await run_once(dead)
        held = await due(dead)
        database.age_beats(60)
        await living.beat()
        await living.reap(30)
        assert await due(living) == held
        await note(living, held[0])
        assert [each.kind for each in await due(living)] == [RUN_FINISHED]


# ---- disabled endpoints ----


async def test_what_a_disabled_endpoint_misses_is_a_dead_letter_at_once(store: Store) -> None:
    of = await registered(store, event_types=EVERYTHING)
    await change(store, of, disabled=True)
    await run_once(store)
    assert await due(store) == []
    for delivery in await listed(store):
        (shown,) = delivery.attempts
        assert (delivery.status, shown.error) == (DEAD, "the endpoint is disabled")
        assert shown.start_time == delivery.create_time
        assert (delivery.attempt_count, delivery.HasField("next_attempt_time")) == (0, False)


async def test_what_waits_for_an_endpoint_that_is_disabled_is_handed_out_and_says_so(store: Store) -> None:
    of = await registered(store)
    await run_once(store)
    await change(store, of, disabled=True)
    (delivery,) = await due(store)
    assert delivery.endpoint is not None
    assert delivery.endpoint.told.disabled


async def test_an_attempt_disables_its_endpoint_for_what_comes_in_the_same_batch(store: Store) -> None:
    of, other = await registered(store), await registered(store, "https://other.example/")
    await run_once(store)
    first = {each.url: each for each in await due(store)}[of.told.url]
    claim = await claim_of(store, accept(await new_lane(store)))
    gone = attempt(first, "the receiver answered 410", status=410, disables="the receiver answered 410")
    await store.flush([gone, finish(claim)])

    told = await store.endpoint(DEFAULT_TENANT, of.told.id)
    assert told is not None
    assert (told.told.disabled, told.told.disabled_reason) == (True, "the receiver answered 410")
    assert told.told.etag != of.told.etag
    assert told.told.HasField("update_time")
    assert told.secrets == of.secrets
    statuses = {each.endpoint_id: each.status for each in await listed(store, run_id=claim.run.id)}
    assert statuses == {of.told.id: DEAD, other.told.id: PENDING}


async def test_an_endpoint_that_was_disabled_before_keeps_its_reason(store: Store) -> None:
    of = await registered(store)
    await run_once(store)
    (delivery,) = await due(store)
    disabled = await change(store, of, disabled=True)
    await note(store, delivery, "gone", disables="another reason")
    assert await store.endpoint(DEFAULT_TENANT, of.told.id) == disabled


async def test_an_endpoint_that_has_another_url_by_now_is_not_disabled_for_what_the_old_one_said(store: Store) -> None:
    of = await registered(store)
    await run_once(store)
    (delivery,) = await due(store)
    moved = await change(store, of, url="https://moved.example/")
    claim = await claim_of(store, accept(await new_lane(store)))
    await store.flush([attempt(delivery, "gone", status=410, disables="gone"), finish(claim)])

    assert await store.endpoint(DEFAULT_TENANT, of.told.id) == moved
    assert [each.status for each in await listed(store, run_id=claim.run.id)] == [PENDING]


# ---- the run's own callback ----


@pytest.mark.parametrize("wanted", [(RUN_STARTED,), (RUN_FINISHED,), EVERYTHING], ids=str)
async def test_a_run_calls_back_for_what_it_says(store: Store, wanted: tuple[str, ...]) -> None:
    at = timestamp(7 * SECOND_NS)
    callback = v1.CallbackSummary(url="https://own.example/", event_types=wanted, next_attempt_time=at)
    run = await run_once(store, callback=callback)
    seen = []
    while found := await due(store):
        (delivery,) = found
        seen.append(delivery.kind)
        assert (delivery.url, delivery.receiver) == ("https://own.example/", "own.example:443")
        assert (delivery.endpoint, delivery.signed_by) == (None, None)
        noted = await note(store, delivery, "no", status=500)
        if delivery.kind == RUN_STARTED:
            assert noted == AttemptNoted(held=True), "the run shows attempts at its end only"
        else:
            assert noted.run is not None
            assert noted.run.callback.attempts == 1
            assert noted.run.callback.last_attempt_time == timestamp(ATTEMPT_NS)
            assert delivery.create_ns == 7 * SECOND_NS
    assert seen == [kind for kind in (RUN_STARTED, RUN_FINISHED) if kind in wanted]
    shown = await stored(store, run.id)
    assert shown is not None
    assert (shown == run) == (wanted == (RUN_STARTED,))


async def test_a_run_is_signed_for_by_the_endpoint_that_it_names_while_there_is_one(store: Store) -> None:
    signer = await registered(store, None, tenant="other")
    other_tenants = await registered(store, event_types=(RUN_STARTED,))
    for named, expected in ((signer.told.id, None), (other_tenants.told.id, other_tenants)):
        callback = v1.CallbackSummary(url="https://own.example/", event_types=(RUN_FINISHED,), secret_id=named)
        run = await run_once(store, callback=callback)
        (own,) = [each for each in await due(store) if each.endpoint is None]
        assert (own.run, own.signed_by) == (run, expected)
        await note(store, own, "again", next_attempt_ns=1)
        await store.delete_endpoint(DEFAULT_TENANT, named)
        (own,) = [each for each in await due(store) if each.endpoint is None]
        assert own.signed_by is None
        await note(store, own)


async def test_only_callbacks_of_runs_themselves_are_counted(store: Store) -> None:
    await registered(store, event_types=EVERYTHING)
    callback = v1.CallbackSummary(url="https://own.example/", event_types=EVERYTHING)
    await run_once(store, callback=callback)
    assert await store.outbox() == Outbox(open=2, has_endpoints=True)
    started = await due(store)
    assert await store.outbox() == Outbox(open=2, has_endpoints=True), "held ones count"
    for delivery in started:
        await note(store, delivery)
    assert (await store.outbox()).open == 1


async def test_endpoints_that_are_made_while_runs_start_and_end_miss_no_end_of_theirs(database: Database) -> None:
    """Two replicas: one registers and deletes, the other runs."""
    async with database.replica() as one, database.replica() as two:
        lanes = [await new_lane(two) for _ in range(10)]

        async def run(lane: str) -> v1.Run:
            claim = await claim_of(two, accept(lane))
            await flush_one(two, started := start(claim))
            await next_of(two, ended := finish(after(claim, started)))
            return ended.run

        early = await registered(one, event_types=EVERYTHING)
        running = asyncio.gather(*(run(lane) for lane in lanes))
        short_lived = await registered(one, "https://short.example/", event_types=EVERYTHING)
        assert await one.delete_endpoint(DEFAULT_TENANT, short_lived.told.id)
        runs = await running
        told = await listed(one, limit=1_000)
        assert {each.endpoint_id for each in told} == {early.told.id}
        assert {(each.run_id, each.event_type) for each in told} == {
            (run.id, kind) for run in runs for kind in (RUN_STARTED, RUN_FINISHED)
        }
