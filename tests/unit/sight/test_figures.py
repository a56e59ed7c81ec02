"""Figures by themselves: labels stay few, and whatever the store does, who looks is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from sendoff import v1
from sendoff_server.meter import UNMETERED
from sendoff_server.sight import lines
from sendoff_server.sight.calls import CallFigures
from sendoff_server.sight.deliveries import outcome_of
from sendoff_server.sight.figures import Figures
from sendoff_server.sight.labels import OTHER, Few, Named
from sendoff_server.sight.names import name_of
from sendoff_server.sight.queues import FRESH_S, PATIENCE_S, QueueFigures
from sendoff_server.sight.work import WorkFigures
from sendoff_server.store.items import AttemptNoted, NoteAttempt, Outdated, Progress
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.standing import QueueDepth
from tests.fixtures.clock import ManualClock

DEPTHS = [QueueDepth("acme", 5, 4, 3, 2, 1, 60_000_000_000), QueueDepth("", 1, 0, 0, 0, 0, 0)]


class Depths:
    """A store that counts what waits, fails or hangs."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.hangs: asyncio.Event | None = None

    async def queue_depths(self, tenants: Sequence[str]) -> list[QueueDepth]:
        self.asked += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.fails:
            raise StoreFailed("it is away")
        return [depth for depth in DEPTHS if depth.tenant in ("", *tenants)]


class Desk:
    """Figures of what waits."""

    def __init__(self) -> None:
        self.store = Depths()
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.figures = QueueFigures(self.registry, self.store, ["acme", "idle"], UNMETERED, self.clock)

    def queued(self, tenant: str, state: str = "queued") -> float | None:
        return self.registry.get_sample_value("sendoff_queue_runs", {"tenant": tenant, "state": state})


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_what_waits_is_told_of_each_tenant_that_is_named_and_of_all_others(desk: Desk) -> None:
    await desk.figures.refresh()
    states = ("queued", "scheduled", "held", "running", "behind")
    assert [desk.queued("acme", state) for state in states] == [5, 4, 3, 2, 1]
    assert [desk.queued(OTHER, state) for state in states] == [1, 0, 0, 0, 0]
    assert [desk.queued("idle", state) for state in states] == [0, 0, 0, 0, 0]
    assert desk.registry.get_sample_value("sendoff_queue_oldest_seconds", {"tenant": "acme"}) == 60


async def test_the_store_is_asked_every_few_seconds_however_often_somebody_looks(desk: Desk) -> None:
    for _ in range(5):
        await desk.figures.refresh()
    assert desk.store.asked == 1
    await desk.clock.advance(FRESH_S)
    await desk.figures.refresh()
    assert desk.store.asked == 2


async def test_while_the_store_fails_nothing_old_is_told_and_then_all_is_again(desk: Desk) -> None:
    await desk.figures.refresh()
    desk.store.fails = True
    await desk.clock.advance(FRESH_S)
    await desk.figures.refresh()
    assert desk.queued("acme") is None
    desk.store.fails = False
    await desk.figures.refresh()
    assert desk.queued("acme") == 5


async def test_who_looks_does_not_wait_for_a_store_that_hangs_and_it_is_not_asked_twice(desk: Desk) -> None:
    desk.store.hangs = asyncio.Event()
    looking = asyncio.create_task(desk.figures.refresh())
    await desk.clock.advance(0)
    await desk.clock.advance(PATIENCE_S)
    await looking
    assert desk.queued("acme") is None
    again = asyncio.create_task(desk.figures.refresh())
    await desk.clock.advance(0)
    desk.store.hangs.set()
    await again
    assert (desk.store.asked, desk.queued("acme")) == (1, 5)


async def test_nothing_asks_once_it_is_closed(desk: Desk) -> None:
    desk.store.hangs = asyncio.Event()
    looking = asyncio.create_task(desk.figures.refresh())
    await desk.clock.advance(0)
    desk.figures.close()
    await looking
    assert desk.queued("acme") is None


def test_of_values_that_callers_choose_only_the_first_have_lines_of_their_own() -> None:
    few = Few(2)
    assert [few(value) for value in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]
    named = Named(frozenset({"acme"}))
    assert [named("acme"), named("globex")] == ["acme", OTHER]


def test_names_are_the_contract_s_without_what_all_have_in_front() -> None:
    assert name_of(v1.RunStatus, v1.RUN_STATUS_COMPLETED) == "completed"
    assert name_of(v1.StopReason, v1.STOP_REASON_END_TURN) == "end_turn"


@pytest.mark.parametrize(
    ("note", "outcome"),
    [
        (NoteAttempt(delivery_id="d", attempt=v1.DeliveryAttempt()), "delivered"),
        (NoteAttempt(delivery_id="d", attempt=v1.DeliveryAttempt(error="500"), next_attempt_ns=1), "failed"),
        (NoteAttempt(delivery_id="d", attempt=v1.DeliveryAttempt(error="410")), "given_up"),
        (NoteAttempt(delivery_id="d", attempt=None, error="disabled"), "given_up"),
        (NoteAttempt(delivery_id="d", attempt=None, next_attempt_ns=1), "put_back"),
    ],
)
def test_an_attempt_is_counted_as_what_became_of_it_and_only_by_who_held_it(note: NoteAttempt, outcome: str) -> None:
    assert outcome_of(note) == outcome
    figures = Figures(Depths(), (), ManualClock())
    figures.on_result(note, AttemptNoted(held=False))
    figures.on_result(note, AttemptNoted(held=True))
    value = figures.registry.get_sample_value("sendoff_delivery_attempts_total", {"outcome": outcome})
    assert value == 1


def test_what_was_not_written_is_neither_counted_as_done_nor_logged() -> None:
    run = v1.Run(id="run-1", status=v1.RUN_STATUS_COMPLETED, stop_reason=v1.STOP_REASON_END_TURN, attempt=1)
    progress = Progress(lane="lane", run=run, after_sequence=1, events=[])
    figures = Figures(Depths(), (), ManualClock())
    with capture_logs() as logged:
        lines.write(progress, Outdated(None))
        figures.on_result(progress, Outdated(None))
    assert logged == []
    assert figures.registry.get_sample_value("sendoff_store_outdated_total") == 1
    ended = {"status": "completed", "stop_reason": "end_turn", "tenant": OTHER}
    assert figures.registry.get_sample_value("sendoff_runs_ended_total", ended) is None


def test_work_is_counted_as_it_is_told() -> None:
    registry = CollectorRegistry()
    work = WorkFigures(registry, Few(1), Named(frozenset()))
    work.claimed(3)
    work.lost()
    work.freed(2)
    work.first_token("a/b", 0.5)
    work.first_token("c/d", 0.5)
    assert registry.get_sample_value("sendoff_claims_total") == 3
    assert registry.get_sample_value("sendoff_leases_lost_total") == 1
    assert registry.get_sample_value("sendoff_replicas_reaped_total") == 2
    assert registry.get_sample_value("sendoff_model_first_token_seconds_count", {"model": "a/b"}) == 1
    assert registry.get_sample_value("sendoff_model_first_token_seconds_count", {"model": OTHER}) == 1


def test_doors_are_told_apart() -> None:
    registry = CollectorRegistry()
    calls = CallFigures(registry)
    for meter in (calls.grpc, calls.rest, calls.rest):
        meter.began("same")
        meter.ended("same", "OK", 0.1)
    told = [
        registry.get_sample_value("sendoff_calls_total", {"door": door, "call": "same", "code": "OK"})
        for door in ("grpc", "rest")
    ]
    assert told == [1, 2]
