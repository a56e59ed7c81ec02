"""The dispatcher, on a real outbox, with receivers and time in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sendoff import v1
from sendoff_server.callbacks import dispatcher
from sendoff_server.callbacks.breaker import FIRST_PAUSE_S, PATIENCE, PER_RECEIVER, Breaker
from sendoff_server.callbacks.courier import Courier
from sendoff_server.callbacks.dispatcher import POLL_S, Dispatcher
from sendoff_server.callbacks.secrets import EndpointSecrets
from sendoff_server.callbacks.signing import Signer
from sendoff_server.clock import SystemClock, timestamp
from sendoff_server.encryption.sealer import Sealer
from sendoff_server.errors import OutboxFull, RunNotFound
from sendoff_server.outgoing.guard import Guard
from sendoff_server.outgoing.port import Answer, NotAnswered, Sender
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.items import Item, Result
from sendoff_server.store.port import DEFAULT_TENANT, StoreFailed
from sendoff_server.store.questions import Delivery
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.contract.making import accept, claim_of, finish, new_lane
from tests.fixtures.clock import ManualClock
from tests.unit.callbacks.receivers import OK, PATIENCE_S, Receivers

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Desk:
    """An outbox, and who brings it about."""

    def __init__(self, store: SqliteStore, clock: ManualClock, **limits: int) -> None:
        self.store = store
        self.clock = clock
        self.receivers = Receivers()
        self.opened = 0
        self.noted: asyncio.Queue[v1.Run | None] = asyncio.Queue()
        self.commits = GroupCommit(store, SystemClock(), self._on_result)
        courier = Courier(
            self._open,
            Signer([SECRET]),
            clock,
            give_up_s=72 * 3_600.0,
            chance=lambda: 0.5,
            secrets=EndpointSecrets(Sealer()),
        )
        at_once, most_open = limits.get("at_once", 100), limits.get("most_open", 1_000)
        guard = Guard((), frozenset({80}))
        breaker = Breaker(at_once, lambda: 0.5)
        self.dispatcher = Dispatcher(
            store, self.commits, courier, breaker, guard, clock, at_once=at_once, most_open=most_open
        )

    async def _open(self) -> Sender:
        self.opened += 1
        return self.receivers

    def _on_result(self, item: Item, result: Result) -> None:
        self.dispatcher.on_result(item, result)
        if hasattr(item, "delivery_id"):
            self.noted.put_nowait(result.run)  # type: ignore[union-attr]  # AttemptNoted

    async def payload(self, delivery: Delivery) -> str:
        return f'{{"run_id":"{delivery.run.id}"}}'

    async def ended(self, url: str = OK) -> v1.Run:
        """A run that ends now, and is to be told there."""
        run = v1.Run(callback=v1.CallbackSummary(url=url))
        done = finish(await claim_of(self.store, accept(await new_lane(self.store), run=run)))
        done.run.callback.next_attempt_time.CopyFrom(timestamp(self.clock.now_ns()))
        await self.commits.submit(done)
        return done.run

    async def attempt_noted(self) -> v1.Run:
        """The run that shows the next attempt."""
        async with asyncio.timeout(PATIENCE_S):
            run = await self.noted.get()
        assert run is not None
        return run

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and the dispatcher poll behind it."""
        for span_s in (seconds, POLL_S):
            await self._asleep()
            await self.clock.advance(span_s)
        await self._asleep()

    async def _asleep(self) -> None:
        """Wait until the dispatcher waits for time to pass: for its next poll, and its next count."""
        async with asyncio.timeout(PATIENCE_S):
            while self.clock.sleepers < 2:  # noqa: ASYNC110  # the clock tells nobody
                await asyncio.sleep(0.001)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    monkeypatch.setattr(dispatcher, "GATHER_S", 0)
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "store.db", synchronous="NORMAL") as opened:
        yield opened


@pytest.fixture
async def desk(store: SqliteStore, clock: ManualClock) -> AsyncIterator[Desk]:
    made = Desk(store, clock)
    async with made.commits.running(), made.dispatcher.running(made.payload):
        yield made


