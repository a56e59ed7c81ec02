"""The engine against a model of lanes: accepts, steps, cancels and restarts in any order, alone or in batches."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sendoff import v1
from sendoff_server.store.port import (
    DEFAULT_TENANT,
    Accept,
    Cancel,
    Claim,
    Item,
    MarkCancel,
    Outdated,
    Placed,
    Poisoned,
    Progress,
    Queued,
    Recorded,
    Release,
    Released,
    Repeated,
    Result,
    Store,
)
from tests.contract.databases import SqliteDatabase
from tests.contract.making import ENDED, accept, new_lane, progress, turn

T = TypeVar("T")
LANES = 3


@dataclass
class ModelRun:
    seq: int
    run: v1.Run
    cancel_wanted: Cancel | None = None


@dataclass
class ModelLane:
    id: str
    runs: list[ModelRun] = field(default_factory=list)
    held: bool = False
    """By the one replica that there is."""

    @property
    def open(self) -> list[ModelRun]:
        return [each for each in self.runs if each.run.status not in ENDED]

    @property
    def head(self) -> ModelRun | None:
        return next(iter(self.open), None)

    def claim(self) -> Claim | None:
        if self.head is None:
            return None
        return Claim(
            tenant=DEFAULT_TENANT,
            lane=self.id,
            seq=self.head.seq,
            run=self.head.run,
            request=b"request",
            cancel_wanted=self.head.cancel_wanted,
        )


Expected = Callable[[Result | Poisoned], bool]
Choice = tuple[str, int, int, bool]
"""What to do, in which lane, to which of its runs, and whether to take or keep the lease."""
choices = st.tuples(
    st.sampled_from(["accept", "repeat", "start", "finish", "cancel queued", "mark", "release"]),
    st.integers(0, LANES - 1),
    st.integers(0, 5),
    st.booleans(),
)


class Lanes(RuleBasedStateMachine):
    """One example: a loop, a store, the model. A batch is decided by the model first, then flushed and compared."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.database = SqliteDatabase(Path(self.folder.name) / "store.db")
        self.store: Store = self.wait(SqliteDatabase.alone(self.database).__aenter__())
        self.lanes = [ModelLane(self.wait(new_lane(self.store))) for _ in range(LANES)]
        self.waiting: list[ModelLane] = []
        self.accepted = 0

    def wait(self, awaitable: Awaitable[T]) -> T:
        return self.loop.run_until_complete(awaitable)

    def teardown(self) -> None:
        self.wait(self.store.__aexit__(None, None, None))
        self.wait(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    # -- rules --

    @rule(wanted=st.lists(choices, min_size=1, max_size=8))
    def flush(self, wanted: list[Choice]) -> None:
        decided = [self.decide(choice) for choice in wanted]
        batch = [each for each in decided if each is not None]
        results = self.wait(self.store.flush([item for item, _ in batch]))
        assert len(results) == len(batch)
        for (item, fits), result in zip(batch, results, strict=True):
            assert fits(result), (item, result)

    @precondition(lambda self: self.waiting)
    @rule(limit=st.integers(1, LANES))
    def claim(self, limit: int) -> None:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        for lane in taken:
            lane.held = True
        assert self.wait(self.store.claim(limit)) == [lane.claim() for lane in taken]

    @rule()
    def reopen(self) -> None:
        self.wait(self.store.__aexit__(None, None, None))
        self.store = self.wait(self.database.alone().__aenter__())
        for lane in self.lanes:
            lane.held = False
        # Lanes that the last process held come back behind those that waited already, in no certain order.
        given_back = [lane for lane in self.lanes if lane.open and lane not in self.waiting]
        claims = self.wait(self.store.claim(LANES))
        for lane in (*self.waiting, *given_back):
            lane.held = True
        assert claims[: len(self.waiting)] == [lane.claim() for lane in self.waiting]
        by_lane = {claim.lane: claim for claim in claims}
        assert by_lane == {lane.id: lane.claim() for lane in (*self.waiting, *given_back)}
        self.waiting = []

    # -- after each rule --

    @invariant()
    def every_run_and_its_log_are_as_the_model_says(self) -> None:
        every = [(lane, each) for lane in self.lanes for each in lane.runs]
        found = self.wait(self.store.runs(DEFAULT_TENANT, [each.run.id for _, each in every]))
        assert found == {each.run.id: each.run for _, each in every}
        for lane, each in every[-3:]:
            log = self.wait(self.store.events(each.run.id, 0, 1000))
            assert [event.sequence for event in log] == list(range(1, each.run.last_sequence + 1))
            place = lane.open.index(each) if each in lane.open else None
            blocking = lane.open[0].run.id if place else None
            assert self.wait(self.store.queued(each.run.id)) == (None if place is None else Queued(place, blocking))

    # -- the model --

    def decide(self, choice: Choice) -> tuple[Item, Expected] | None:
        what, lane_number, number, flag = choice
        lane = self.lanes[lane_number]
        match what:
            case "accept":
                return self.decide_accept(lane, lease=flag)
            case "release":
                return self.decide_release(lane, keep=flag)
            case _ if not lane.runs:
                return None
            case "repeat":
                return self.decide_repeat(lane, lane.runs[number % len(lane.runs)])
            case "mark":
                return self.decide_mark(
                    lane.runs[number % len(lane.runs)], Cancel(reason=f"reason {number}", rollback=flag)
                )
            case "cancel queued":
                return self.decide_progress(
                    lane, lane.runs[number % len(lane.runs)], v1.RUN_STATUS_CANCELLED, False, flag
                )
            case _:
                each = lane.head or lane.runs[number % len(lane.runs)]
                status = v1.RUN_STATUS_COMPLETED if what == "finish" else v1.RUN_STATUS_RUNNING
                return self.decide_progress(lane, each, status, True, flag)

    def decide_accept(self, lane: ModelLane, *, lease: bool) -> tuple[Item, Expected]:
        self.accepted += 1
        item = accept(lane.id, otids=[f"o{lane.id}{len(lane.runs)}"], lease=lease)
        lane.runs.append(ModelRun(turn(len(lane.runs) + 1), item.run))
        claim = None
        if len(lane.open) == 1 and not lane.held:
            if lease:
                lane.held, claim = True, lane.claim()
            else:
                self.waiting.append(lane)
        return item, lambda result: result == Placed(item.run, claim)

    def decide_repeat(self, lane: ModelLane, each: ModelRun) -> tuple[Item, Expected]:
        item: Accept = accept(lane.id, otids=[f"o{lane.id}{lane.runs.index(each)}"])
        as_it_is = each.run
        return item, lambda result: result == Repeated(as_it_is)

    def decide_progress(
        self, lane: ModelLane, each: ModelRun, status: v1.RunStatus.ValueType, holds: bool, keep: bool
    ) -> tuple[Item, Expected]:
        item: Progress = progress(lane.id, each.run, status, holds_lease=holds, keep_lease=keep)
        if each.run.status in ENDED or (holds and not (lane.held and each is lane.head)):
            as_it_is = each.run
            return item, lambda result: result == Outdated(as_it_is)
        each.run = item.run
        following = None
        if status in ENDED:
            if holds:
                following = self.go_on(lane, keep)
            elif lane in self.waiting and not lane.open:
                self.waiting.remove(lane)
        return item, lambda result: result == Recorded(following)

    def decide_mark(self, each: ModelRun, cancel: Cancel) -> tuple[Item, Expected]:
        if each.run.status not in ENDED and each.cancel_wanted is None:
            each.cancel_wanted = cancel
        as_it_is = each.run
        item = MarkCancel(DEFAULT_TENANT, each.run.id, cancel)
        return item, lambda result: getattr(result, "run", None) == as_it_is

    def decide_release(self, lane: ModelLane, *, keep: bool) -> tuple[Item, Expected]:
        following = self.go_on(lane, keep) if lane.held else None
        return Release(lane.id, keep), lambda result: result == Released(following)

    def go_on(self, lane: ModelLane, keep: bool) -> Claim | None:
        if keep and lane.head is not None:
            return lane.claim()
        lane.held = False
        if lane.head is not None:
            self.waiting.append(lane)
        return None


TestLanes = Lanes.TestCase
TestLanes.settings = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
