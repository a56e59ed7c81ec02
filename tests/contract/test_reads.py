"""Reads: what was written, of the tenant that asks, in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key
from sendoff_server.store.port import POSITION_SHIFT, Store
from sendoff_server.store.questions import AgentQuery, History, Queued, RunQuery
from tests.contract.making import (
    accept,
    after,
    cancel_queued,
    claim_of,
    finish,
    flush_one,
    message,
    new_lane,
    next_time,
    progress,
    run_to_end,
    start,
    turn,
)

TENANT = "default"


async def test_events_come_in_pages_without_a_gap(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    await flush_one(store, progress(claim.lane, claim.run, events=9))
    pages = [await store.events(claim.run.id, after_sequence, 4) for after_sequence in (0, 4, 8, 10)]
    assert [[event.sequence for event in page] for page in pages] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]
    assert {event.run_id for page in pages for event in page} == {claim.run.id}


async def test_events_of_one_run_are_not_those_of_its_neighbours(store: Store) -> None:
    lane = await new_lane(store)
    items = [accept(lane) for _ in range(3)]
    await store.flush(items)
    for item in items:
        assert await store.events(item.run.id, 0, 100) == [item.event]
    assert await store.events("run-of-nobody", 0, 100) == []


async def test_a_page_of_large_events_ends_after_about_four_megabytes(store: Store) -> None:
    claim = await claim_of(store, accept(await new_lane(store)))
    step = progress(claim.lane, claim.run, events=6)
    for event in step.events:
        event.message.assistant_message.content.text = "x" * 1_500_000
    await flush_one(store, step)
    page = await store.events(claim.run.id, 1, 100)
    assert [event.sequence for event in page] == [2, 3, 4]
    assert [event.sequence for event in await store.events(claim.run.id, 4, 100)] == [5, 6, 7]


async def test_messages_of_a_run_come_by_position(store: Store) -> None:
    lane = await new_lane(store)
    first = await claim_of(store, accept(lane))
    await flush_one(store, accept(lane))
    second = await run_to_end(store, first, texts=["a", "b", "c"])
    assert second is not None
    await flush_one(store, start(second, texts=["d"]))
    base = first.seq << POSITION_SHIFT
    found = await store.run_messages(first.run.id, -1, 10)
    assert [message.position for message in found] == [base, base + 1, base + 2]
    assert [message.position for message in await store.run_messages(first.run.id, base, 1)] == [base + 1]
    assert await store.run_messages(first.run.id, base + 2, 10) == []
    assert [_text(message) for message in await store.run_messages(second.run.id, -1, 10)] == ["d"]
    assert await store.run_messages("run-of-nobody", -1, 10) == []


async def test_history_is_the_newest_messages_oldest_first(store: Store) -> None:
    lane, texts = await _conversation(store, runs=70, messages=3)
    assert [_text(message) for message in (await store.history(lane, 1 << 62, 10_000_000)).messages] == texts
    before = (turn(30) << POSITION_SHIFT) + 1
    history = await store.history(lane, before, 10_000_000)
    assert [_text(message) for message in history.messages] == texts[: 29 * 3 + 1]
    assert history.is_whole


async def test_history_takes_whole_messages_while_they_fit_and_says_whether_all_did(store: Store) -> None:
    lane, texts = await _conversation(store, runs=70, messages=3)
    everything = (await store.history(lane, 1 << 62, 10_000_000)).messages
    sizes = [message.ByteSize() for message in everything]
    for count in (0, 1, 5, 63, 64, 65, 129, len(texts)):
        budget = sum(sizes[len(sizes) - count :])
        exact = await store.history(lane, 1 << 62, budget)
        assert exact.messages == everything[len(everything) - count :], f"{count} messages have {budget} bytes"
        assert exact.is_whole == (count == len(texts))
        if count:
            less = await store.history(lane, 1 << 62, budget - 1)
            assert (len(less.messages), less.is_whole) == (count - 1, False)


async def test_history_is_that_of_its_lane(store: Store) -> None:
    one, texts = await _conversation(store, runs=2, messages=1)
    other, _ = await _conversation(store, runs=1, messages=1)
    assert [_text(message) for message in (await store.history(one, 1 << 62, 10_000)).messages] == texts
    assert len((await store.history(other, 1 << 62, 10_000)).messages) == 1
    assert await store.history("agent-of-nobody", 1 << 62, 10_000) == History([], is_whole=True)


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65, 140])
@pytest.mark.parametrize("later", [0, 1, 62, 63, 64, 130])
async def test_history_begins_where_the_newest_compaction_says(store: Store, kept: int, later: int) -> None:
    """`kept` messages in front of the compaction are still shown, and `later` ones were written after it."""
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    base = claim.seq << POSITION_SHIFT
    written = [message(claim.run, base + 2 * place, "x" * (place % 7)) for place in range(150 + 1 + later)]
    written[5].context_start = base + 2
    written[150].context_start = base + 2 * (150 - kept)
    await flush_one(store, progress(lane, claim.run, messages=written))
    shown = written[150 - kept :]
    budget = sum(each.ByteSize() for each in shown)
    assert await store.history(lane, 1 << 62, budget) == History(shown, True, written[150])
    newest = written[150] if kept else None
    assert await store.history(lane, 1 << 62, budget - 1) == History(shown[1:], False, newest)
    assert (await store.history(lane, base + 2 * 150, 1 << 20)).messages == written[1:150]
    assert await store.run_messages(claim.run.id, -1, 1000) == written, "a compaction deletes nothing"


async def test_queued_tells_the_place_in_the_lane(store: Store) -> None:
    lane = await new_lane(store)
    claim = await claim_of(store, accept(lane))
    queued = [accept(lane) for _ in range(3)]
    await store.flush(queued)
    assert await store.queued(claim.run.id) == Queued(0, None)
    assert await store.queued(queued[2].run.id) == Queued(3, claim.run.id)
    await store.flush([cancel_queued(queued[0]), finish(claim)])
    assert await store.queued(queued[2].run.id) == Queued(1, queued[1].run.id)
    assert await store.queued(claim.run.id) is None
    assert await store.queued("run-of-nobody") is None


async def test_concurrent_reads_of_runs_each_get_their_own(store: Store) -> None:
    lane = await new_lane(store)
    items = [accept(lane) for _ in range(40)]
    await store.flush(items)
    asked = [[item.run.id, "run-of-nobody"] for item in items]
    found = await asyncio.gather(*(store.runs(TENANT, run_ids) for run_ids in asked))
    assert found == [{item.run.id: item.run} for item in items]


async def test_a_cancelled_read_disturbs_no_other(store: Store) -> None:
    item = accept(await new_lane(store))
    await flush_one(store, item)
    reads = [asyncio.ensure_future(store.runs(TENANT, [item.run.id])) for _ in range(6)]
    await asyncio.sleep(0)
    for read in reads[::2]:
        read.cancel()
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert results[1::2] == [{item.run.id: item.run}] * 3
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])


async def test_a_write_that_was_cancelled_leaves_a_store_that_works(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, request_id="r")
    flush = asyncio.ensure_future(store.flush([item]))
    await asyncio.sleep(0)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    again = await flush_one(store, accept(lane, request_id="r"))
    assert type(again).__name__ in ("Repeated", "Placed")
    assert len(await store.list_runs(RunQuery(tenant=TENANT))) == 1


# -- lists --


async def test_lists_of_runs_are_ordered_by_time_then_id(store: Store) -> None:
    lane, same = await new_lane(store), next_time()
    made = [v1.Run(id=f"run-{name}", create_time=same) for name in "bac"] + [
        v1.Run(id="run-0", create_time=next_time())
    ]
    await store.flush([accept(lane, run=run) for run in made])
    newest = await store.list_runs(RunQuery(tenant=TENANT))
    oldest = await store.list_runs(RunQuery(tenant=TENANT, newest_first=False))
    assert [run.id for run in newest] == ["run-0", "run-c", "run-b", "run-a"]
    assert oldest == newest[::-1]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_of_runs_leave_nothing_out_and_repeat_nothing(store: Store, newest_first: bool) -> None:
    lane, same = await new_lane(store), next_time()
    await store.flush([accept(lane, run=v1.Run(create_time=same)) for _ in range(5)])
    await store.flush([accept(lane) for _ in range(5)])
    seen: list[str] = []
    last: tuple[int, str] | None = None
    while page := await store.list_runs(
        RunQuery(tenant=TENANT, newest_first=newest_first, after=last, limit=3),
    ):
        seen += [run.id for run in page]
        last = nanoseconds(page[-1].create_time), page[-1].id
    whole = await store.list_runs(RunQuery(tenant=TENANT, newest_first=newest_first, limit=100))
    assert seen == [run.id for run in whole]
    assert len(seen) == 10


async def test_every_filter_of_a_list_of_runs_filters(store: Store) -> None:
    ours, other = await new_lane(store), await new_lane(store)
    names = await _four_runs(store, ours, other)
    completed, cancelled = v1.RUN_STATUS_COMPLETED, v1.RUN_STATUS_CANCELLED
    wanted: list[tuple[Mapping[str, object], set[str]]] = [
        ({}, {"done", "cancelled", "queued", "elsewhere"}),
        ({"lane": ours}, {"done", "cancelled", "queued"}),
        ({"agent_id": other}, {"elsewhere"}),
        ({"agent_id": other, "lane": ours}, set()),
        ({"statuses": [completed]}, {"done"}),
        ({"statuses": [completed, cancelled]}, {"done", "cancelled"}),
        ({"stop_reasons": [v1.STOP_REASON_CANCELLED]}, {"cancelled"}),
        ({"background": False}, {"elsewhere"}),
        ({"background": True, "active": True}, {"queued"}),
        ({"active": True}, {"queued", "elsewhere"}),
        ({"active": False}, {"done", "cancelled"}),
        ({"key": Key("request", "r-queued")}, {"queued"}),
        ({"key": Key(f"otid:{ours}", "o-done")}, {"done"}),
        ({"otid": "o-done"}, {"done", "elsewhere"}),
        ({"otid": "r-queued"}, set()),
        ({"otid": "o-done", "lane": other}, {"elsewhere"}),
    ]
    for filters, expected in wanted:
        query = RunQuery(tenant=TENANT, **filters)  # type: ignore[arg-type]  # one of many fields
        assert {names[run.id] for run in await store.list_runs(query)} == expected, filters


async def test_no_read_shows_what_belongs_to_another_tenant(store: Store) -> None:
    lane = await new_lane(store)
    item = accept(lane, otids=["o"], request_id="r")
    await claim_of(store, item)
    assert await store.runs("other", [item.run.id]) == {}
    assert await store.run_request("other", item.run.id) is None
    assert await store.agent("other", lane) is None
    assert await store.list_agents(AgentQuery(tenant="other", limit=10)) == []
    for filters in ({}, {"lane": lane}, {"agent_id": lane}, {"key": Key("request", "r")}, {"otid": "o"}):
        query = RunQuery(tenant="other", **filters)
        assert await store.list_runs(query) == [], filters
    assert await store.runs(TENANT, [item.run.id]) == {item.run.id: item.run}


async def test_reads_of_two_tenants_at_once_stay_apart(store: Store) -> None:
    ours, theirs = accept(await new_lane(store)), accept(await new_lane(store, "other"), tenant="other")
    await store.flush([ours, theirs])
    both = [ours.run.id, theirs.run.id]
    found = await asyncio.gather(*(store.runs(tenant, both) for tenant in (TENANT, "other", TENANT, "nobody")))
    assert found == [{ours.run.id: ours.run}, {theirs.run.id: theirs.run}, {ours.run.id: ours.run}, {}]


async def _conversation(store: Store, *, runs: int, messages: int) -> tuple[str, list[str]]:
    """A lane in which every run wrote messages of different lengths, and all their texts."""
    lane = await new_lane(store)
    items = [accept(lane) for _ in range(runs)]
    claim = await claim_of(store, items[0])
    await store.flush(items[1:])
    texts: list[str] = []
    for number in range(runs):
        written = [f"{number}.{index} " + "x" * (number * 7 % 50) for index in range(messages)]
        texts += written
        started = start(claim, texts=written)
        _, recorded = await store.flush([started, finish(after(claim, started))])
        claim = getattr(recorded, "next", None) or claim
    return lane, texts


async def _four_runs(store: Store, ours: str, other: str) -> dict[str, str]:
    """Runs in different states; their names by id."""
    done = accept(ours, otids=["o-done"])
    cancelled, queued = accept(ours), accept(ours, request_id="r-queued")
    elsewhere = accept(other, otids=["o-done"], run=v1.Run(background=False))
    elsewhere.run.background = False
    claim = await claim_of(store, done)
    await store.flush([cancelled, queued, elsewhere, finish(claim)])
    ending = cancel_queued(cancelled)
    ending.run.stop_reason = v1.STOP_REASON_CANCELLED
    await flush_one(store, ending)
    named = {"done": done, "cancelled": cancelled, "queued": queued, "elsewhere": elsewhere}
    return {item.run.id: name for name, item in named.items()}


def _text(message: v1.Message) -> str:
    return message.assistant_message.content.text