async def test_the_end_of_a_run_is_told_at_once(desk: Desk) -> None:
    run = await desk.ended()
    shown = await desk.attempt_noted()

    (got,) = desk.receivers.got
    assert (got.url, got.body) == (OK, f'{{"run_id":"{run.id}"}}')
    assert got.headers["sendoff-attempt"] == "1"
    assert (shown.id, shown.callback.last_status_code, shown.callback.attempts) == (run.id, 200, 1)
    assert (await desk.store.outbox()).open == 0


async def test_what_failed_is_tried_again_at_its_time_under_one_id_until_it_is_delivered(desk: Desk) -> None:
    desk.receivers.answers[OK] = [Answer(500), NotAnswered("no connection"), Answer(307), Answer(202)]
    await desk.ended()
    for pause_s, told in ((2.0, "answered 500"), (6.0, "no connection"), (18.0, "answered 307")):
        run = await desk.attempt_noted()
        callback = run.callback
        assert told in callback.last_error
        assert callback.HasField("last_status_code") == ("answered" in told)
        assert callback.next_attempt_time == timestamp(desk.clock.now_ns() + int(pause_s * 1e9))
        before = len(desk.receivers.got)
        await desk.pass_time(pause_s - POLL_S - 0.1)
        assert len(desk.receivers.got) == before
        await desk.pass_time(0.1)

    run = await desk.attempt_noted()
    assert (run.callback.attempts, run.callback.last_status_code) == (4, 202)
    assert not run.callback.HasField("next_attempt_time")
    assert [got.headers["sendoff-attempt"] for got in desk.receivers.got] == ["1", "2", "3", "4"]
    assert len({got.headers["webhook-id"] for got in desk.receivers.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in desk.receivers.got}) == 4
    assert len({got.body for got in desk.receivers.got}) == 1


async def test_a_receiver_that_is_gone_gets_no_more(desk: Desk) -> None:
    desk.receivers.answers[OK] = [Answer(410)]
    await desk.ended()
    run = await desk.attempt_noted()
    assert run.callback.dead_lettered
    assert not run.callback.HasField("next_attempt_time")
    await desk.pass_time(100 * 3_600)
    assert len(desk.receivers.got) == 1


async def test_it_is_given_up_after_its_time(desk: Desk) -> None:
    desk.receivers.answers[OK] = [Answer(500)] * 100
    await desk.ended()
    attempts = 0
    while not (run := await desk.attempt_noted()).callback.dead_lettered:
        attempts += 1
        assert run.callback.attempts == attempts < 50
        due_ns = run.callback.next_attempt_time.ToNanoseconds()
        await desk.pass_time(max(0.0, (due_ns - desk.clock.now_ns()) / 1e9))
    assert attempts >= 15
    assert (await desk.store.outbox()).open == 0


async def test_a_receiver_may_ask_for_a_longer_pause(desk: Desk) -> None:
    desk.receivers.answers[OK] = [Answer(429, "600")]
    await desk.ended()
    run = await desk.attempt_noted()
    assert run.callback.next_attempt_time == timestamp(desk.clock.now_ns() + 600 * 10**9)


async def test_what_was_due_before_the_start_is_found(store: SqliteStore, clock: ManualClock) -> None:
    before = Desk(store, clock)
    async with before.commits.running():
        runs = [await before.ended() for _ in range(3)]
    after = Desk(store, clock)
    async with after.commits.running(), after.dispatcher.running(after.payload):
        told = {(await after.attempt_noted()).id for _ in runs}
    assert told == {run.id for run in runs}


async def test_a_receiver_that_hangs_holds_up_nobody_else_and_has_few_attempts_under_way(desk: Desk) -> None:
    slow = "http://slow.example/"
    desk.receivers.hanging.add(slow)
    for _ in range(3 * PER_RECEIVER):
        await desk.ended(slow)
    await desk.receivers.requests(PER_RECEIVER)
    good = await desk.ended()

    assert (await desk.attempt_noted()).id == good.id
    assert desk.receivers.under_way[slow] == PER_RECEIVER
    await desk.pass_time(60)
    assert desk.receivers.under_way[slow] == PER_RECEIVER
    desk.receivers.release.set()
    for _ in range(3 * PER_RECEIVER):
        await desk.attempt_noted()
    assert len(desk.receivers.got) == 3 * PER_RECEIVER + 1


async def test_a_receiver_whose_last_attempt_failed_has_one_under_way_until_it_is_back(desk: Desk) -> None:
    bad = "http://bad.example/"
    desk.receivers.answers[bad] = [Answer(500)]
    await desk.ended(bad)
    await desk.attempt_noted()
    desk.receivers.hanging.add(bad)
    for _ in range(5):
        await desk.ended(bad)
    await desk.receivers.requests(2)
    await desk.pass_time(60)
    assert desk.receivers.under_way[bad] == 1
    desk.receivers.release.set()
    for _ in range(6):
        await desk.attempt_noted()
    assert (await desk.store.outbox()).open == 0


async def test_a_receiver_that_fails_again_and_again_is_left_alone_and_then_probed_by_one(desk: Desk) -> None:
    bad = "http://bad.example/"
    desk.receivers.answers[bad] = [Answer(500)] * (PATIENCE + 1)
    for _ in range(10):
        await desk.ended(bad)
    for _ in range(PATIENCE):
        await desk.attempt_noted()
    await desk.pass_time(FIRST_PAUSE_S - POLL_S - 0.1)
    assert len(desk.receivers.got) == PATIENCE
    await desk.pass_time(0.1)
    await desk.attempt_noted()
    assert len(desk.receivers.got) == PATIENCE + 1
    await desk.pass_time(2 * FIRST_PAUSE_S - POLL_S - 0.1)
    assert len(desk.receivers.got) == PATIENCE + 1
    await desk.pass_time(20)
    for _ in range(10):
        await desk.attempt_noted()
    assert (await desk.store.outbox()).open == 0


async def test_however_many_receivers_fail_and_hang_others_are_told_at_once(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk(store, clock, at_once=4)
    bad = [f"http://{number}.example/" for number in range(8)]
    async with desk.commits.running(), desk.dispatcher.running(desk.payload):
        for url in bad:
            desk.receivers.answers[url] = [Answer(500)]
            await desk.ended(url)
            await desk.attempt_noted()
        desk.receivers.hanging.update(bad)
        await desk.pass_time(10)
        assert desk.receivers.under_way.total() == 2
        for _ in range(5):
            good = await desk.ended()
            assert (await desk.attempt_noted()).id == good.id
        desk.receivers.release.set()
        for _ in bad:
            await desk.attempt_noted()
            await desk.pass_time(1)


async def test_what_the_server_could_not_send_is_not_held_against_the_receiver(desk: Desk) -> None:
    desk.receivers.answers[OK] = [RuntimeError("in the library")] * PATIENCE
    for _ in range(PATIENCE):
        await desk.ended()
        await desk.attempt_noted()
    await desk.ended()
    assert (await desk.attempt_noted()).callback.last_status_code == 200


async def test_no_more_are_under_way_than_the_operator_allows(store: SqliteStore, clock: ManualClock) -> None:
    desk = Desk(store, clock, at_once=3)
    urls = [f"http://{number}.example/" for number in range(8)]
    desk.receivers.hanging.update(urls)
    async with desk.commits.running(), desk.dispatcher.running(desk.payload):
        for url in urls:
            await desk.ended(url)
        await desk.receivers.requests(3)
        await desk.pass_time(60)
        assert desk.receivers.under_way.total() == 3
        desk.receivers.release.set()
        for _ in urls:
            await desk.attempt_noted()
    assert {got.url for got in desk.receivers.got} == set(urls)


async def test_a_callback_that_can_not_be_sent_is_shown_so_and_the_others_are_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[Exception] = [RuntimeError("broken"), StoreFailed("away"), RunNotFound("run-1")]
    whole = desk.payload

    async def payload(delivery: Delivery) -> str:
        if faults:
            raise faults.pop(0)
        return await whole(delivery)

    courier = desk.dispatcher._courier
    attempt = courier.attempt
    monkeypatch.setattr(courier, "attempt", lambda delivery, _: attempt(delivery, payload))
    desk.receivers.answers[OK] = [RuntimeError("in the library")]
    for told in (*["the server could not send it"] * 4, ""):
        await desk.ended()
        assert (await desk.attempt_noted()).callback.last_error == told


async def test_too_many_deliveries_have_requests_refused_until_there_is_room(
    store: SqliteStore, clock: ManualClock
) -> None:
    desk = Desk(store, clock, most_open=2)
    desk.receivers.hanging.add(OK)
    async with desk.commits.running(), desk.dispatcher.running(desk.payload):
        await desk.ended()
        desk.dispatcher.check_room()
        await desk.ended()
        await desk.pass_time(dispatcher.COUNT_S)
        with pytest.raises(OutboxFull) as told:
            desk.dispatcher.check_room()
        assert told.value.metadata == {"limit": "2"}
        desk.receivers.release.set()
        await desk.attempt_noted()
        await desk.attempt_noted()
        await desk.pass_time(dispatcher.COUNT_S)
        desk.dispatcher.check_room()


async def test_stopping_waits_a_moment_for_what_is_under_way(store: SqliteStore, clock: ManualClock) -> None:
    desk = Desk(store, clock)
    desk.receivers.hanging.add(OK)
    async with desk.commits.running():
        async with desk.dispatcher.running(desk.payload):
            await desk.ended()
            await desk.receivers.requests(1)
            asyncio.get_running_loop().call_later(0.05, desk.receivers.release.set)
        assert (await desk.attempt_noted()).callback.last_status_code == 200
    assert desk.receivers.closed


async def test_what_stopping_cuts_is_due_for_the_next_process(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "STOP_S", 0.01)
    async with SqliteStore(tmp_path / "cut.db", synchronous="NORMAL") as store:
        cut = Desk(store, clock)
        cut.receivers.hanging.add(OK)
        async with cut.commits.running(), cut.dispatcher.running(cut.payload):
            run = await cut.ended()
            (first,) = await cut.receivers.requests(1)
        assert cut.noted.empty()
    async with SqliteStore(tmp_path / "cut.db", synchronous="NORMAL") as store:
        again = Desk(store, clock)
        async with again.commits.running(), again.dispatcher.running(again.payload):
            assert (await again.attempt_noted()).id == run.id
    (second,) = again.receivers.got
    assert replace(second, headers={}) == replace(first, headers={})
    assert second.headers["webhook-id"] == first.headers["webhook-id"]


async def test_what_sends_is_opened_with_the_first_attempt(desk: Desk) -> None:
    await desk.pass_time(10)
    assert desk.opened == 0
    await asyncio.gather(*(desk.ended() for _ in range(5)))
    for _ in range(5):
        await desk.attempt_noted()
    assert desk.opened == 1


async def test_a_store_that_is_away_is_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = desk.store.claim_deliveries
    asked = asyncio.Event()

    async def away(*_: object) -> list[object]:
        asked.set()
        raise StoreFailed("away")

    monkeypatch.setattr(desk.store, "claim_deliveries", away)
    run = await desk.ended()
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
    monkeypatch.setattr(desk.store, "claim_deliveries", whole)
    await desk.pass_time(POLL_S)
    assert (await desk.attempt_noted()).id == run.id


async def test_nothing_is_read_of_another_tenant(desk: Desk) -> None:
    run = await desk.ended()
    assert (await desk.attempt_noted()).id == run.id
    assert await desk.store.runs("other", [run.id]) == {}
    assert (await desk.store.runs(DEFAULT_TENANT, [run.id]))[run.id].callback.attempts == 1
